"""`resume`."""

import contextlib
from dataclasses import dataclass

from rich.console import Console

from safepursuit.cli.training import train_and_draw
from safepursuit.cli.usage import Debug, Run, UsageError, say
from safepursuit.experiment import load_config
from safepursuit.learn import BarrierNetTrainer
from safepursuit.learn.pair import home_of_pair, stand_in
from safepursuit.process import use_all_cores
from safepursuit.runs import configuration
from safepursuit.runs.folder import RunFolder, write_text
from safepursuit.runs.lock import writing


@dataclass(frozen=True)
class Resume:
    """Go on with an interrupted training exactly as if it had never stopped, or train beyond the end of a finished one.

    A new total also stretches a learning rate that falls: it goes on from where it would be in a training of that
    length.
    """

    run_folder: Run
    """The run folder, or the folder of several seeds, or of a pursuer and an evader that learn from each other."""
    timesteps: int | None = None
    """A new total of environment steps."""
    debug: Debug = False

    def run(self, console: Console) -> None:
        runs = RunFolder.together(self.run_folder) or [RunFolder.open(self.run_folder)]
        configs = [load_config(run) for run in runs]
        use_all_cores(max(config.shares for config in configs))
        if len(runs) == 1 and (home := home_of_pair(runs[0], configs[0])):
            raise UsageError(f"{self.run_folder} learns together with its opponent: resume {home}.")
        pair = len({config.role for config in configs}) > 1
        rivals = [stand_in(config) if pair else None for config in configs]
        with contextlib.ExitStack() as stack:
            for run in runs:
                stack.enter_context(writing(run))
            trainers = [
                BarrierNetTrainer.resumed(run, self.timesteps, rival) for run, rival in zip(runs, rivals, strict=True)
            ]
            # A crash while a group was saved: its members go on from where all of them are.
            least = min(trainer.state.steps for trainer in trainers)
            for index, (run, trainer) in enumerate(zip(runs, trainers, strict=True)):
                if trainer.state.steps > least:
                    say(console, f"{run.path} goes back to step {least:,}, as far as all have come")
                    trainers[index] = (
                        BarrierNetTrainer.load(run, least, self.timesteps, rivals[index])
                        if least
                        else BarrierNetTrainer(trainer.config, run, rivals[index])
                    )
            first = trainers[0]
            steps = first.state.steps
            if first.finished:
                raise UsageError(
                    f"{self.run_folder} has already played {steps:,} steps: ask for more with --timesteps TOTAL."
                )
            say(console, f"resuming {self.run_folder} at step {steps:,}")
            if self.timesteps is not None:
                if first.config.ppo.decay and (rows := first.history):
                    last = rows[-1]["ppo/learning_rate"]
                    say(console, f"the learning rate goes on from {first.learning_rate:.3g}, after {last:.3g}")
                for run, trainer in zip(runs, trainers, strict=True):
                    write_text(run.config, configuration.dump(trainer.config))
            train_and_draw(trainers, self.run_folder, console)
