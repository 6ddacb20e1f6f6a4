"""Cells: one contender on one suite against one opponent, the unit in which a comparison is computed and stored.

    OUT/cells/<contender>/<suite>--<evader>.json     the figures of `evaluate --json`, and the outcome of each episode
    OUT/cells/<contender>/<suite>--<evader>.npz      the worst of its episodes, step by step

Episode i of a suite is the same scenario for every contender, so that lists of two cells pair up by their index.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from safepursuit.compare.contenders import Contender
from safepursuit.evaluation.evaluation import Evaluation
from safepursuit.evaluation.failures import worst
from safepursuit.evaluation.referee import Verdict
from safepursuit.play.recording import Recording, load, save, take
from safepursuit.runs.folder import slug, write_json

KEPT = 10
"""Worst episodes whose every step is kept."""


class Cell(NamedTuple):
    """What is evaluated."""

    contender: Contender
    suite: str
    evader: str

    def file(self, folder: Path) -> Path:
        """Where its figures are kept in the folder of a comparison."""
        return folder / "cells" / slug(self.contender.name) / f"{self.suite}--{slug(self.evader)}.json"


@dataclass(frozen=True)
class Outcomes:
    """The outcome of each episode, in the order of the suite's scenarios; all (episodes,)."""

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
    """Least clearance [m]; NaN if none is known."""


class CellRecord(NamedTuple):
    """The figures of a finished cell: its JSON file."""

    cell: Cell
    result: dict[str, Any]
    """The contents of `evaluate --json`, and `trained_steps`: the environment steps of the contender's training."""
    outcomes: Outcomes


class Worst(NamedTuple):
    """The worst episodes of a finished cell: its .npz file."""

    recording: Recording
    """The worst episode first."""
    scenarios: np.ndarray
    """(episodes,) their numbers in the suite."""


def summarise(cell: Cell, evaluation: Evaluation) -> tuple[CellRecord, Worst]:
    """What is kept of a cell's evaluation."""
    recording, verdict = evaluation.recording, evaluation.verdict
    chosen = worst(recording, verdict, KEPT)
    result = evaluation.result | {"trained_steps": cell.contender.steps}
    return CellRecord(cell, result, outcomes(recording, verdict)), Worst(take(recording, chosen), chosen)


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
        clearance=np.fmin.reduce(verdict.clearance, axis=1),
    )


def write(record: CellRecord, episodes: Worst, folder: Path) -> None:
    """Keep a finished cell, each file in one step; the JSON file comes last: where that is, the cell is complete."""
    file = record.cell.file(folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    save(episodes.recording, file.with_suffix(".npz"), scenario=episodes.scenarios)
    contender = {name: value for name, value in record.cell.contender.stored.items() if name != "steps"}
    listed = {name: _plain(values) for name, values in asdict(record.outcomes).items()}
    content = {"contender": contender, "suite": record.cell.suite, "evader": record.cell.evader}
    write_json(file, content | {"result": record.result, "outcomes": listed})


def read(file: Path) -> CellRecord:
    """A finished cell. Raises ValueError where the file is not one."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        contender = Contender(**content["contender"], steps=content["result"].get("trained_steps"))
        arrays = {name: np.asarray(values) for name, values in content["outcomes"].items()}
        cell = Cell(contender, content["suite"], content["evader"])
        return CellRecord(cell, content["result"], Outcomes(**arrays))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{file} is not a finished cell of a comparison ({error}); remove it and compare again."
        ) from None


def read_worst(cell: Cell, folder: Path) -> Worst:
    """The worst episodes of a finished cell. Raises ValueError where the file is not a recording."""
    return Worst(*load(cell.file(folder).with_suffix(".npz")))


def _plain(values: np.ndarray) -> list:
    """As JSON has it: floats to a micrometre or microradian, flags as they are."""
    return values.tolist() if values.dtype == bool else np.round(values, 6).tolist()
