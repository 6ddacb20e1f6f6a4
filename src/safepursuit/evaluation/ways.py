"""Commanded ways within a step, and their distances from walls, discs, edges and movers, in float64 NumPy.

The referee's own geometry: it shares no code with the safety layer or the game.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

STRAIGHT = 1e-6
"""Turn rate [rad/s] below which an arc is a straight line, to within 1e-9 m per step."""

PIECES = 8
"""Chords that replace an arc where two moving robots are compared. A chord of h seconds is off by v|ω|h²/8 at most:
1.4e-5 m per robot at 1 m/s and 2.84 rad/s in steps of 0.05 s."""

_FINE = 32
"""Chords on which the clearance of a robot with inertia is judged; what its way may deviate from them is subtracted."""


@dataclass(frozen=True)
class Steps:
    """Commanded motions, one per step; arrays (…, 3) and (…, 2)."""

    start: np.ndarray
    before: np.ndarray
    """Speed and turn rate at the start, of a robot with inertia."""
    control: np.ndarray
    """Of the step; of a robot with inertia those at its end."""
    dt: float
    integrator: str

    @classmethod
    def of(
        cls, poses: np.ndarray, control: np.ndarray, velocity: np.ndarray | None, dt: float, integrator: str
    ) -> "Steps":
        if integrator == "ramp" and velocity is None:
            raise ValueError("a robot with inertia is judged by its velocities too.")
        return cls(poses[:, :-1], control if velocity is None else velocity[:, :-1], control, dt, integrator)

    @property
    def turned(self) -> np.ndarray:
        """The change of heading [rad]."""
        rate = self.control[..., 1] if self.integrator != "ramp" else 0.5 * (self.before + self.control)[..., 1]
        return rate * self.dt

    @property
    def speed(self) -> np.ndarray:
        """The highest, as a size [m/s]."""
        return self._largest(0)

    @property
    def turn_rate(self) -> np.ndarray:
        """The highest, as a size [rad/s]."""
        return self._largest(1)

    def _largest(self, part: int) -> np.ndarray:
        after = np.abs(self.control[..., part])
        return np.maximum(after, np.abs(self.before[..., part])) if self.integrator == "ramp" else after

    @cached_property
    def ends(self) -> np.ndarray:
        """Positions (…, 2, 2) of the centre at the start and the end of the step."""
        return np.stack([self.start[..., :2], self.along(np.array([self.dt]))[..., 0, :]], axis=-2)

    def path(self) -> np.ndarray:
        """Positions (…, points, 2) whose chords replace the way: exact for "euler"."""
        return self.ends if self.integrator == "euler" else self.along(np.linspace(0.0, self.dt, PIECES + 1))

    def along(self, times: np.ndarray) -> np.ndarray:
        """Positions (…, times, 2) of the centre; `times` (times,) or (…, times) [s]."""
        x, y, heading = (self.start[..., part, None] for part in range(3))
        speed, turn_rate = self.control[..., 0, None], self.control[..., 1, None]
        if self.integrator == "ramp":
            return np.stack([x, y], axis=-1) + self._integral(np.zeros_like(times), times)
        if self.integrator == "euler":
            return np.stack([x + speed * times * np.cos(heading), y + speed * times * np.sin(heading)], axis=-1)
        turns = np.abs(turn_rate) > STRAIGHT
        circle = speed / np.where(turns, turn_rate, 1)
        end = heading + turn_rate * times
        arc_x, arc_y = circle * (np.sin(end) - np.sin(heading)), circle * (np.cos(heading) - np.cos(end))
        line_x, line_y = speed * times * np.cos(heading), speed * times * np.sin(heading)
        return np.stack([x + np.where(turns, arc_x, line_x), y + np.where(turns, arc_y, line_y)], axis=-1)

    def fine_way(self) -> np.ndarray:
        """The way of a robot with inertia on `_FINE` chords, (…, points, 2)."""
        ends = np.linspace(0.0, self.dt, _FINE + 1)
        pieces = self._integral(ends[:-1], ends[1:], points=2)
        start = self.start[..., None, :2]
        return np.concatenate([start, start + np.cumsum(pieces, axis=-2)], axis=-2)

    def _integral(self, since: np.ndarray, until: np.ndarray, points: int = 5) -> np.ndarray:
        """∫ v(τ) e(θ(τ)) dτ of linear speed and turn rate, by Gauss' rule; (…, times, 2)."""
        (v, w), (v_end, w_end) = (np.moveaxis(part[..., None, :], -1, 0) for part in (self.before, self.control))
        total_x = total_y = np.zeros(())
        for node, weight in zip(*np.polynomial.legendre.leggauss(points), strict=True):
            moment = 0.5 * (since + until) + 0.5 * node * (until - since)
            share = moment / self.dt
            speed = (1 - share) * v + share * v_end
            heading = self.start[..., 2, None] + (w + 0.5 * share * (w_end - w)) * moment
            way = 0.5 * weight * (until - since) * speed
            total_x, total_y = total_x + way * np.cos(heading), total_y + way * np.sin(heading)
        return np.stack([total_x, total_y], axis=-1)


