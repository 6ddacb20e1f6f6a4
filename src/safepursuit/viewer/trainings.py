"""The page of trainings: what their run folders say now. Nothing in them is written, and no lock is taken."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from safepursuit.runs.folder import RunFolder
from safepursuit.runs.metrics import MetricsError, read_metrics
from safepursuit.viewer.newest import Newest
from safepursuit.viewer.packing import page
from safepursuit.viewer.serving import Answer

_SILENCE = 60.0
"""Seconds without a row after which a training that is not complete counts as stopped, or ten rows' time if longer."""

_POINTS = 500
"""Rows of a long training that are shown."""


def watched(folders: Sequence[Path]) -> list[RunFolder]:
    """The runs in these folders; that of a training with several seeds holds one per seed, that of a
    pair a pursuer's and an evader's.

    Raises RunFolderError where there is none.
    """
    found: list[RunFolder] = []
    for folder in folders:
        found += RunFolder.together(folder) or [RunFolder.open(folder)]
    return found


def answers(runs: Sequence[RunFolder], newest: Newest) -> Mapping[str, Answer]:
    """What a server says of these runs: the page, its data, and the newest episodes of each run that has any."""
    content = page("watch").encode()

    def data(_: str) -> bytes:
        told = zip_longest(trainings(runs), newest.told())
        return json.dumps([entry | {"newest": one} for entry, one in told], allow_nan=False).encode()

    def episodes(number: int, _: str) -> bytes:
        return newest.page(number)

    found: dict[str, Answer] = {"/": lambda _: content, "/data": data}
    for number in range(len(newest.runs)):
        found[f"/episodes/{number}"] = partial(episodes, number)
    return found


def trainings(runs: Sequence[RunFolder]) -> list[dict[str, Any]]:
    """One entry per run: name, what is trained, its state, and its metrics by name, thinned out evenly."""
    return [_training(run) for run in runs]


def _training(run: RunFolder) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": str(run.path), "about": "", "timesteps": None, "trouble": "", "metrics": {}}
    try:
        # The whole configuration may need plugins, which are not executed here.
        config: Any = OmegaConf.load(run.config)
        entry["about"] = f"{config.get('method')} against {config.get('evader')}, seed {config.get('seed')}"
        entry["timesteps"] = int(config.get("timesteps"))
        rows = read_metrics(run)
    except (MetricsError, OSError, TypeError, ValueError, AttributeError) as error:
        return entry | {"state": "damaged", "trouble": " ".join(str(error).split())}
    entry["state"] = _state(run, rows, entry["timesteps"])
    names = {name: None for row in rows for name in row}
    every = max(1, math.ceil(len(rows) / _POINTS))
    shown = rows[(len(rows) - 1) % every :: every] if rows else []
    entry["metrics"] = {name: [_number(row.get(name)) for row in shown] for name in names}
    return entry


def _state(run: RunFolder, rows: Sequence[dict[str, float]], timesteps: int) -> str:
    if rows and rows[-1]["steps"] >= timesteps:
        return "finished"
    changed = max((file.stat().st_mtime for file in (run.metrics, run.config) if file.exists()), default=0.0)
    usual = rows[-1].get("time/seconds", 0.0) / rows[-1]["iteration"] if rows else _SILENCE
    silent = time.time() - changed > max(_SILENCE, 10 * usual)
    return "stopped" if silent else "running" if rows else "waiting"


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
