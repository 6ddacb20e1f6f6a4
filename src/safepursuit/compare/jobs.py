"""The two kinds of work in a comparison, and how a process does them."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeAlias

from safepursuit.compare import trainings
from safepursuit.compare.cells import Cell, CellRecord, Worst, summarise
from safepursuit.compare.contenders import Contender
from safepursuit.evaluation import evaluate
from safepursuit.evaluation.evaluation import Rules
from safepursuit.experiment.opponents import Opponents
from safepursuit.policy import Policy
from safepursuit.process import keep_compiled_programs, use_one_thread
from safepursuit.runs.folder import RunFolder

Finished: TypeAlias = tuple[CellRecord, Worst]
"""All that is written of a cell."""

Report: TypeAlias = Callable[[Mapping[str, float]], None]


class TrainingJob(NamedTuple):
    """Train a run until it is finished."""

    contender: Contender
    folder: Path

    @property
    def shape(self) -> Hashable:
        """Jobs of the same shape run the same compiled programs."""
        return "training", replace(self.contender.config, seed=0)

    def __str__(self) -> str:
        return f"training of {self.contender.name}"


class CellJob(NamedTuple):
    """Compute a cell."""

    cell: Cell
    folder: Path | None
    """The run folder, which only the process that hands out the job can read; None for a scripted pursuer."""
    episodes: int
    obstacles: int | None
    """None where the suite sets their number."""
    seed: int
    pursuer: Policy | str | None = None
    """Filled in when the job is handed out."""
    evader: Opponents | None = None
    """Likewise, where it is trained."""
    rules: Rules = "default"

    @property
    def contender(self) -> Contender:
        return self.cell.contender

    @property
    def shape(self) -> Hashable:
        """Jobs of the same shape run the same compiled programs."""
        scripted = self.contender.name if self.folder is None else None
        config = self.contender.config
        return "cell", scripted, config.method, config.policy, config.shield, self.cell[1:]

    def __str__(self) -> str:
        return f"{self.contender.name} on {self.cell.suite} against {self.cell.evader}"


Job: TypeAlias = TrainingJob | CellJob


def perform(job: Job, report: Report) -> Finished | None:
    """Do a job in this process: train a run in its folder, or compute a cell, which is returned."""
    if isinstance(job, TrainingJob):
        trainings.go_on(RunFolder(job.folder), [report])
        return None
    assert job.pursuer is not None
    evaluation = evaluate(
        job.pursuer,
        job.contender.config,
        episodes=job.episodes,
        suite=job.cell.suite,
        evader=job.evader or job.cell.evader,
        obstacles=job.obstacles,
        seed=job.seed,
        rules=job.rules,
    )
    return summarise(job.cell, evaluation)


def settle_in() -> None:
    """Prepare this process for jobs: JAX in one thread, compiled programs shared with other processes.

    To be called before JAX is first used.
    """
    use_one_thread()
    keep_compiled_programs()
