"""The pursuit game once more: one game at a time, found by marching and bisection.

It shares nothing with the package. A robot's way through a step is looked at in many moments; where its body is first
inside something, the moment of contact is bisected, and there the robot stays until the step is over. Everything else
is counted from positions at those moments.
"""

import math
from dataclasses import dataclass

import numpy as np

from reference import motion

PIECES = 400
INSIDE = -1e-11


@dataclass
class Rules:
    discs: list[tuple[float, float, float]]
    half_extents: tuple[float, float]
    speeds: tuple[float, float]
    """Speed limits of pursuer and evader."""
    turn_rate: float
    radius: float
    capture_radius: float
    horizon: int
    dt: float
    integrator: str


@dataclass
class Move:
    positions: np.ndarray
    """(2, PIECES + 1) centres at equal moments of the step."""
    heading: float
    stopped_by: str
    """"", "wall" or "disc"."""
    depth: float
    """How far the body would have entered by the end of the step at most, had nothing been solid."""


def gaps(points, rules):
    """Distances of a body at points (2, n) from the walls (n,) and from the discs (k, n)."""
    wall = np.min([rules.half_extents[axis] - np.abs(points[axis]) for axis in range(2)], axis=0) - rules.radius
    discs = [np.hypot(points[0] - x, points[1] - y) - size - rules.radius for x, y, size in rules.discs]
    return wall, np.array(discs).reshape(len(discs), -1)


def move(pose, control, speed_limit, rules):
    v = min(max(control[0], 0.0), speed_limit)
    turn_rate = min(max(control[1], -rules.turn_rate), rules.turn_rate)
    start, held = np.array(pose, float)[:, None], np.array([[v], [turn_rate]])

    def places(times):
        return motion(start, held, np.atleast_1d(times), rules.integrator)[:2]

    def clearance(times):
        wall, discs = gaps(places(times), rules)
        return np.min([wall, *discs], axis=0)

    times = np.linspace(0.0, rules.dt, PIECES + 1)
    free = clearance(times)
    stop, stopped_by = rules.dt, ""
    if (free < INSIDE).any():
        first = int(np.argmax(free < INSIDE))
        before, after = times[max(first - 1, 0)], times[first]
        for _ in range(60):
            middle = 0.5 * (before + after)
            before, after = (before, middle) if clearance(middle)[0] < INSIDE else (middle, after)
        wall, discs = gaps(places(after), rules)
        stop, stopped_by = before, "wall" if wall[0] <= np.min(discs, initial=np.inf) else "disc"
    heading = math.remainder(pose[2] + turn_rate * rules.dt, 2 * math.pi)
    return Move(places(np.minimum(times, stop)), heading, stopped_by, max(0.0, -float(free.min())))


def nearest(start, end):
    """Least distance to the origin on straight pieces (2, n) → (2, n)."""
    along = end - start
    square = (along**2).sum(0)
    share = np.clip(-(start * along).sum(0) / np.where(square > 0, square, 1), 0, 1)
    return float(np.hypot(*(start + share * along)).min())


def step(pursuer, evader, pursuer_control, evader_control, played, rules):
    """One step: what the two robots did, their least separation, whether that is a capture, or else a time-out."""
    own = move(pursuer, pursuer_control, rules.speeds[0], rules)
    other = move(evader, evader_control, rules.speeds[1], rules)
    between = other.positions - own.positions
    separation = nearest(between[:, :-1], between[:, 1:])
    captured = separation <= rules.capture_radius
    return own, other, separation, captured, played + 1 >= rules.horizon and not captured
