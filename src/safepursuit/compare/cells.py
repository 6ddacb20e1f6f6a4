"""Cells: one contender on one suite against one opponent, the unit in which a comparison is worked, stored and read.

    OUT/cells/<contender>/<suite>--<evader>.json     the figures of `evaluate --json`, and what happened in each episode
    OUT/cells/<contender>/<suite>--<evader>.npz      the worst of its episodes, step by step

Episode i of a suite is the same scenario for every contender, so that lists of two cells pair up by their index.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from safepursuit.evaluation.evaluation import Evaluation
from safepursuit.evaluation.failures import worst
from safepursuit.evaluation.referee import Verdict
from safepursuit.play.recording import Recording, load, save, take
from safepursuit.runs.folder import slug, write_json

KEPT = 10
"""Worst episodes whose every step is kept."""


@dataclass(frozen=True)
class Contender:
    """Who is judged: a trained run, or a scripted pursuer."""

    group: str
    """What it is compared as: runs that differ only by their seed share it."""
    method: str
    """The safety architecture, or the scripted pursuer's name."""
    seed: int | None = None
    """The training's seed; None for a scripted pursuer."""
    run: str | None = None
    """The run folder; None for a scripted pursuer."""

    @property
    def name(self) -> str:
        """Unique within a comparison; also the name of a folder."""
        return self.group if self.seed is None else f"{self.group}/seed-{self.seed}"


class Cell(NamedTuple):
    """What is judged."""

    contender: Contender
    suite: str
    evader: str

    def file(self, folder: Path) -> Path:
        """Where its figures are kept in the folder of a comparison."""
        return folder / "cells" / slug(self.contender.name) / f"{self.suite}--{slug(self.evader)}.json"


@dataclass(frozen=True)
class Outcomes:
    """What happened in each episode, in the order of the suite's scenarios; all (episodes,)."""

    captured: np.ndarray
    """bool"""
    collided: np.ndarray
    """bool, by the pursuer's own motion, as the referee saw it."""
    time: np.ndarray
    """[s] played."""
    distance: np.ndarray
    """[m] between the centres at the start."""
    bearing: np.ndarray
    """[rad] of the evader at the start, from the pursuer's heading, left positive."""
    intervention: np.ndarray
    """Share of steps in which a barrier or the governor held the control."""
    clearance: np.ndarray
    """Least clearance [m]."""


class CellRecord(NamedTuple):
    """A finished cell."""

    cell: Cell
    result: dict[str, Any]
    """The contents of `evaluate --json`."""
    outcomes: Outcomes


def outcomes(recording: Recording, verdict: Verdict) -> Outcomes:
    """Episode by episode, what `metrics.figures` adds up."""
    steps = recording.length
    gap = recording.evader[:, 0, :2] - recording.pursuer[:, 0, :2]
    bearing = np.arctan2(gap[:, 1], gap[:, 0]) - recording.pursuer[:, 0, 2]
    return Outcomes(
        captured=recording.outcome == "capture",
        collided=verdict.collided,
        time=steps * recording.game.robot.dt,
        distance=np.hypot(*gap.T),
        bearing=np.angle(np.exp(1j * bearing)),
        intervention=recording.intervened.sum(axis=1) / steps,
        clearance=np.nanmin(verdict.clearance, axis=1),
    )


def write(cell: Cell, judged: Evaluation, folder: Path) -> None:
    """Keep a finished cell. Its JSON file comes last: where that is, the cell is complete."""
    file = cell.file(folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    chosen = worst(judged.recording, judged.verdict, KEPT)
    save(take(judged.recording, chosen), file.with_suffix(".npz"), scenario=chosen)
    listed = {name: _plain(values) for name, values in asdict(outcomes(judged.recording, judged.verdict)).items()}
    content = {"contender": asdict(cell.contender), "suite": cell.suite, "evader": cell.evader}
    write_json(file, content | {"result": judged.result, "outcomes": listed})


def read(file: Path) -> CellRecord:
    """A finished cell. Raises ValueError where the file is not one."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        cell = Cell(Contender(**content["contender"]), content["suite"], content["evader"])
        arrays = {name: np.asarray(values) for name, values in content["outcomes"].items()}
        return CellRecord(cell, content["result"], Outcomes(**arrays))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{file} is not a finished cell of a comparison ({error}); remove it and compare again."
        ) from None


def read_worst(cell: Cell, folder: Path) -> tuple[Recording, np.ndarray]:
    """The worst episodes of a finished cell, worst first, and which of the suite's scenarios they are."""
    return load(cell.file(folder).with_suffix(".npz"))


def _plain(values: np.ndarray) -> list:
    """As JSON has it: floats to a micrometre or microradian, flags as they are."""
    return values.tolist() if values.dtype == bool else np.round(values, 6).tolist()
