"""Trainings that survive their process: begun once, continued after any interruption, finished once."""

import io
import shutil
import tarfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from safepursuit.experiment import TrainConfig, TrainedRun, create_run, load_config
from safepursuit.learn import BarrierNetTrainer
from safepursuit.runs import checkpoint
from safepursuit.runs.folder import RunFolder
from safepursuit.runs.lock import writing
from safepursuit.runs.metrics import read_metrics

Observer = Callable[[Mapping[str, float]], None]

PARTS = 10
"""Parts of about equal length into which a training on another machine is cut; with a machine one part is lost."""


def check(folder: Path, config: TrainConfig) -> None:
    """Raise ValueError where the folder holds a training of another configuration, or something else."""
    if (folder / "config.yaml").is_file():
        if load_config(RunFolder.open(folder)) != config:
            raise ValueError(
                f"{folder} was trained with another configuration than is asked for now: choose another --out, or "
                "remove the folder to train anew."
            )
    else:
        RunFolder.check_free(folder)


def begin(folder: Path, config: TrainConfig, command: list[str], start: TrainedRun | None = None) -> RunFolder:
    """The run folder of a training, made in one step if it is not there."""
    previous = _beside(folder, "previous")
    if previous.is_dir() and not folder.exists():
        previous.rename(folder)  # `replace` was interrupted
    check(folder, config)
    if not (folder / "config.yaml").is_file():
        partial = _beside(folder, "partial")
        shutil.rmtree(partial, ignore_errors=True)
        create_run(partial, config, command, start)
        partial.rename(folder)
    return RunFolder.open(folder)


def finished(folder: Path, config: TrainConfig) -> bool:
    """Whether the training in this folder needs nothing more."""
    run = RunFolder(folder)
    if not run.summary.is_file() or not checkpoint.exists(run):
        return False
    return checkpoint.steps(run) >= config.iterations * config.steps_per_iteration


def go_on(run: RunFolder, observers: Iterable[Observer] = (), parts: int = 1) -> bool:
    """Train from the latest checkpoint, or from the start, to the end, in the same bits however often it was stopped.

    With several parts only about one part of the whole, to the next checkpoint. Returns whether it is finished.
    """
    with writing(run):
        trainer = BarrierNetTrainer.resumed(run)
        every = trainer.config.checkpoint_every
        # A part ends where a checkpoint is due anyway.
        stop = trainer.state.iteration + every * -(-trainer.config.iterations // (every * parts))
        trainer.train(observers, lambda: parts > 1 and trainer.state.iteration >= stop - stop % every)
    return trainer.finished


def train_part(content: bytes, parts: int = PARTS) -> tuple[bytes, bool, dict[str, float]]:
    """One part of a training whose packed run folder is sent by value.

    Returns the packed folder, whether the training is finished, and the last metrics.
    """
    with TemporaryDirectory() as name:
        run = RunFolder(Path(name) / "run")
        unpack(content, run.path)
        done = go_on(run, parts=parts)
        rows = read_metrics(run)
        return pack(run.path), done, rows[-1] if rows else {}


def pack(folder: Path) -> bytes:
    """The files of a folder."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as archive:
        archive.add(folder, arcname=".")
    return stream.getvalue()


def unpack(content: bytes, folder: Path) -> None:
    """Write packed files into a folder that is not there yet."""
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        archive.extractall(folder, filter="data")


def replace(folder: Path, content: bytes) -> None:
    """Put packed files in the place of a folder; `begin` recovers from an interruption between the two steps."""
    partial, previous = _beside(folder, "partial"), _beside(folder, "previous")
    for one in (partial, previous):
        shutil.rmtree(one, ignore_errors=True)
    unpack(content, partial)
    folder.rename(previous)
    partial.rename(folder)
    shutil.rmtree(previous)


def _beside(folder: Path, what: str) -> Path:
    return folder.with_name(f".{folder.name}.{what}")
