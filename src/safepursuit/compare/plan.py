"""The plan of a comparison: who is judged, on what, by which command. Written before the first cell is worked.

    OUT/plan.json    {
        "command": "safepursuit compare …",            as it can be pasted into a shell
        "primary": "barriernet",                       the group that the others are held against: the first named
        "suites": [{"name": "standard", "version": 1, "evaders": ["flee", "orbit"]}, …],
        "episodes": 1000,                              for each contender, suite and evader
        "obstacles": 4,                                null: as in each training, or as the suite says
        "seed": 0,                                     of the scenarios, the same for every contender
        "shield": "as-trained",
        "contenders": [{"group": …, "method": …, "seed": …, "run": …, "steps": …}, …],
        "provenance": {…}                              `runs.folder.provenance()`
    }

`method`, `seed` and `run` are those of `cells.Contender`; `steps` are the environment steps of the training, null for a
scripted pursuer. A run is named by an absolute path, or by one relative to OUT if it lies inside.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safepursuit.compare.cells import Cell, Contender
from safepursuit.runs.folder import write_json

FILE = "plan.json"


@dataclass(frozen=True)
class PlannedSuite:
    """A list of scenarios, and everyone who is chased in it."""

    name: str
    version: int
    evaders: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """One contender, and how long it was trained."""

    contender: Contender
    steps: int | None = None
    """Environment steps of its training; None for a scripted pursuer."""


@dataclass(frozen=True)
class Plan:
    """What is compared. Raises ValueError where it names no contender, or a primary group without one."""

    command: str
    primary: str
    suites: tuple[PlannedSuite, ...]
    episodes: int
    entries: tuple[Entry, ...]
    obstacles: int | None = None
    seed: int = 0
    shield: str = "as-trained"
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [entry.contender.name for entry in self.entries]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"contender {twice!r} is named twice: give one of the two another group.")
        if self.primary not in self.groups:
            raise ValueError(
                f"the primary group {self.primary!r} has no contender; groups are {', '.join(self.groups)}."
            )

    @property
    def groups(self) -> tuple[str, ...]:
        """The primary group first, the others in the order in which they were named."""
        named = dict.fromkeys(entry.contender.group for entry in self.entries)
        return tuple(sorted(named, key=lambda group: group != self.primary))

    def cells(self) -> Iterator[Cell]:
        """Every cell that the comparison consists of, suite by suite."""
        for suite in self.suites:
            for evader in suite.evaders:
                for entry in self.entries:
                    yield Cell(entry.contender, suite.name, evader)


def write(plan: Plan, folder: Path) -> None:
    """Write the plan of the comparison in this folder, in one step."""
    content = asdict(plan)
    entries = content.pop("entries")
    contenders = [entry["contender"] | {"steps": entry["steps"]} for entry in entries]
    write_json(folder / FILE, content | {"contenders": contenders})


def read(folder: Path) -> Plan:
    """The plan of the comparison in this folder. Raises ValueError where there is none that can be read."""
    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        entries = tuple(Entry(steps=one.pop("steps"), contender=Contender(**one)) for one in content.pop("contenders"))
        suites = tuple(PlannedSuite(**one | {"evaders": tuple(one["evaders"])}) for one in content.pop("suites"))
        return Plan(**content, suites=suites, entries=entries)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{folder} holds no comparison that can be read ({error}); run `safepursuit compare`."
        ) from None
