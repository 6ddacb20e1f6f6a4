"""From the finished cells of a comparison to its numbers: everything that its report says, as plain JSON.

Rates and times are pooled over the seeds of a group. Shares are of steps, each step counting once. What depends on
the clock or on the machine is in `timing` and `provenance` alone; the rest is the same whenever the same comparison is
made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from safepursuit.compare import cells
from safepursuit.compare import plan as plans
from safepursuit.compare.cells import Cell, CellRecord
from safepursuit.compare.crossplay import crossplay
from safepursuit.compare.plan import Plan, PlannedSuite
from safepursuit.evaluation import statistics
from safepursuit.evaluation.metrics import rate
from safepursuit.report.comparison.contrasts import contrasts
from safepursuit.report.comparison.learning import curves, timing, training

CURVE_POINTS = 61
"""Times from 0 to the horizon at which the share of captures is given."""

SECTORS = 8
"""Of the initial bearing, each an eighth of the circle; the first is centred straight ahead, the next to its left."""

RINGS = 4
"""Of the initial distance, with about as many scenarios each."""


@dataclass(frozen=True)
class Comparison:
    """A finished comparison."""

    folder: Path
    plan: Plan
    records: dict[Cell, CellRecord]

    def of(self, suite: PlannedSuite, group: str, evader: str | None = None) -> list[CellRecord]:
        """The cells of a group on a suite, evader by evader, its seeds in the order of the plan."""
        evaders = suite.evaders if evader is None else (evader,)
        contenders = self.plan.members(group)
        return [self.records[Cell(one, suite.name, name)] for name in evaders for one in contenders]


def load(folder: Path) -> Comparison:
    """A finished comparison. Raises ValueError where a cell is missing or does not belong to the plan."""
    plan = plans.read(folder)
    wanted = list(plan.cells())
    missing = [cell for cell in wanted if not cell.file(folder).is_file()]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(wanted)} cells are missing in {folder}, such as {missing[0].file(folder)}: "
            "run the same `safepursuit compare` again, it goes on where it stopped."
        )
    records = {cell: cells.read(cell.file(folder)) for cell in wanted}
    for cell, record in records.items():
        played = len(record.outcomes.captured)
        if played != plan.episodes:
            raise ValueError(
                f"{cell.file(folder)} has {played} episodes, the plan {plan.episodes}: remove it and compare again."
            )
    return Comparison(folder, plan, records)


def numbers(comparison: Comparison) -> dict[str, Any]:
    """The contents of report.json."""
    plan = comparison.plan
    return {
        "compared": _compared(plan),
        "suites": [_suite(comparison, suite) for suite in plan.suites],
        "collisions": {group: _all_collisions(comparison, group) for group in plan.groups},
        "training": training(comparison.folder, plan),
        "learning": curves(comparison.folder, plan),
        "timing": timing(comparison.folder, plan),
        "provenance": {
            "command": plan.command,
            "runs": {one.name: one.run for one in plan.contenders if one.run},
            **plan.provenance,
        },
    }


def _compared(plan: Plan) -> dict[str, Any]:
    groups = {}
    for group in plan.groups:
        members = plan.members(group)
        groups[group] = {
            "method": members[0].method,
            "contenders": len(members),
            "seeds": [one.seed for one in members if one.seed is not None],
            "steps": [one.steps for one in members if one.steps is not None],
        }
    return {
        "primary": plan.primary,
        "groups": groups,
        "episodes": plan.episodes,
        "seed": plan.seed,
        "obstacles": plan.obstacles,
        "shield": plan.shield,
    }


def _suite(comparison: Comparison, suite: PlannedSuite) -> dict[str, Any]:
    plan = comparison.plan
    horizon = _horizon(comparison, suite)
    records = {group: comparison.of(suite, group) for group in plan.groups}
    edges = _edges(records[plan.primary][0].outcomes.distance)
    return {
        "name": suite.name,
        "version": suite.version,
        "evaders": list(suite.evaders),
        "horizon": horizon,
        "groups": {group: _summary(found, len(suite.evaders), horizon) for group, found in records.items()},
        "matchups": {
            evader: {group: _matchup(comparison.of(suite, group, evader)) for group in plan.groups}
            for evader in suite.evaders
        },
        "crossplay": _crossplay(comparison, suite),
        "contrasts": contrasts(
            {group: _captures(found, len(suite.evaders)) for group, found in records.items()}, suite.evaders
        ),
        "capture_curves": {group: _curve(found, horizon) for group, found in records.items()},
        "starts": {
            "distance_edges": edges.tolist(),
            "groups": {group: _by_start(found, edges) for group, found in records.items()},
        },
    }


def _crossplay(comparison: Comparison, suite: PlannedSuite) -> dict[str, Any]:
    """Every contender, of whatever seed, against every evader."""
    contenders = comparison.plan.contenders
    cells = [[Cell(one, suite.name, evader) for evader in suite.evaders] for one in contenders]
    captured = np.array([[comparison.records[cell].outcomes.captured for cell in row] for row in cells])
    return crossplay([one.name for one in contenders], suite.evaders, captured)


def _horizon(comparison: Comparison, suite: PlannedSuite) -> float:
    """Seconds until time-out, the same for all contenders."""
    first = [Cell(one, suite.name, suite.evaders[0]) for one in comparison.plan.contenders]
    games = [cells.read_worst(cell, comparison.folder).recording.game for cell in first]
    horizons = {game.horizon * game.robot.dt for game in games}
    if len(horizons) > 1:
        raise ValueError(
            f"the contenders played different games on {suite.name!r}: time-outs after "
            f"{' and '.join(f'{one:g}' for one in sorted(horizons))} s cannot be compared."
        )
    return horizons.pop()


def _captures(records: Sequence[CellRecord], evaders: int) -> np.ndarray:
    """(evaders, seeds, scenarios) bool."""
    captured = np.array([record.outcomes.captured for record in records])
    return captured.reshape(evaders, len(records) // evaders, -1)


def _pooled(records: Sequence[CellRecord], name: str) -> np.ndarray:
    return np.concatenate([getattr(record.outcomes, name) for record in records])


def _counted(flags: np.ndarray, method: str) -> dict[str, Any]:
    """How many of the episodes these flags (episodes,) mark, with rate and interval."""
    count = int(flags.sum())
    return {"count": count, "episodes": flags.size, **rate(count, flags.size, method)}


def _collisions(records: Sequence[CellRecord]) -> dict[str, Any]:
    """Episodes with a collision; `high`, the upper end of the exact interval, is what a count of 0 rules out."""
    by = [record.result["collision"]["by"] for record in records]
    kinds = {kind: sum(one[kind] for one in by) for kind in ("wall", "obstacle", "robot")}
    return _counted(_pooled(records, "collided"), "exact") | {"by": kinds}


def _all_collisions(comparison: Comparison, group: str) -> dict[str, Any]:
    """Over all suites."""
    return _collisions([record for suite in comparison.plan.suites for record in comparison.of(suite, group)])


def _summary(records: Sequence[CellRecord], evaders: int, horizon: float) -> dict[str, Any]:
    captured, collided = _pooled(records, "captured"), _pooled(records, "collided")
    by_run = _captures(records, evaders).mean(axis=2).T
    return {
        "capture": _counted(captured, "wilson"),
        "capture_iqm": statistics.interquartile_mean(by_run)._asdict() if len(by_run) > 1 else None,
        "clean": _counted(captured & ~collided, "wilson"),
        "collision": _collisions(records),
        "capture_time": statistics.restricted_mean(_pooled(records, "time"), captured, horizon)._asdict(),
        **_shares(records),
        "runs": [_run(records[number :: len(by_run)]) for number in range(len(by_run))],
    }


def _run(records: Sequence[CellRecord]) -> dict[str, Any]:
    """One contender over all evaders."""
    return {
        "seed": records[0].cell.contender.seed,
        "capture": float(np.mean(_pooled(records, "captured"))),
        "intervention": _shares(records)["intervention"],
    }


def _shares(records: Sequence[CellRecord]) -> dict[str, Any]:
    """What the safety layer did, over all steps of these cells."""
    steps = np.array([record.result["steps"] for record in records])

    def share(name: str) -> float:
        return float(np.dot(steps, [record.result[name] for record in records]) / steps.sum())

    return {
        "steps": int(steps.sum()),
        "intervention": share("intervention_rate"),
        "correction": share("mean_correction"),
        "infeasible": share("infeasible_rate"),
        "zero_gradient": share("zero_gradient_share"),
        "invalid": sum(record.result.get("invalid", 0) for record in records),
        "min_clearance": min(
            (record.result["min_clearance"] for record in records if record.result["min_clearance"] is not None),
            default=None,
        ),
    }


def _matchup(records: Sequence[CellRecord]) -> dict[str, Any]:
    """A group against one evader: pooled over its seeds, and seed by seed."""
    return {
        "capture": _counted(_pooled(records, "captured"), "wilson"),
        "by_run": [float(np.mean(record.outcomes.captured)) for record in records],
        "collision": _collisions(records),
        "restricted_mean": float(np.mean([record.result["capture_time"]["restricted_mean"] for record in records])),
    }


def _curve(records: Sequence[CellRecord], horizon: float) -> dict[str, list[float]]:
    grid = np.linspace(0, horizon, CURVE_POINTS)
    found = statistics.capture_curve(_pooled(records, "time"), _pooled(records, "captured"), horizon, grid)
    return {name: np.asarray(values).tolist() for name, values in found._asdict().items()}


def _edges(distance: np.ndarray) -> np.ndarray:
    """Edges of the rings of distance [m], (RINGS + 1,): quantiles, so that no ring is empty."""
    return np.quantile(distance, np.linspace(0, 1, RINGS + 1))


def sector(bearing: np.ndarray) -> np.ndarray:
    """The sector of a bearing [rad], left positive: 0 is ahead, the numbers go to the left."""
    width = 2 * np.pi / SECTORS
    return np.floor((bearing + width / 2) / width).astype(int) % SECTORS


def _by_start(records: Sequence[CellRecord], edges: np.ndarray) -> dict[str, list[list[int]]]:
    """Captures and episodes (rings, sectors) by where the evader was at the start, as the pursuer sees it."""
    counts = np.zeros((2, RINGS, SECTORS), int)
    for record in records:
        outcomes = record.outcomes
        ring = np.clip(np.searchsorted(edges, outcomes.distance, side="right") - 1, 0, RINGS - 1)
        place = (ring, sector(outcomes.bearing))
        np.add.at(counts[0], place, outcomes.captured)
        np.add.at(counts[1], place, 1)
    return {"captured": counts[0].tolist(), "episodes": counts[1].tolist()}
