"""A smaller counterexample: fewer discs, fewer steps, fewer errors, rounder numbers, the same collision."""

from collections.abc import Iterator
from itertools import islice

import numpy as np

from safepursuit.agents import Trained
from safepursuit.attack.drive import Driven, Judged, judged, roll
from safepursuit.attack.plans import Plan, pick, stack
from safepursuit.attack.worlds import World

_TOGETHER = 64
"""Simplifications tried in one call."""

_ROUNDS = 200


def shrink(plan: Plan, world: World, policy: Trained | None = None) -> tuple[Plan, Driven, Judged]:
    """The simplest plan found that still collides, with its drive and verdict; all of one game, with a games axis.

    `plan` holds one game, which collides, without a games axis.
    """
    current, poses = plan, _together([plan], world, policy)[1].pose[..., 0]
    for _ in range(_ROUNDS):
        tried = list(islice(_simpler(current, np.asarray(poses), world), _TOGETHER))
        batch, driven, verdict = _together(tried, world, policy)
        hits = np.flatnonzero((verdict.contact.any(axis=1) & _legal(batch, world))[: len(tried)])
        if not len(hits):
            break
        current, poses = tried[hits[0]], driven.pose[..., hits[0]]
    batch, driven, verdict = _together([current], world, policy)
    return pick(batch, [0]), pick(driven, [0]), Judged(verdict.contact[:1], verdict.clearance[:1])


def _together(plans: list[Plan], world: World, policy: Trained | None) -> tuple[Plan, Driven, Judged]:
    """Plans of one game each, driven and judged in a batch of one size, for which the program is compiled once."""
    batch = stack(plans + plans[:1] * (_TOGETHER - len(plans)))
    driven = roll(batch, world, policy)
    return batch, driven, judged(batch, driven, world)


def _legal(batch: Plan, world: World) -> np.ndarray:
    """(games,) the body is clear at the start, by as much as the world asks for."""
    x, y = (np.asarray(batch.start[axis], float) for axis in range(2))
    half = world.half_extents
    clear = np.minimum(half[0] - np.abs(x), half[1] - np.abs(y)) - world.robot.radius
    apart = np.hypot(*(np.asarray(batch.centre[axis], float) - (x, y)[axis] for axis in range(2)))
    gaps = np.where(batch.present, apart - np.asarray(batch.radius, float), np.inf).min(axis=0) - world.robot.radius
    return np.minimum(clear, gaps) >= world.start_clearance


def _simpler(plan: Plan, poses: np.ndarray, world: World) -> Iterator[Plan]:
    """Simplifications of one game, the greatest first; none that changes nothing."""
    for candidate in _candidates(plan, poses, world):
        if any(not np.array_equal(one, other) for one, other in zip(plan, candidate, strict=True)):
            yield candidate


def _candidates(plan: Plan, poses: np.ndarray, world: World) -> Iterator[Plan]:
    there = np.flatnonzero(plan.present)
    if len(there) > 2:
        yield plan._replace(present=plan.present & np.isin(np.arange(len(plan.present)), there[: len(there) // 2]))
        yield plan._replace(present=plan.present & np.isin(np.arange(len(plan.present)), there[len(there) // 2 :]))
    for disc in there:
        yield plan._replace(present=plan.present & (np.arange(len(plan.present)) != disc))
    if not (world.robot.has_inertia or world.errors.delay):
        for first in (world.steps // 2, world.steps // 4, 4, 1):
            yield _later(plan, first, poses)
    yield plan._replace(errors=np.zeros_like(plan.errors))
    yield plan._replace(slip=np.zeros_like(plan.slip))
    yield plan._replace(errors=np.broadcast_to(plan.errors[:1], plan.errors.shape).copy())
    for kind in range(plan.errors.shape[1]):
        yield plan._replace(errors=np.where(np.arange(plan.errors.shape[1]) == kind, 0, plan.errors))
    yield plan._replace(chases=np.ones_like(plan.chases), nominal=np.zeros_like(plan.nominal))
    yield plan._replace(chases=np.zeros_like(plan.chases))
    for step in range(0, world.steps, max(1, world.steps // 8)):
        same = np.broadcast_to(plan.nominal[step], plan.nominal.shape).copy()
        yield plan._replace(nominal=same, chases=np.broadcast_to(plan.chases[step], plan.chases.shape).copy())
    for gain in (1.0, 0.5, 0.0):
        yield plan._replace(gains=np.full_like(plan.gains, gain))
    for name in ("radius", "centre", "start", "nominal", "errors", "gains", "slip"):
        for places in (1, 2, 3):
            yield plan._replace(**{name: getattr(plan, name).round(places)})


def _later(plan: Plan, first: int, poses: np.ndarray) -> Plan:
    """The game from a later step on, for a robot without memory; `poses` (time, 3) are those of the game."""

    def moved(part: np.ndarray) -> np.ndarray:
        return np.concatenate([part[first:], np.broadcast_to(part[-1:], (first, *part.shape[1:]))])

    parts: dict[str, np.ndarray] = {name: moved(getattr(plan, name)) for name in ("nominal", "chases", "errors")}
    return plan._replace(start=poses[first], **parts)
