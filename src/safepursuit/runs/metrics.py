"""The metric log of a run: one row per iteration, in metrics.csv and in TensorBoard, under the same names."""

import csv
import math
from collections.abc import Mapping
from pathlib import Path

from safepursuit.process import without
from safepursuit.runs.folder import RunFolder, write_text

Metrics = Mapping[str, float]


class MetricsLog:
    """Appends rows to `metrics.csv` (on disk when `write` returns) and to TensorBoard; without a run, to neither."""

    def __init__(self, run: RunFolder | None, after_iteration: int = 0) -> None:
        """Continue after this iteration: later rows, from work lost in a crash, are dropped."""
        self._board = None
        if run is None:
            return
        self._file = run.metrics
        kept = [row for row in read_metrics(run) if row["iteration"] <= after_iteration]
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
        with self._file.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(metrics))
            if new:
                writer.writeheader()
            writer.writerow(metrics)
        step = int(metrics["steps"])
        for name, value in metrics.items():
            if "/" in name and math.isfinite(value):  # a rate without episodes has no point on the curve
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        if self._board is not None:
            self._board.close()


def read_metrics(run: RunFolder) -> list[dict[str, float]]:
    """All complete rows of a run's metrics.csv, oldest first; an empty list where there is none."""
    if not run.metrics.exists():
        return []
    with run.metrics.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        width = len(reader.fieldnames or ())
        return [
            {name: float(value) for name, value in row.items()}
            for row in reader
            if len(row) == width and all(value not in (None, "") for value in row.values())
        ]


def _cut(file: Path, rows: int) -> None:
    """Keep the heading and the first `rows` rows; without rows, remove the file."""
    if rows:
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        write_text(file, "".join(lines[: rows + 1]))
    else:
        file.unlink()
