"""The two kinds of work in a comparison, and how a process does them."""

import os
from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeAlias

from safepursuit.compare import trainings
from safepursuit.compare.cells import Cell, write
from safepursuit.evaluation import evaluate
from safepursuit.evaluation.deployment import Pursuer
from safepursuit.experiment import TrainConfig
from safepursuit.process import keep_compiled_programs, use_one_thread
from safepursuit.runs.folder import RunFolder

Files: TypeAlias = dict[str, bytes]
"""Contents of files, by their path in the folder of the comparison."""

Report: TypeAlias = Callable[[Mapping[str, float]], None]


class Training(NamedTuple):
    """Go on with a run until it is finished."""

    contender: str
    config: TrainConfig
    folder: Path

    @property
    def shape(self) -> Hashable:
        """Jobs of the same shape run the same compiled programs."""
        return "training", replace(self.config, seed=0)

    def __str__(self) -> str:
        return f"training of {self.contender}"


class Judging(NamedTuple):
    """Work out a cell."""

    cell: Cell
    config: TrainConfig
    """The contender's, with the game of the comparison."""
    episodes: int
    obstacles: int | None
    """None where the suite sets their number."""
    seed: int
    trained_steps: int | None
    folder: Path | None = None
    """The run folder, which only the process that hands out the job can see."""
    pursuer: Pursuer | None = None
    """Filled in when the job is handed out."""

    @property
    def shape(self) -> Hashable:
        """Jobs of the same shape run the same compiled programs."""
        scripted = self.cell.contender.name if self.folder is None else None
        return "judging", scripted, self.config.method, self.config.policy, self.config.shield, self.cell[1:]

    def __str__(self) -> str:
        return f"{self.cell.contender.name} on {self.cell.suite} against {self.cell.evader}"


Job: TypeAlias = Training | Judging


def perform(job: Job, report: Report) -> Files:
    """Do a job in this process; a training in its folder. Returns the files of a cell."""
    if isinstance(job, Training):
        trainings.go_on(RunFolder(job.folder), [report])
        return {}
    return judge(job)


def judge(job: Judging) -> Files:
    """The files of a finished cell; `trained_steps` among its figures says what it is a judgement of."""
    assert job.pursuer is not None
    judged = evaluate(
        job.pursuer,
        job.config,
        episodes=job.episodes,
        suite=job.cell.suite,
        evader=job.cell.evader,
        obstacles=job.obstacles,
        seed=job.seed,
    )
    judged = judged._replace(result=judged.result | {"trained_steps": job.trained_steps})
    with TemporaryDirectory() as name:
        write(job.cell, judged, Path(name))
        files = (file for file in Path(name).rglob("*") if file.is_file())
        return {file.relative_to(name).as_posix(): file.read_bytes() for file in files}


def place(files: Files, folder: Path) -> None:
    """Write the files of a cell, each in one step, the JSON file last: where that is, the cell is complete."""
    for name in sorted(files, key=lambda name: name.endswith(".json")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
        partial.write_bytes(files[name])
        partial.replace(target)


def settle_in() -> None:
    """Make this process one that does jobs: in one thread, sharing compiled programs with others on this machine.

    To be called before JAX is first used.
    """
    use_one_thread()
    keep_compiled_programs()
