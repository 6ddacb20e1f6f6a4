"""Training for `train` and `resume`, with its display, Ctrl-C and figures."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.console import Console

from safepursuit.cli.signals import Interrupted, on_signals
from safepursuit.cli.usage import say
from safepursuit.evaluation import evaluate
from safepursuit.learn import BarrierNetTrainer, Pair, SeedGroup
from safepursuit.learn.trainer import Observer
from safepursuit.process import keep_freed_memory
from safepursuit.report.tables import as_role, obstacles
from safepursuit.runs.console import TrainingDisplay
from safepursuit.runs.folder import resume_command
from safepursuit.runs.metrics import read_metrics

_SAMPLES = 9
"""Episodes on the page of trajectories."""


def train_and_draw(trainers: list[BarrierNetTrainer], path: Path, console: Console) -> None:
    """Train to the end and draw the figures, or train until Ctrl-C and raise Interrupted."""
    config = trainers[0].config
    with (
        _interruptible(trainers[0], console) as received,
        TrainingDisplay(config.iterations, config.steps_per_iteration, console, config.role) as display,
    ):
        observers: list[Observer] = [display, _keep_memory]
        if len(trainers) == 1:
            summaries = [trainers[0].train(observers, lambda: bool(received))]
        elif trainers[0].config.role != trainers[1].config.role:
            console.print("figures are the pursuer's", style="dim")
            summaries = Pair(trainers).train(observers, lambda: bool(received))
        else:
            console.print(f"figures are means over {len(trainers)} seeds; steps/s of all together", style="dim")
            summaries = SeedGroup(trainers).train(observers, lambda: bool(received))
    summary = summaries[0]
    speed, each = summary["steps_per_second"], " each" if len(trainers) > 1 else ""
    console.print(
        f"{'trained' if summary['finished'] else 'interrupted after'} {summary['steps']:,} steps{each} in "
        f"{summary['seconds']:.1f} s" + (f" ({speed:,.0f} steps/s after compilation)" if speed else ""),
        highlight=False,
    )
    if not summary["finished"]:
        say(console, f"saved; go on with: {resume_command(path)}")
        raise Interrupted(received[0], told=True)
    for trainer in trainers:
        draw(trainer, console)


def _keep_memory(row: Mapping[str, float]) -> None:
    """To be called after an iteration, when everything is compiled and the compiler has returned its memory."""
    keep_freed_memory()


def draw(trainer: BarrierNetTrainer, console: Console) -> None:
    """The figures of a run: learning curves, and a page of held-out episodes."""
    from safepursuit.report.figures import learning_curves, trajectories  # late, for a faster start

    run, config = trainer.run, trainer.config
    assert run is not None
    title = f"{config.method}{as_role(config)} against {config.opponent}, {obstacles(config.game.arena)}"
    title += f", seed {config.seed}"
    with console.status("drawing figures …"):
        learning_curves(read_metrics(run), title, run.figures / "learning_curves.png")
        judged = evaluate(trainer.policy, config, episodes=_SAMPLES)
        trajectories(judged.recording, title, run.figures / "trajectories.png", range(_SAMPLES))
    say(console, f"figures: {run.figures}")


@contextlib.contextmanager
def _interruptible(trainer: BarrierNetTrainer, console: Console) -> Iterator[list[int]]:
    """The signals received: the first one is to end the training after its iteration, the second one ends it at once.

    So does the first one while programs are compiled for the first iteration: there is nothing to save yet.
    """
    received: list[int] = []
    first = trainer.state.iteration

    def note(number: int) -> None:
        if received or trainer.state.iteration == first:
            raise Interrupted(number)
        received.append(number)
        console.print("stopping after this iteration; once more to stop at once", style="yellow")

    with on_signals(note):
        yield received