def at_rest(steps: Steps) -> np.ndarray:
    """Where the robot does not move in the whole step; turning on the spot moves nothing."""
    return np.asarray(steps.speed == 0)


def wall_gap(steps: Steps, half_extents: np.ndarray, fine: np.ndarray | None) -> np.ndarray:
    """Least distance of the centre from the four walls during the step: at an end, or where the heading of an arc is
    along an axis; of a robot with inertia, on its fine way."""
    if fine is not None:
        return _on_chords(np.min(half_extents - np.abs(fine), axis=-1), steps)
    way = steps.ends
    if steps.integrator == "arc":
        way = steps.along(_moments(steps, np.arange(4) * np.pi / 2))
    return np.min(half_extents - np.max(np.abs(way), axis=-2), axis=-1)


def distance_to(point: np.ndarray, steps: Steps, fine: np.ndarray | None) -> np.ndarray:
    """Least distance of the centre from a fixed point during the step, in closed form; with inertia on the fine way."""
    if fine is not None:
        return np.min(_from_chords(fine - point[..., None, :]) - _beside(steps), axis=-1)
    start, control, dt = steps.start, steps.control, steps.dt
    ends = steps.ends - point[..., None, :]
    straight = nearest(ends)
    if steps.integrator == "euler":
        return straight
    turn_rate = control[..., 1]
    turns = np.abs(turn_rate) > STRAIGHT
    radius = control[..., 0] / np.where(turns, turn_rate, 1)  # of the circle driven on, positive for one to the left
    heading = start[..., 2]
    centre_x = start[..., 0] - radius * np.sin(heading) - point[..., 0]
    centre_y = start[..., 1] + radius * np.cos(heading) - point[..., 1]
    # The nearest point of the circle is on the arc if the way there, in the turning sense, is no longer than the arc.
    inward = np.arctan2(-centre_y, -centre_x)
    begin = heading - np.sign(radius) * np.pi / 2  # direction from the circle's centre to the robot
    way = np.mod((inward - begin) * np.sign(turn_rate), 2 * np.pi)
    at_circle = np.abs(np.hypot(centre_x, centre_y) - np.abs(radius))
    at_ends = np.min(np.hypot(ends[..., 0], ends[..., 1]), axis=-1)
    on_arc = np.where(way <= np.abs(turn_rate) * dt, np.minimum(at_circle, at_ends), at_ends)
    return np.where(turns, on_arc, straight)


def approached(least: np.ndarray, steps: Steps, fine: np.ndarray | None, edge: np.ndarray, radius: float) -> None:
    """Lower `least` (episodes, time), in place, to the clearance of a body from an edge (episodes, 1, 4) in each step.

    Only where the body can come so near in the step.
    """
    edge = np.broadcast_to(edge, (*least.shape, 4))
    longest = steps.speed * steps.dt
    could = _from_edge(steps.start[..., :2], edge) - longest - radius < least
    if could.any():
        near = replace(steps, start=steps.start[could], before=steps.before[could], control=steps.control[could])
        gap = _edge_gap(near, None if fine is None else fine[could], edge[could]) - radius
        least[could] = np.fmin(least[could], gap)


def mover_gap(steps: Steps, fine: np.ndarray | None, mover: np.ndarray, radius: float, least: np.ndarray) -> np.ndarray:
    """Clearance of the body from a mover (episodes, time + 1, 3) in each step, (episodes, time); infinite where it is
    sure to be no less than `least` and no contact, and where there is no mover.

    Of a curve on `_FINE` chords, at the same moments as the mover; what the robot may be off them is subtracted.
    """
    begin, end, size = mover[:, :-1, :2], mover[:, 1:, :2], mover[:, :-1, 2]
    come = steps.speed * steps.dt + np.hypot(*np.moveaxis(end - begin, -1, 0))
    apart = np.hypot(*np.moveaxis(steps.start[..., :2] - begin, -1, 0)) - size - radius
    near = apart - come < np.maximum(np.nan_to_num(least, nan=np.inf), 0)
    found = np.full(apart.shape, np.inf)
    if near.any():
        own = replace(steps, start=steps.start[near], before=steps.before[near], control=steps.control[near])
        pieces = 1 if steps.integrator == "euler" else _FINE
        share = np.linspace(0, 1, pieces + 1)
        way = own.along(share * steps.dt) if fine is None else fine[near]
        theirs = begin[near][:, None] + share[:, None] * (end - begin)[near][:, None]
        found[near] = nearest(way - theirs) - size[near] - radius - (_beside_in_time(own) if pieces > 1 else 0)
    return found


