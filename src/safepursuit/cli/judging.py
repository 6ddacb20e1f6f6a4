"""`evaluate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from safepursuit.cli.usage import Run, UsageError
from safepursuit.evaluate import evaluate
from safepursuit.evaluate.deployment import Deployment
from safepursuit.evaluate.episodes import save as save_recording
from safepursuit.evaluate.evaluation import Rules
from safepursuit.ppo import BarrierNetTrainer
from safepursuit.report.tables import evaluation_table
from safepursuit.runs.folder import RunFolder, slug, write_json


@dataclass(frozen=True)
class Evaluate:
    """Judge a run: deterministic policy, fixed scenarios, collisions counted by the referee."""

    run_folder: Run
    """The run folder."""
    episodes: int = 1000
    """Number of episodes."""
    evader: str | None = None
    """Opponent (default: the suite's, or else the one of the training)."""
    suite: str = "standard"
    """Scenarios; `safepursuit list suites` names them."""
    rules: Rules = "as-trained"
    """The game the suite is made from: the training's own, or the default one, in which `compare` judges."""
    obstacles: int | None = None
    """Number of discs (default: the suite's, or else as in the training)."""
    seed: int = 0
    """Chooses the scenarios; the same seed gives every policy the same ones."""
    shield: Deployment = "as-trained"
    """What stands between the network and the wheels."""
    checkpoint: Literal["latest", "best"] = "latest"
    """Which checkpoint to judge."""
    json: Path | None = None
    """Write the figures to this file as well."""
    record: Path | None = None
    """Write every step of every episode to this .npz file."""
    debug: bool = False
    """Show the traceback of an error."""

    def run(self, console: Console) -> None:
        run = RunFolder.open(self.run_folder)
        for file in (self.json, self.record):
            if file is not None and not file.absolute().parent.is_dir():
                raise UsageError(f"folder {file.absolute().parent} does not exist.")
        trainer = BarrierNetTrainer.load(run, self.checkpoint)
        with console.status(f"playing {self.episodes:,} episodes …"):
            judged = evaluate(
                trainer.policy,
                trainer.config,
                episodes=self.episodes,
                suite=self.suite,
                evader=self.evader,
                obstacles=self.obstacles,
                seed=self.seed,
                deployment=self.shield,
                rules=self.rules,
            )
        result = judged.result
        name = slug(
            f"{self.suite}-{result['evader']}-{result['obstacles']}-{self.shield}-seed{self.seed}-{self.episodes}"
            + ("" if self.rules == "as-trained" else "-default-rules")
        )
        files = [run.evaluations / f"{name}-{trainer.state.steps}.json", *([self.json] if self.json else [])]
        for file in files:
            write_json(file, result)
        if self.record:
            save_recording(judged.recording, self.record)
        console.print(evaluation_table(result))
        console.print(f"run folder: {run.path}", highlight=False, soft_wrap=True)
