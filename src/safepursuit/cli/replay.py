"""`replay`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from rich.console import Console

from safepursuit.cli.paged import Served, check_page, write_page
from safepursuit.cli.played import Played
from safepursuit.cli.render import braking_gain
from safepursuit.cli.usage import Debug, UsageError
from safepursuit.evaluation.failures import worst
from safepursuit.evaluation.metrics import verdict
from safepursuit.experiment import open_run
from safepursuit.game import other
from safepursuit.play.recording import load as load_recording
from safepursuit.play.recording import take
from safepursuit.report.tables import obstacles
from safepursuit.shield import fitting

_POOL = 1000
"""Episodes that --worst chooses from."""


@dataclass(frozen=True)
class Replay:
    """Show episodes in the browser, step by step, with what the safety layer allowed at each."""

    source: Annotated[Path, tyro.conf.Positional]
    """A run folder, whose policy plays; or a recording, .npz, of evaluate --record."""
    episodes: int | None = None
    """Number of episodes (default: 20 of a run, all of a recording)."""
    worst: bool = False
    """Show the worst episodes: collisions, then time-outs, then the slowest captures."""
    played: Annotated[Played, tyro.conf.arg(name="")] = field(default_factory=Played)
    out: Path | None = None
    """Write one file, .html, that needs nothing else, in place of what is there (default: serve the page here)."""
    served: Annotated[Served, tyro.conf.arg(name="")] = field(default_factory=Served)
    debug: Debug = False

    def run(self, console: Console) -> None:
        from safepursuit.viewer.packing import page  # late, for a faster start

        if self.episodes is not None and self.episodes < 1:
            raise UsageError(f"--episodes must be at least 1, not {self.episodes}.")
        check_page(self.out)
        data = self._of_recording(console) if self.source.is_file() else self._of_run(console)
        text = page("replay", data)
        if self.out is not None:
            write_page(console, self.out, text)
        else:
            content = text.encode()
            self.served.show(console, {"/": lambda _: content})

    def _of_run(self, console: Console) -> bytes:
        from safepursuit.viewer.episodes import replay
        from safepursuit.viewer.programs import Layer

        run = open_run(self.source)
        count = 20 if self.episodes is None else self.episodes
        trained, judged = self.played.play(run, max(_POOL, count) if self.worst else count, console)
        recording, config, layer = judged.recording, trained.config, self.played.shield
        chosen = worst(recording, judged.verdict, count) if self.worst else np.arange(count)
        learned = trained.policy if layer == "as-trained" else None
        note = f"The policy after {trained.steps:,} steps. "
        if layer != "as-trained":
            note += f"Behind the layer {layer}. "
        if self.played.disturbance != "none":
            note += f"Disturbance {self.played.disturbance}: the programs shown are those of the true pose."
        title = f"{config.method} against {judged.result[other(config.role)]}, {obstacles(recording.game.arena)}"
        with console.status("reading the safety layer …"):
            return replay(
                take(recording, chosen),
                Layer(config.shield, learned, braking_gain(trained, layer)),
                title=f"{title}: {run.path.resolve().name}",
                note=note,
                numbers=chosen,
            )

    def _of_recording(self, console: Console) -> bytes:
        from safepursuit.viewer.episodes import replay
        from safepursuit.viewer.programs import Layer

        if self.played != Played():
            raise UsageError("a recording is played already: leave out what says how to play it.")
        recording, numbers = load_recording(self.source)
        count = len(recording.length) if self.episodes is None else min(self.episodes, len(recording.length))
        chosen = worst(recording, verdict(recording), count) if self.worst else np.arange(count)
        robot = recording.game.limits(recording.role)
        shield = fitting(robot, recording.game.arena.half_extents)
        gain = shield.gain if shield.offset >= robot.max_speed * robot.dt else None
        note = "A recording does not say which safety layer drove: "
        note += "the half-planes are those of the default one, with a gain of 0.5." if gain else "none is shown."
        with console.status("reading the recording …"):
            return replay(
                take(recording, chosen),
                Layer(shield, None, gain),
                title=self.source.name,
                note=note,
                numbers=numbers[chosen],
            )
