"""The two kinds of work in a comparison, and how a process does them."""

import os
import platform
import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, TypeAlias

import jax

from safepursuit.compare import trainings
from safepursuit.compare.cells import Cell, CellRecord, Worst, summarise
from safepursuit.compare.contenders import Contender
from safepursuit.evaluation import evaluate
from safepursuit.policy import Policy
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
        evader=job.cell.evader,
        obstacles=job.obstacles,
        seed=job.seed,
        rules="default",
    )
    return summarise(job.cell, evaluation)


def settle_in() -> None:
    """Prepare this process for jobs: JAX in one thread, compiled programs shared with other processes.

    The programs are kept in the folder that JAX_COMPILATION_CACHE_DIR names, or else in the user's cache, apart for
    each kind of processor, because they use whatever it offers; the folder may be removed at any time. To be called
    before JAX is first used.
    """
    # One thread, not one core: pinned to a core that another program uses, a process would wait for it.
    os.environ["PJRT_NPROC"] = "1"
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = cache / "safepursuit" / f"compiled-{_processor()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:  # no home to write to: compile every time
            return
        jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


def _processor() -> str:
    """A word for what this machine's processor can do, which JAX's own keys do not contain."""
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8") if info.is_file() else platform.processor()
    abilities = re.search(r"^(?:flags|Features)\s*:.*$", text, re.MULTILINE)
    return sha256((platform.machine() + (abilities[0] if abilities else text)).encode()).hexdigest()[:12]
