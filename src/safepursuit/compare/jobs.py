"""The two kinds of work in a comparison, and how a process does them."""

import os
import platform
import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeAlias

import jax

from safepursuit.compare import trainings
from safepursuit.compare.cells import Cell, write
from safepursuit.evaluation import evaluate
from safepursuit.evaluation.deployment import Pursuer
from safepursuit.experiment import TrainConfig
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
    """Make this process one that does jobs: on one core, sharing compiled programs with others on this machine.

    The programs are kept in the folder that JAX_COMPILATION_CACHE_DIR names, or else in the user's cache, apart for
    each kind of processor, because they use whatever it offers; the folder may be removed at any time. To be called
    before JAX is first used.
    """
    # One thread, not one core: pinned to a core that is busy with something else, a process would wait for it.
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
