"""The plan of a comparison: who is compared, on what, by which command; and what of it is still to be done.

    OUT/plan.json    {
        "command": "safepursuit compare …",            as it can be pasted into a shell
        "primary": "barriernet",                       the group that the others are held against: the first named
        "suites": [{"name": "standard", "version": 1, "evaders": ["flee", "orbit"]}, …],
        "episodes": 1000,                              for each contender, suite and evader
        "obstacles": 4,                                null: as in each training, or as the suite says
        "seed": 0,                                     of the scenarios, the same for every contender
        "shield": "as-trained",
        "provenance": {…},                             `runs.folder.provenance()`
        "contenders": [{"group": …, "method": …, "seed": …, "run": …, "steps": …}, …]
    }

It is written before the first cell is computed. The fields of a contender are those of `Contender`.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safepursuit.compare import trainings
from safepursuit.compare.cells import Cell
from safepursuit.compare.cells import read as read_cell
from safepursuit.compare.contenders import Contender, robot_of
from safepursuit.compare.jobs import CellJob, TrainingJob
from safepursuit.evaluation.scenarios import SUITES, with_obstacles
from safepursuit.game import Game
from safepursuit.players import EVADERS, is_run
from safepursuit.ranges import check_seed
from safepursuit.runs.folder import RunFolderError, provenance, write_json

FILE = "plan.json"


@dataclass(frozen=True)
class PlannedSuite:
    """A list of scenarios, and the evaders that are chased in it."""

    name: str
    version: int
    evaders: tuple[str, ...]


@dataclass(frozen=True)
class Settings:
    """On what all contenders are evaluated. Raises ValueError for an unknown name or an impossible number."""

    suites: tuple[str, ...] = ("standard",)
    evaders: tuple[str, ...] = tuple(EVADERS)
    """Of the suites that do not have one of their own."""
    episodes: int = 1000
    """For each contender, suite and evader."""
    obstacles: int = Game().arena.obstacles
    """Where the suite does not set their number."""
    seed: int = 0
    """Of the scenarios."""

    def __post_init__(self) -> None:
        for kind, names, known in (("suite", self.suites, SUITES), ("evader", self.evaders, EVADERS)):
            if not names or len(set(names)) < len(names):
                raise ValueError(f"name at least one {kind}, and none twice.")
            for name in names:
                if name not in known and not (kind == "evader" and is_run(name)):
                    raise ValueError(f"unknown {kind} {name!r}; known are {', '.join(known)}.")
        check_seed(self.seed)
        if self.episodes < 1:
            raise ValueError(f"the number of episodes must be at least 1, not {self.episodes}.")
        with_obstacles(Game(), self.obstacles)  # refuses an impossible number

    def planned(self) -> tuple[PlannedSuite, ...]:
        """The suites with their opponents."""
        suites = {name: SUITES[name] for name in self.suites}
        return tuple(
            PlannedSuite(name, suite.version, (suite.evader,) if suite.evader else self.evaders)
            for name, suite in suites.items()
        )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is compared. Raises ValueError for two contenders of one name, or a primary group without a contender."""

    command: str
    primary: str
    suites: tuple[PlannedSuite, ...]
    episodes: int
    obstacles: int | None = None
    seed: int = 0
    shield: str = "as-trained"
    robot: str = "unicycle"
    """Its model, the same for all contenders."""
    provenance: dict[str, Any] = field(default_factory=dict)
    contenders: tuple[Contender, ...]

    def __post_init__(self) -> None:
        names = [contender.name for contender in self.contenders]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"contender {twice[0]!r} is named twice: give one of the two another group.")
        if self.primary not in self.groups:
            raise ValueError(
                f"the primary group {self.primary!r} has no contender; groups are {', '.join(self.groups)}."
            )

    @property
    def groups(self) -> tuple[str, ...]:
        """The primary group first, the others in the order in which they were named."""
        named = dict.fromkeys(contender.group for contender in self.contenders)
        return tuple(sorted(named, key=lambda group: group != self.primary))

    def members(self, group: str) -> list[Contender]:
        """The contenders of a group, in the order in which they were named."""
        return [contender for contender in self.contenders if contender.group == group]

    def cells(self) -> Iterator[Cell]:
        """Every cell that the comparison consists of, suite by suite."""
        for suite in self.suites:
            for evader in suite.evaders:
                for contender in self.contenders:
                    yield Cell(contender, suite.name, evader)


