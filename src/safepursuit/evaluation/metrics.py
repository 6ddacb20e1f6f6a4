"""The figures of an evaluation, from its recording."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy  # loads its parts when they are used

from safepursuit.evaluation.referee import Verdict, judge
from safepursuit.game import other
from safepursuit.play.recording import Recording

CONFIDENCE = 0.95


def verdict(recording: Recording) -> Verdict:
    """The referee's verdict on the robot that is judged, `recording.role`."""
    game, role = recording.game, recording.role
    theirs = recording.of(other(role))
    return judge(
        own=recording.own,
        own_control=recording.own_control,
        other=theirs.own,
        other_control=theirs.own_control,
        discs=recording.discs,
        edges=recording.edges,
        movers=recording.movers,
        half_extents=np.asarray(game.arena.half_extents),
        own_radius=game.limits(role).radius,
        other_radius=game.limits(theirs.role).radius,
        length=recording.length,
        dt=game.robot.dt,
        integrator=game.robot.integrator,
        own_velocity=recording.own_velocity,
        other_velocity=theirs.own_velocity,
    )


def figures(recording: Recording, judged: Verdict) -> dict[str, Any]:
    """The figures of an evaluation under the keys of `evaluate --json` (docs/evaluation.md).

    Rates are per episode with 95 % intervals: Wilson for capture, Clopper–Pearson for collisions. Shares are per step,
    times [s], clearances [m]; the restricted mean counts an episode without capture as the full horizon. Collisions are
    the judged robot's own, by the referee. Invalid episodes, in which a number was not finite, are neither captures nor
    collisions. None where there is nothing to report.
    """
    game = recording.game
    episodes = len(recording.length)
    steps = int(recording.length.sum())
    captured = recording.outcome == "capture"
    times = recording.length * game.robot.dt
    collided = judged.collided
    # An episode without capture counts in full, even if a collision ended it early.
    censored = np.where(captured, times, game.horizon * game.robot.dt)
    return {
        "episodes": episodes,
        "steps": steps,
        "capture": rate(int(captured.sum()), episodes, "wilson"),
        "capture_without_collision": rate(int((captured & ~collided).sum()), episodes, "wilson"),
        "collision": {
            "count": int(collided.sum()),
            **rate(int(collided.sum()), episodes, "exact"),
            "by": {kind: int(getattr(judged, kind).any(axis=1).sum()) for kind in ("wall", "obstacle", "robot")},
        },
        "touched": int(judged.touched.any(axis=1).sum()),
        "invalid": int((recording.outcome == "invalid").sum()),
        "capture_time": {
            "mean": float(times[captured].mean()) if captured.any() else None,
            "median": float(np.median(times[captured])) if captured.any() else None,
            "restricted_mean": float(censored.mean()),
        },
        "min_clearance": float(np.nanmin(judged.clearance)) if np.isfinite(judged.clearance).any() else None,
        "intervention_rate": float(recording.intervened.sum() / steps),
        "mean_correction": float(np.sum(recording.correction, where=np.isfinite(recording.correction)) / steps),
        "infeasible_rate": float(recording.infeasible.sum() / steps),
        "zero_gradient_share": float(recording.lost_gradient.sum() / steps),
    }


def by_opponent(recording: Recording, judged: Verdict, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Episodes, capture and own collisions per opponent of a mixture, where `names[i]` played in episode i."""
    captured, collided, who = recording.outcome == "capture", judged.collided, np.array(names)
    found = {}
    for name in dict.fromkeys(names):
        own = who == name
        episodes, hits = int(own.sum()), int(collided[own].sum())
        found[name] = {
            "episodes": episodes,
            "capture": rate(int(captured[own].sum()), episodes, "wilson"),
            "collision": {"count": hits, **rate(hits, episodes, "exact")},
            "invalid": int((recording.outcome[own] == "invalid").sum()),
        }
    return found


def complement(rate: dict[str, float]) -> dict[str, float]:
    """Escapes from captures: a rate and its interval from the other side."""
    return {"rate": 1 - rate["rate"], "low": 1 - rate["high"], "high": 1 - rate["low"]}


def rate(count: int, total: int, method: str) -> dict[str, float]:
    """A rate with its 95 % interval, "wilson" or "exact" (Clopper–Pearson)."""
    interval = scipy.stats.binomtest(count, total).proportion_ci(CONFIDENCE, method)
    return {"rate": count / total, "low": float(interval.low), "high": float(interval.high)}
