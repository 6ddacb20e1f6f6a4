"""`train` and `resume`."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

import jax
import tyro
from rich.console import Console

from safepursuit.cli.memory import keep_freed_memory
from safepursuit.cli.usage import Run, UsageError, parsed_seeds
from safepursuit.evaluation import evaluate
from safepursuit.experiment import TrainConfig, load_config
from safepursuit.learn import BarrierNetTrainer, SeedGroup, ahead
from safepursuit.learn.sharded import mesh_of
from safepursuit.learn.trainer import Observer
from safepursuit.players import evader_weights
from safepursuit.report.tables import obstacles
from safepursuit.runs import configuration
from safepursuit.runs.console import TrainingDisplay
from safepursuit.runs.folder import SEED_PREFIX, RunFolder, slug, write_text
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
    seeds: str | None = None
    """Train these seeds in one program, such as 0..9 or 0,3,7; each gets its own run folder, RUN_DIR/seed-N."""
    dry_run: bool = False
    """Print the merged configuration and stop."""
    debug: bool = False
    """Show the traceback of an error."""
    settings: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)

    def run(self, console: Console) -> None:
        config = self.settings
        seeds = parsed_seeds(self.seeds) if self.seeds is not None else None
        if self.dry_run:
            console.print(configuration.dump(config), end="", highlight=False, markup=False)
            return
        stamp = f"{datetime.now():%Y%m%d-%H%M%S}"
        opponent = config.evader if len(evader_weights(config.evader)) == 1 else "mixture"
        path = self.run_dir or Path("runs") / slug(f"{config.method}-{opponent}-{stamp}")
        use_all_cores(config.shares)
        if seeds:
            RunFolder.check_free(path)
        elif config.devices is None:
            config = shared_by_all_cores(config)
        # First what refuses an impossible game, or devices that are not there, before anything is written.
        mesh_of(config)
        if not seeds:
            ahead.start(config)
        trainers = [BarrierNetTrainer(replace(config, seed=seed)) for seed in seeds or [config.seed]]
        for trainer in trainers:
            folder = path / f"{SEED_PREFIX}{trainer.config.seed}" if seeds else path
            text = configuration.dump(trainer.config)
            trainer.run = RunFolder.create(folder, text, ["safepursuit", *sys.argv[1:]])
        console.print(
            f"training {config.method} against {config.evader} with {obstacles(config.game.arena)}, "
            f"{config.timesteps:,} steps, {f'seeds {self.seeds}' if seeds else f'seed {config.seed}'} → {path}",
            highlight=False,
            soft_wrap=True,
        )
        _train(trainers, path, console)


@dataclass(frozen=True)
class Resume:
    """Go on with an interrupted training, or extend a finished one, exactly as if it had never stopped."""

    run_folder: Run
    """The run folder, or the folder of several seeds."""
    timesteps: int | None = None
    """A new total of environment steps."""
    debug: bool = False
    """Show the traceback of an error."""

    def run(self, console: Console) -> None:
        runs = RunFolder.of_seeds(self.run_folder) or [RunFolder.open(self.run_folder)]
        use_all_cores(max(load_config(run).shares for run in runs))
        trainers = [BarrierNetTrainer.load(run, timesteps=self.timesteps) for run in runs]
        steps = trainers[0].state.steps
        if trainers[0].finished:
            raise UsageError(
                f"{self.run_folder} has already played {steps:,} steps: ask for more with --timesteps TOTAL."
            )
        if self.timesteps is not None:
            for run, trainer in zip(runs, trainers, strict=True):
                write_text(run.config, configuration.dump(trainer.config))
        console.print(f"resuming {self.run_folder} at step {steps:,}", highlight=False, soft_wrap=True)
        _train(trainers, self.run_folder, console)


def use_all_cores(at_least: int = 1) -> None:
    """Let JAX treat every CPU core as a device (and make so many at least, to go on with a run of a machine with more);
    must come before its first use."""
    with contextlib.suppress(RuntimeError):  # in use already: it stays as it is
        jax.config.update("jax_num_cpu_devices", max(os.cpu_count() or 1, at_least))


def shared_by_all_cores(config: TrainConfig) -> TrainConfig:
    """The configuration with its games spread over as many cores of a CPU as can share them evenly."""
    if jax.default_backend() == "cpu":
        for devices in range(jax.local_device_count(), 1, -1):
            with contextlib.suppress(ValueError):
                return replace(config, devices=devices)
    return config


def _settle(row: Mapping[str, float]) -> None:
    """After an iteration: from the first one's end all is compiled, and what the compiler freed has gone."""
    keep_freed_memory()


def _train(trainers: list[BarrierNetTrainer], path: Path, console: Console) -> None:
    """Train to the end or to Ctrl-C, then draw the figures."""
    config = trainers[0].config
    with (
        _interruptible(console) as interrupted,
        TrainingDisplay(config.iterations, config.steps_per_iteration, console) as display,
    ):
        observers: list[Observer] = [display, _settle]
        if len(trainers) == 1:
            summaries = [trainers[0].train(observers, interrupted)]
        else:
            console.print(f"figures are means over {len(trainers)} seeds; steps/s of all together", style="dim")
            summaries = SeedGroup(trainers).train(observers, interrupted)
    summary = summaries[0]
    speed, each = summary["steps_per_second"], " each" if len(trainers) > 1 else ""
    console.print(
        f"{'trained' if summary['finished'] else 'interrupted after'} {summary['steps']:,} steps{each} in "
        f"{summary['seconds']:.1f} s" + (f" ({speed:,.0f} steps/s after compilation)" if speed else ""),
        highlight=False,
    )
    if not summary["finished"]:
        console.print(f"saved; go on with: safepursuit resume {path}", highlight=False, soft_wrap=True)
        return
    for trainer in trainers:
        draw(trainer, console)


def draw(trainer: BarrierNetTrainer, console: Console) -> None:
    """The figures of a run: learning curves, and a page of held-out episodes."""
    from safepursuit.report.figures import learning_curves, trajectories  # late, so that training starts sooner

    run, config = trainer.run, trainer.config
    assert run is not None
    title = f"{config.method} against {config.evader}, {obstacles(config.game.arena)}, seed {config.seed}"
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