def write(plan: Plan, folder: Path) -> None:
    """Write the plan of the comparison in this folder, in one step."""
    suites, contenders = [asdict(suite) for suite in plan.suites], [one.stored for one in plan.contenders]
    write_json(folder / FILE, vars(plan) | {"suites": suites, "contenders": contenders})


def read(folder: Path) -> Plan:
    """The plan of the comparison in this folder. Raises ValueError where there is none that can be read."""
    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        suites = tuple(PlannedSuite(**one | {"evaders": tuple(one["evaders"])}) for one in content["suites"])
        contenders = tuple(Contender(**one) for one in content["contenders"])
        return Plan(**content | {"suites": suites, "contenders": contenders})
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{folder} holds no comparison that can be read ({error}); run `safepursuit compare`."
        ) from None


def prepare(contenders: Sequence[Contender], settings: Settings, out: Path, command: str) -> Plan:
    """Write the plan of the comparison into its folder. The group named first is the primary one.

    Raises RunFolderError where the folder holds something else, or a comparison with other settings, and ValueError
    where a run in it was trained with another configuration: nothing is mixed, nothing overwritten.
    """
    robot = robot_of(contenders) if contenders else Plan.robot
    _refuse_another_comparison(out, settings, robot)
    for one in contenders:
        if one.to_train and (folder := one.folder(out)):
            trainings.check(folder, one.config)
    plan = Plan(
        command=command,
        primary=contenders[0].group if contenders else "",
        suites=settings.planned(),
        episodes=settings.episodes,
        obstacles=settings.obstacles,
        seed=settings.seed,
        robot=robot,
        provenance=provenance(),
        contenders=tuple(contenders),
    )
    write(plan, out)
    return plan


def _refuse_another_comparison(out: Path, settings: Settings, robot: str) -> None:
    """Raise RunFolderError where OUT holds something that is not a comparison, or one with other settings."""
    if not (out / FILE).is_file():
        if out.exists() and (not out.is_dir() or any(not file.name.startswith(".") for file in out.iterdir())):
            raise RunFolderError(f"{out} already exists and holds no comparison: choose another --out.")
        return
    found = read(out)
    for name in ("episodes", "seed", "obstacles", "robot"):
        theirs, ours = getattr(found, name), robot if name == "robot" else getattr(settings, name)
        if theirs != ours:
            raise RunFolderError(
                f"{out} holds a comparison with {name} = {theirs}, not {ours}: choose another --out or the same {name}."
            )


def undone(plan: Plan, out: Path) -> tuple[list[TrainingJob], list[CellJob]]:
    """The trainings and the cells of a plan, as `prepare` returned it, that are still to be done.

    Raises ValueError where the file of a cell cannot be read.
    """
    to_train = [
        TrainingJob(one, folder)
        for one in plan.contenders
        if one.to_train and (folder := one.folder(out)) and not trainings.finished(folder, one.config)
    ]
    to_evaluate = []
    for cell in plan.cells():
        if not _complete(cell, plan, out):
            obstacles = None if SUITES[cell.suite].fixes_obstacles else plan.obstacles
            to_evaluate.append(CellJob(cell, cell.contender.folder(out), plan.episodes, obstacles, plan.seed))
    return to_train, to_evaluate


def _complete(cell: Cell, plan: Plan, out: Path) -> bool:
    """Whether the cell is there, of its contender at this step of the training, under the settings of the plan."""
    file = cell.file(out)
    if not file.is_file():
        return False
    suite = SUITES[cell.suite]
    game = Game() if plan.obstacles is None else with_obstacles(Game(), plan.obstacles)
    expected = {
        "suite_version": suite.version,
        "episodes": plan.episodes,
        "seed": plan.seed,
        "obstacles": suite.game(game).arena.obstacles,
    }
    found = read_cell(file)
    return found.cell == cell and all(found.result.get(name) == value for name, value in expected.items())
