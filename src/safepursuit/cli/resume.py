"""`resume`."""

from dataclasses import dataclass

from rich.console import Console

from safepursuit.cli.training import train_and_draw
from safepursuit.cli.usage import Debug, Run, UsageError, say
from safepursuit.experiment import load_config
from safepursuit.learn import BarrierNetTrainer
from safepursuit.process import use_all_cores
from safepursuit.runs import configuration
from safepursuit.runs.folder import RunFolder, write_text


@dataclass(frozen=True)
class Resume:
    """Go on with an interrupted training, or extend a finished one, exactly as if it had never stopped."""

    run_folder: Run
    """The run folder, or the folder of several seeds."""
    timesteps: int | None = None
    """A new total of environment steps."""
    debug: Debug = False

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
        say(console, f"resuming {self.run_folder} at step {steps:,}")
        train_and_draw(trainers, self.run_folder, console)
