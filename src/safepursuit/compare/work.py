"""Carrying out the jobs of a comparison: trainings first, then the cells of a run as soon as it is trained."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from safepursuit.compare import cells, trainings
from safepursuit.compare.jobs import CellJob, Job, TrainingJob
from safepursuit.evaluation.evaluation import game_of
from safepursuit.experiment import load_run
from safepursuit.experiment.opponents import Opponents, find
from safepursuit.game import Game
from safepursuit.players import is_run
from safepursuit.policy import Policy
from safepursuit.runs.folder import RunFolder


class Event(NamedTuple):
    """Something that happened to a job."""

    job: Job
    kind: Literal["started", "progress", "finished", "failed"]
    value: Any = None
    """The metrics of an iteration; a `Finished` cell; the sentence that says why a job failed."""


@runtime_checkable
class Crew(Protocol):
    """The processes that do the jobs, on this machine or on many."""

    def choose(self, waiting: Sequence[Job]) -> Job | None:
        """The job to start next; None if no process is free."""

    def give(self, job: Job) -> None:
        """Start the job that was chosen."""

    def events(self) -> list[Event]:
        """Blocks until there are events; returns at once, with none, if no job runs."""

    def close(self) -> None:
        """Stop everything at once."""


Observer = Callable[[Event], None]


def carry_out(
    to_train: Sequence[TrainingJob],
    to_evaluate: Sequence[CellJob],
    crew: Crew,
    out: Path,
    command: list[str],
    observers: Sequence[Observer] = (),
) -> list[Event]:
    """Do all jobs; finished cells are written into OUT. Returns the failures; one failure does not stop the others."""
    later: dict[str, list[Job]] = {job.contender.name: [] for job in to_train}
    ready: list[Job] = list(to_train)
    for cell in to_evaluate:
        later.get(cell.contender.name, ready).append(cell)
    failures: list[Event] = []

    def settle(event: Event) -> None:
        if event.kind == "finished":
            if isinstance(event.job, CellJob):
                record, worst = event.value
                cells.write(record, worst, out)
            else:
                ready.extend(later[event.job.contender.name])
        if event.kind == "failed":
            failures.append(event)
        for observer in observers:
            observer(event)

    try:
        while True:
            while ready and (job := crew.choose(ready)):
                ready.remove(job)
                try:
                    crew.give(_equipped(job, command))
                except ValueError as error:
                    settle(Event(job, "failed", str(error)))
                else:
                    settle(Event(job, "started"))
            happened = crew.events()
            if not happened and not ready:
                return failures
            for event in happened:
                settle(event)
    finally:
        crew.close()


def _equipped(job: Job, command: list[str]) -> Job:
    """The job with all that only this process can read: a run folder to train in, the pursuer to evaluate."""
    if isinstance(job, TrainingJob):
        trainings.begin(job.folder, job.contender.config, command)
        return job
    if job.evader is None and is_run(job.cell.evader):
        job = job._replace(evader=_evader(job.cell.evader, game_of(job.contender.config, job.rules)))
    if job.folder is None:
        return job._replace(pursuer=job.contender.method)
    return job._replace(pursuer=_pursuer(job.folder, job.contender.steps))


@lru_cache(maxsize=16)
def _evader(name: str, game: Game) -> Opponents:
    """A trained evader for the game of a cell. Raises ValueError where it cannot be one."""
    return find(name, "evader", game, shield=None)


@lru_cache(maxsize=16)
def _pursuer(folder: Path, steps: int | None) -> Policy:
    """The policy of a run at its latest checkpoint. Raises ValueError where that is not the one of `steps`."""
    run = load_run(RunFolder.open(folder))
    if run.steps != steps:
        raise ValueError(f"{folder} has been trained beyond step {steps:,} since the comparison began: compare again.")
    return run.policy
