"""How the contenders of a comparison were trained: curves with bands over the seeds, collisions, speed."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from safepursuit.compare.contenders import Contender
from safepursuit.compare.plan import Plan
from safepursuit.report.figures import smoothed
from safepursuit.runs.folder import RunFolder
from safepursuit.runs.metrics import read_metrics

POINTS = 50
"""Of a curve."""

CURVES = {
    "capture": "pursuit/capture_rate",
    "collisions": "safety/collisions",
    "intervention": "qp/intervention_rate",
}


def run_of(contender: Contender, folder: Path) -> RunFolder | None:
    """The run of a contender, if it has one that is still there."""
    path = contender.folder(folder)
    return RunFolder(path) if path and path.is_dir() else None


def training(folder: Path, plan: Plan) -> dict[str, Any]:
    """For each group with runs: steps, and steps with an own collision in the training, seed by seed; None where a
    run's summary is not there."""
    return _summaries(folder, plan, ("steps", "collisions"))


def timing(folder: Path, plan: Plan) -> dict[str, Any]:
    """For each group with runs: the medians over its seeds of what depends on the machine."""
    found = _summaries(folder, plan, ("steps_per_second", "qp_time_us"))
    return {group: {name: _median(values) for name, values in one.items()} for group, one in found.items()}


def curves(folder: Path, plan: Plan) -> dict[str, Any]:
    """For each group with metric logs: steps (POINTS,), and for each curve its mean over the seeds and its lowest and
    highest seed (POINTS,), None where a seed has no value yet.

    `collisions` are counted from the beginning; the others are running means over a twentieth of the training.
    """
    found = {}
    for group, runs in _runs(folder, plan).items():
        logs = [rows for run in runs if len(rows := read_metrics(run)) > 1]
        if logs:
            steps = np.linspace(0, min(rows[-1]["steps"] for rows in logs), POINTS)
            found[group] = {"seeds": len(logs), "steps": steps.tolist()} | {
                name: _band([_resampled(rows, key, steps) for rows in logs]) for name, key in CURVES.items()
            }
    return found


def _runs(folder: Path, plan: Plan) -> dict[str, list[RunFolder]]:
    found = {group: [run_of(one, folder) for one in plan.members(group)] for group in plan.groups}
    there = {group: [run for run in runs if run is not None] for group, runs in found.items()}
    return {group: runs for group, runs in there.items() if runs}


def _summaries(folder: Path, plan: Plan, names: tuple[str, ...]) -> dict[str, dict[str, list[Any]]]:
    """For each group with runs these figures of their summaries, seed by seed."""
    found = {}
    for group, runs in _runs(folder, plan).items():
        summaries = [_json(run.summary) for run in runs]
        found[group] = {name: [one.get(name) for one in summaries] for name in names}
    return found


def _resampled(rows: list[dict[str, float]], key: str, at: np.ndarray) -> np.ndarray:
    """One seed's curve at these steps; NaN before its first value."""
    steps = np.array([row["steps"] for row in rows])
    values = np.array([row.get(key, math.nan) for row in rows])
    known = np.isfinite(values)
    if not known.any():
        return np.full(at.shape, np.nan)
    steps, values = steps[known], values[known]
    if key == CURVES["collisions"]:
        return np.interp(at, np.concatenate([[0.0], steps]), np.concatenate([[0.0], np.cumsum(values)]))
    return np.interp(at, steps, smoothed(values), left=np.nan)


def _band(seeds: list[np.ndarray]) -> dict[str, list[float | None]]:
    values = np.array(seeds)
    return {
        name: [None if math.isnan(one) else float(one) for one in statistic(values, axis=0)]
        for name, statistic in (("mean", np.mean), ("low", np.min), ("high", np.max))
    }


def _json(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
