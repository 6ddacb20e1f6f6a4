"""The metric log of a run: one row per iteration, in metrics.csv and in TensorBoard, under the same names."""

import csv
import errno
import math
import os
import shutil
import warnings
from collections.abc import Mapping
from itertools import count, pairwise
from pathlib import Path

from safepursuit.process import without
from safepursuit.runs.folder import RunFolder, write_text

Metrics = Mapping[str, float]

_ROOM = 100_000
"""Bytes that must be free on the disk for the next rows."""


class MetricsError(ValueError):
    """A log that cannot be read; the message is one sentence for the user."""


class MetricsWarning(UserWarning):
    """A log cannot be read and is set aside."""


class MetricsLog:
    """Appends rows to `metrics.csv` (on disk when `write` returns) and to TensorBoard; without a run, to neither."""

    def __init__(self, run: RunFolder | None, after_iteration: int = 0) -> None:
        """Continue after this iteration: later rows, from work lost in a crash, are dropped.

        A damaged log is set aside, with a warning.
        """
        self._board = None
        if run is None:
            return
        self._file = run.metrics
        try:
            kept = rows_until(run, after_iteration)
        except MetricsError as error:
            kept = []
            aside = _set_aside(run.metrics)
            warnings.warn(f"{error} It is set aside as {aside.name}, a new one begins.", MetricsWarning, stacklevel=2)
        if run.metrics.exists():
            _cut(run.metrics, len(kept))
        purge = int(kept[-1]["steps"]) + 1 if kept else None
        with without("torch"):  # which tensorboardX imports for tensors only, in two seconds
            from tensorboardX import SummaryWriter
        self._board = SummaryWriter(str(run.tensorboard), purge_step=purge, write_to_disk=True)

    def write(self, metrics: Metrics) -> None:
        """Append the metrics of one iteration, `iteration` and `steps` among them."""
        if self._board is None:
            return
        new = not self._file.exists()
        # On a full disk the thread of tensorboardX dies, and the next rows wait for it for ever.
        if shutil.disk_usage(self._file.parent).free < _ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._file))
        try:
            with self._file.open("a", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, fieldnames=list(metrics))
                if new:
                    writer.writeheader()
                writer.writerow(metrics)
        except OSError as error:  # of a full disk the system does not say which file it was
            raise OSError(error.errno, error.strerror, str(self._file)) from None
        step = int(metrics["steps"])
        for name, value in metrics.items():
            if "/" in name and math.isfinite(value):  # a rate without episodes has no point on the curve
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        if self._board is not None:
            self._board.close()


def read_metrics(run: RunFolder) -> list[dict[str, float]]:
    """All rows of a run's metrics.csv, oldest first; an empty list where there is none.

    A last row that was cut short is left out. Raises MetricsError for any other damage.
    """
    if not run.metrics.exists():
        return []
    try:
        whole = [line for line in run.metrics.read_text("utf-8").splitlines(keepends=True) if line.endswith("\n")]
        heading, *lines = list(csv.reader(whole)) or [[]]
        if heading and not {"iteration", "steps"} <= set(heading):
            raise ValueError("it has no column of iterations or steps")
        rows = [dict(zip(heading, map(float, line), strict=True)) for line in lines]
        if any(one["iteration"] >= other["iteration"] for one, other in pairwise(rows)):
            raise ValueError("its iterations are not in order")
    except (ValueError, csv.Error) as error:
        raise MetricsError(f"the log {run.metrics} is damaged ({error}).") from None
    return rows


def rows_until(run: RunFolder, iteration: int) -> list[dict[str, float]]:
    """The rows up to an iteration. Raises as `read_metrics`."""
    return [row for row in read_metrics(run) if row["iteration"] <= iteration]


def _set_aside(file: Path) -> Path:
    """Rename a file, over no other."""
    names = (file.with_name(f"{file.stem}-damaged-{number}{file.suffix}") for number in count(1))
    aside = next(name for name in names if not name.exists())
    return file.rename(aside)


def _cut(file: Path, rows: int) -> None:
    """Keep the heading and the first `rows` rows; without rows, remove the file."""
    if rows:
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        write_text(file, "".join(lines[: rows + 1]))
    else:
        file.unlink()
