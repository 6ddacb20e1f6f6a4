"""The worst episodes of a comparison as figures, with what happened and how to see it again."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from safepursuit.compare import cells
from safepursuit.compare.cells import Cell
from safepursuit.compare.plan import Plan
from safepursuit.evaluation import metrics
from safepursuit.evaluation.failures import ranks
from safepursuit.evaluation.referee import Verdict, separation
from safepursuit.evaluation.scenarios import SUITES
from safepursuit.play.recording import Recording
from safepursuit.report.comparison.numbers import Comparison
from safepursuit.report.figures import COLLISION, STYLE, arena, ending, hits, paths

_SIDE, _RESOLUTION, _COLOURS = 2.8, 180, 64
"""Of a picture: inches, dots per inch, and colours, few enough for a small file."""


@dataclass(frozen=True)
class Failure:
    """An episode that went badly."""

    cell: Cell
    scenario: int
    """Its number in the suite."""
    row: int
    """Its place in the recording beside the cell's file."""
    what: str
    """What happened, in words."""
    recording: Recording
    verdict: Verdict

    @property
    def facts(self) -> dict[str, Any]:
        """As report.json has it."""
        one = self.cell
        place = {"suite": one.suite, "evader": one.evader, "contender": one.contender.name, "scenario": self.scenario}
        return place | {"what": self.what}


def worst_of(comparison: Comparison, group: str, count: int) -> list[Failure]:
    """The worst episodes of all cells of a group, the worst first, ranked as in `failures.worst`."""
    found: list[tuple[int, float, int, Failure]] = []
    for cell in comparison.plan.cells():
        if cell.contender.group == group:
            recording, scenarios = cells.read_worst(cell, comparison.folder)
            verdict = metrics.verdict(recording)
            for row, (kind, severity) in enumerate(zip(*ranks(recording, verdict), strict=True)):
                what = _what(recording, verdict, row)
                failure = Failure(cell, int(scenarios[row]), row, what, recording, verdict)
                found.append((int(kind), -float(severity), len(found), failure))
    return [failure for *_, failure in sorted(found)[:count]]


def replay(failure: Failure, plan: Plan, folder: Path) -> str | None:
    """The command that shows the episode; None for a scripted pursuer."""
    cell = failure.cell
    if cell.contender.run is None:
        return None
    words = ["safepursuit", "render", str(folder / cell.contender.run), "--rules", "default", "--suite", cell.suite]
    words += ["--evader", cell.evader, "--scenario", str(failure.scenario), "--seed", str(plan.seed)]
    if plan.obstacles is not None and not (cell.suite in SUITES and SUITES[cell.suite].fixes_obstacles):
        words += ["--obstacles", str(plan.obstacles)]
    if plan.shield != "as-trained":
        words += ["--shield", plan.shield]
    return shlex.join(words)


def draw(failure: Failure, file: Path) -> None:
    """The episode from above, with a cross wherever the pursuer collided."""
    recording, row = failure.recording, failure.row
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        width, height = recording.game.arena.size
        figure = Figure(figsize=(_SIDE, _SIDE * height / width))
        axes = figure.add_axes((0.085, 0.065, 0.905, 0.925))
        arena(axes, recording, row)
        paths(axes, recording, row)
        axes.set_title("")
        places = recording.pursuer[row, :-1, :2][hits(failure.verdict)[row]]
        axes.scatter(places[:, 0], places[:, 1], marker="x", s=36, lw=1.6, color=COLLISION, zorder=9)
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, dpi=_RESOLUTION)
    with Image.open(file) as image:
        small = image.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    small.save(file, optimize=True)


def _what(recording: Recording, verdict: Verdict, row: int) -> str:
    end = ending(recording, row)
    if recording.outcome[row] not in ("capture", "invalid"):
        nearest = np.nanmin(separation(recording.pursuer[row : row + 1], recording.evader[row : row + 1]))
        end += f", nearest {nearest:.2f} m"
    when = np.flatnonzero(hits(verdict)[row])
    if not when.size:
        return end
    kinds = {"a wall": verdict.wall, "a disc": verdict.obstacle, "the evader": verdict.robot}
    touched = " and ".join(name for name, flags in kinds.items() if flags[row].any())
    steps = f"{when.size} step{'s' * (when.size > 1)}"
    first = when[0] * recording.game.robot.dt
    return f"collided with {touched} in {steps}, first after {first:.1f} s; {end}"
