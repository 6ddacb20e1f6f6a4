"""`render`."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from safepursuit.agents import Layer
from safepursuit.cli.played import Played
from safepursuit.cli.usage import Debug, Run, UsageError, say
from safepursuit.evaluation import Evaluation
from safepursuit.evaluation.failures import worst
from safepursuit.experiment import TrainedRun, open_run
from safepursuit.report.tables import obstacles
from safepursuit.runs.folder import RunFolder

_POOL = 1000
"""Episodes that --worst chooses from: the default ones of `evaluate`."""

_MOST = 6
"""Most lines and columns of a legible grid."""


@dataclass(frozen=True)
class Render:
    """Draw episodes of a run as GIF or MP4, with barriers, controls and interventions."""

    run_folder: Run
    """The run folder."""
    episodes: int | None = None
    """Number of episodes, shown one after the other (default: 1)."""
    grid: str | None = None
    """Show episodes side by side, in this many lines and columns, such as 3x3."""
    worst: bool = False
    """Play 1,000 episodes and show the worst: collisions, then time-outs, then the slowest captures."""
    scenario: int | None = None
    """Show this one of the suite's scenarios, counted from 0."""
    played: Annotated[Played, tyro.conf.arg(name="")] = field(default_factory=Played)
    fps: int = 20
    """Pictures per second, up to 50."""
    speed: float = 2.0
    """How many times faster than real time."""
    out: Path | None = None
    """Write to this file, .gif or .mp4, in place of what is there (default: a name of its own in RUN/animations)."""
    debug: Debug = False

    def run(self, console: Console) -> None:
        from safepursuit.report.animation import movie  # late, for a faster start
        from safepursuit.report.animation.film import film, grid
        from safepursuit.report.animation.take import takes

        shape = self._shape()
        count = shape[0] * shape[1] if shape else 1 if self.episodes is None else self.episodes
        run = open_run(self.run_folder)
        if not 1 <= self.fps <= 50:
            raise UsageError(f"--fps must lie between 1 and 50, not {self.fps}.")
        if not 0.01 <= self.speed <= 1000:
            raise UsageError(f"--speed must lie between 0.01 and 1000, not {self.speed:g}.")
        if self.scenario is not None and (self.scenario < 0 or self.worst or count > 1):
            raise UsageError(
                "--scenario takes the number of one episode, from 0; leave out --episodes, --grid, --worst."
            )
        if self.out is not None:
            movie.check(self.out)
        pool = max(_POOL, count) if self.worst else count if self.scenario is None else self.scenario + 1
        trained, judged = self.played.play(run, pool, console)
        config, layer = trained.config, self.played.shield
        recording, verdict, result = judged.recording, judged.verdict, judged.result
        chosen = worst(recording, verdict, count) if self.worst else range(pool - count, pool)
        shown = takes(recording, verdict, list(map(int, chosen)), config.shield, braking_gain(trained, layer))
        file = self.out or self._default(run, judged, count, trained.steps)
        note = "" if layer == "as-trained" else f" (shield {layer})"
        title = f"{config.method}{note} against {result['evader']}, {obstacles(recording.game.arena)}"
        title += f", worst of {pool:,}" if self.worst else ""
        with console.status("drawing …"):
            if shape:
                pictures = grid(shown, shape, title, file, fps=self.fps, speed=self.speed)
            else:
                pictures = film(shown, title, file, fps=self.fps, speed=self.speed)
        for take in shown:
            console.print(f"episode {take.index}: {take.ending[0]}", highlight=False)
        size = file.stat().st_size / 1e6
        say(console, f"{file} ({pictures:,} pictures, {size:.1f} MB)")

    def _shape(self) -> tuple[int, int] | None:
        if self.grid is None:
            return None
        if self.episodes is not None:
            raise UsageError("--grid says how many episodes there are: leave out --episodes.")
        sides = re.fullmatch(r"(\d+)x(\d+)", self.grid)
        if sides is None or not all(1 <= int(side) <= _MOST for side in sides.groups()):
            raise UsageError(f"--grid takes lines x columns, 1x1 to {_MOST}x{_MOST}, such as 3x3, not {self.grid!r}.")
        return int(sides[1]), int(sides[2])

    def _default(self, run: RunFolder, judged: Evaluation, count: int, steps: int) -> Path:
        folder = run.path / "animations"
        folder.mkdir(exist_ok=True)
        shown = f"{'worst-' if self.worst else ''}{self.grid or count}"
        what = shown if self.scenario is None else f"scenario-{self.scenario}"
        return folder / f"{self.played.file_name(judged, what, steps)}.gif"


def braking_gain(run: TrainedRun, layer: Layer) -> float | None:
    """The smallest class-K gain with which the layer may brake the pursuer; None without a barrier h ≥ 0."""
    if layer == "filter":
        return run.config.shield.gain
    return run.policy.head.least_gain() if layer == "as-trained" else None
