"""Carrying out the jobs of a comparison: trainings first, then a run's cells as soon as it is trained."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import jax

from safepursuit.compare import trainings
from safepursuit.compare.jobs import Job, Judging, Training, place
from safepursuit.evaluation.deployment import Pursuer, ScriptedPursuer
from safepursuit.experiment import TrainConfig, load_config
from safepursuit.policy import Policy, build_policy
from safepursuit.runs import checkpoint
from safepursuit.runs.folder import RunFolder


class Event(NamedTuple):
    """Something that happened to a job."""

    job: Job
    kind: Literal["started", "progress", "finished", "failed"]
    value: Any = None
    """The metrics of an iteration; the files of a finished cell; the sentence that says why a job failed."""


@runtime_checkable
class Crew(Protocol):
    """Those who do the jobs: processes on this machine, or on many."""

    def choose(self, waiting: Sequence[Job]) -> Job | None:
        """The one it would take next; None if everybody is busy."""

    def give(self, job: Job) -> None:
        """Let somebody do the job that was chosen."""

    def events(self) -> list[Event]:
        """What happened since; waits until something did. Nothing if nobody is at work."""

    def close(self) -> None:
        """Stop everything at once."""


Observer = Callable[[Event], None]


def carry_out(
    to_train: Sequence[Training],
    to_judge: Sequence[Judging],
    crew: Crew,
    out: Path,
    command: list[str],
    observers: Sequence[Observer] = (),
) -> list[Event]:
    """Do all jobs; finished cells are written into OUT. Returns the failures; one failure does not stop the others."""
    training = {job.contender for job in to_train}
    ready: list[Job] = [*to_train, *(job for job in to_judge if job.cell.contender.name not in training)]
    later = [job for job in to_judge if job.cell.contender.name in training]
    failures: list[Event] = []

    def settle(event: Event) -> None:
        nonlocal later
        if event.kind == "finished":
            place(event.value, out)
        if isinstance(event.job, Training) and event.kind in ("finished", "failed"):
            own = [job for job in later if job.cell.contender.name == event.job.contender]
            later = [job for job in later if job not in own]
            if event.kind == "finished":
                ready.extend(own)
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
    """The job with all that only this process can see: a run folder to train in, the pursuer to judge."""
    if isinstance(job, Training):
        trainings.begin(job.folder, job.config, command)
        return job
    if job.folder is None:
        return job._replace(pursuer=ScriptedPursuer(job.cell.contender.method))
    return job._replace(pursuer=_pursuer(job.folder, job.trained_steps))


class _Trained(NamedTuple):
    """The part of `ppo.trainer.TrainingState` that plays."""

    policy: Policy


@lru_cache(maxsize=16)
def _pursuer(folder: Path, steps: int | None) -> Pursuer:
    """The policy of a run at its latest checkpoint, which must be that of `steps`."""
    run = RunFolder.open(folder)
    if int(checkpoint.locate(run).name) != steps:
        raise ValueError(f"{folder} has gone on from step {steps:,} while it was to be judged: compare again.")
    config: TrainConfig = load_config(run)
    fresh = build_policy(jax.random.key(0), config.method, config.policy, config.game.robot, config.shield)
    return checkpoint.restore(run, _Trained(fresh)).policy