def nearest(path: np.ndarray) -> np.ndarray:
    """Least distance of polygonal paths (…, points, 2) from the origin."""
    return np.min(_from_chords(path), axis=-1)


def _from_chords(path: np.ndarray) -> np.ndarray:
    """Least distance of each chord of polygonal paths (…, points, 2) from the origin, (…, points - 1)."""
    (x, y), (way_x, way_y) = (np.moveaxis(part, -1, 0) for part in (path[..., :-1, :], np.diff(path, axis=-2)))
    square = way_x**2 + way_y**2
    share = np.clip(-(x * way_x + y * way_y) / np.where(square > 0, square, 1), 0, 1)
    return np.hypot(x + share * way_x, y + share * way_y)


def _edge_gap(steps: Steps, fine: np.ndarray | None, edge: np.ndarray) -> np.ndarray:
    """Least distance of the centre from an edge (…, 4) during the step; 0 where the way crosses it.

    A way and an edge are nearest to each other at an end of either, or where they are parallel.
    """
    ends = edge[..., :2], edge[..., 2:]
    of_ends = np.minimum(*(distance_to(end, steps, fine) for end in ends))
    if fine is not None:
        of_way = _on_chords(_from_edge(fine, edge[..., None, :]), steps)
        crossed = _crosses(fine, edge)
    else:
        along = np.arctan2(*(ends[1] - ends[0])[..., ::-1].T).T
        moments = steps.along(_moments(steps, along[..., None] + np.array([0, np.pi])))
        of_way = _from_edge(moments, edge[..., None, :]).min(axis=-1)
        pieces = 2 if steps.integrator == "euler" else _FINE + 1
        crossed = _crosses(steps.along(np.linspace(0, steps.dt, pieces)), edge)
    return np.where(crossed, 0, np.minimum(of_ends, of_way))


def _moments(steps: Steps, directions: np.ndarray) -> np.ndarray:
    """Start and end of the step and, for an arc, when its heading is one of `directions` (…, directions) [rad]."""
    times = np.broadcast_to(np.array([0.0, steps.dt]), (*steps.control.shape[:-1], 2))
    if steps.integrator == "arc":
        turn_rate = steps.control[..., 1, None]
        turn = np.mod((directions - steps.start[..., 2, None]) * np.sign(turn_rate), 2 * np.pi)
        reached = turn / np.where(np.abs(turn_rate) > STRAIGHT, np.abs(turn_rate), STRAIGHT)
        times = np.concatenate([times, np.clip(reached, 0, steps.dt)], axis=-1)
    return times


def _on_chords(gap: np.ndarray, steps: Steps) -> np.ndarray:
    """The least gap [m] of the way of a robot with inertia, from the gaps at the points of `Steps.fine_way`, if on a
    chord it is least at one of its ends."""
    return np.min(np.minimum(gap[..., :-1], gap[..., 1:]) - _beside(steps), axis=-1)


def _beside(steps: Steps) -> np.ndarray:
    """How far [m] the way of a robot with inertia may be beside each chord of `Steps.fine_way`, (…, chords): a curve of
    length ℓ that turns by φ keeps within ℓφ/4 of its chord. A robot that sets off is near its first ones."""
    share = np.linspace(0, 1, _FINE + 1)
    sizes = np.abs(steps.before[..., None, :] + share[:, None] * (steps.control - steps.before)[..., None, :])
    speed, turn_rate = np.moveaxis(np.maximum(sizes[..., :-1, :], sizes[..., 1:, :]), -1, 0)
    return speed * turn_rate * (steps.dt / _FINE) ** 2 / 4


def _beside_in_time(steps: Steps) -> np.ndarray:
    """How far [m] the robot may be from where the chords of `_FINE` pieces have it at the same moment: a curve of
    acceleration a keeps within ah²/8 of an even motion over h seconds."""
    gained = np.abs(steps.control[..., 0] - steps.before[..., 0]) / steps.dt if steps.integrator == "ramp" else 0.0
    return (steps.speed * steps.turn_rate + gained) * (steps.dt / _FINE) ** 2 / 8


def _crosses(path: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """Whether a polygonal path (…, points, 2) crosses an edge (…, 4).

    Chords are so near to the arc that they replace that a doubt concerns only bodies that overlap the edge anyway."""
    start, end = edge[..., None, :2], edge[..., None, 2:]
    beside = _cross(end - start, path - start)
    before, after = path[..., :-1, :], path[..., 1:, :]
    ends = _cross(after - before, start - before), _cross(after - before, end - before)
    return ((beside[..., :-1] * beside[..., 1:] < 0) & (ends[0] * ends[1] < 0)).any(axis=-1)


def _from_edge(point: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """Distance of points (…, 2) from edges (…, 4)."""
    return nearest(np.stack([edge[..., :2] - point, edge[..., 2:] - point], axis=-2))


def _cross(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]
