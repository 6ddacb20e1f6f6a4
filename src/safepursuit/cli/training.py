"""`train` and `resume`."""

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from safepursuit.cli.usage import Run, UsageError
from safepursuit.evaluate import evaluate
from safepursuit.ppo import BarrierNetTrainer, TrainConfig
from safepursuit.report.figures import learning_curves, trajectories
from safepursuit.runs import configuration
from safepursuit.runs.console import TrainingDisplay
from safepursuit.runs.folder import RunFolder, write_text
from safepursuit.runs.metrics import read_metrics

_SAMPLES = 9
"""Episodes on the page of trajectories."""


@dataclass(frozen=True)
class Train:
    """Train a pursuer, keep everything about it in a run folder, and draw how it learned and how it plays."""

    config: Path | None = None
    """YAML file with settings; flags override it, it overrides the defaults."""
    run_dir: Path | None = None
    """Run folder to create (default: runs/<method>-<evader>-<date>-<time>)."""
    dry_run: bool = False
    """Print the merged configuration and stop."""
    debug: bool = False
    """Show the traceback of an error."""
    settings: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)

    def run(self, console: Console) -> None:
        config = self.settings
        text = configuration.dump(config)
        if self.dry_run:
            console.print(text, end="", highlight=False, markup=False)
            return
        stamp = f"{datetime.now():%Y%m%d-%H%M%S}"
        path = self.run_dir or Path("runs") / f"{config.method}-{config.evader}-{stamp}"
        trainer = BarrierNetTrainer(config)  # refuses an impossible game before anything is written
        trainer.run = RunFolder.create(path, text, ["safepursuit", *sys.argv[1:]])
        console.print(
            f"training {config.method} against {config.evader} with {config.game.arena.obstacles} obstacles, "
            f"{config.timesteps:,} steps, seed {config.seed} → {path}",
            highlight=False,
            soft_wrap=True,
        )
        _train(trainer, console)


@dataclass(frozen=True)
class Resume:
    """Go on with an interrupted training, or extend a finished one, exactly as if it had never stopped."""

    run_folder: Run
    """The run folder."""
    timesteps: int | None = None
    """A new total of environment steps."""
    debug: bool = False
    """Show the traceback of an error."""

    def run(self, console: Console) -> None:
        trainer = BarrierNetTrainer.load(RunFolder.open(self.run_folder), timesteps=self.timesteps)
        if trainer.finished:
            raise UsageError(
                f"{self.run_folder} has already played {trainer.state.steps:,} steps: ask for more with "
                "--timesteps TOTAL."
            )
        assert trainer.run is not None
        if self.timesteps is not None:
            write_text(trainer.run.config, configuration.dump(trainer.config))
        console.print(f"resuming {self.run_folder} at step {trainer.state.steps:,}", highlight=False, soft_wrap=True)
        _train(trainer, console)


def _train(trainer: BarrierNetTrainer, console: Console) -> None:
    """Train to the end or to Ctrl-C, then draw the figures."""
    config, run = trainer.config, trainer.run
    assert run is not None
    with (
        _interruptible(console) as interrupted,
        TrainingDisplay(config.iterations, config.steps_per_iteration, console) as display,
    ):
        summary = trainer.train([display], interrupted)
    speed = summary["steps_per_second"]
    console.print(
        f"{'trained' if summary['finished'] else 'interrupted after'} {summary['steps']:,} steps in "
        f"{summary['seconds']:.1f} s" + (f" ({speed:,.0f} steps/s after compilation)" if speed else ""),
        highlight=False,
    )
    if not summary["finished"]:
        console.print(f"saved; go on with: safepursuit resume {run.path}", highlight=False, soft_wrap=True)
        return
    draw(trainer, console)


def draw(trainer: BarrierNetTrainer, console: Console) -> None:
    """The figures of a run: learning curves, and a page of held-out episodes."""
    run, config = trainer.run, trainer.config
    assert run is not None
    title = f"{config.method} against {config.evader}, {config.game.arena.obstacles} obstacles, seed {config.seed}"
    with console.status("drawing figures …"):
        learning_curves(read_metrics(run), title, run.figures / "learning_curves.png")
        judged = evaluate(trainer.policy, config, episodes=_SAMPLES)
        trajectories(judged.recording, title, run.figures / "trajectories.png", range(_SAMPLES))
    console.print(f"figures: {run.figures}", highlight=False, soft_wrap=True)


@contextlib.contextmanager
def _interruptible(console: Console) -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C (or a termination request) end the training after its iteration; the second ends it now."""
    asked: list[int] = []

    def note(number: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        console.print("stopping after this iteration; once more to stop at once", style="yellow")

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
