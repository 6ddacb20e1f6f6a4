"""The referee judges recorded games in float64 NumPy; it shares no code with the safety layer or the game.

Collisions follow from the commanded motions along the whole step, as if nothing were solid: where the simulator stops a
robot at a wall, the attempt counts. Capture follows from the paths between the recorded poses; `disagreements` compares
it with the recorded outcome and length.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

TOLERANCE = 1e-9
"""Penetration [m] up to which bodies only touch."""

_STRAIGHT = 1e-6
"""Turn rate [rad/s] below which an arc is a straight line, to within 1e-9 m per step."""

_PIECES = 8
"""Chords that replace an arc where two moving robots are compared. A chord of h seconds is off by v|ω|h²/8 at most:
1.4e-5 m per robot at 1 m/s and 2.84 rad/s in steps of 0.05 s."""

_FINE = 32
"""Chords on which the clearance of a robot with inertia is judged; what its way may deviate from them is subtracted."""

_ROUNDING = 1e-6
"""Relative error of recorded positions: a few operations in float32, with 1.2e-7 each. Collisions do not depend on it:
they are judged from a recorded pose and its control."""

_CONTACT = 1e-4
"""Distance [m] from touching within which a simulator may or may not report a contact."""


@dataclass(frozen=True)
class Verdict:
    """Collisions and clearance of one robot; arrays (episodes, time), False or NaN past an episode's end."""

    wall: np.ndarray
    obstacle: np.ndarray
    robot: np.ndarray
    """The bodies overlapped, and this robot was moving towards the other."""
    clearance: np.ndarray
    """Least distance [m] of the body from walls and discs during the step, where the robot moves also from movers;
    negative if it would have entered."""
    invalid: np.ndarray
    """A pose or a control of either robot, or a disc, is no finite number: nothing can be said of the step, and the
    clearance is NaN."""
    touched: np.ndarray
    """A mover touched the robot while it stood, which is no fault of the robot's."""

    @property
    def collided(self) -> np.ndarray:
        """(episodes,) bool: any collision of this robot's own."""
        return (self.wall | self.obstacle | self.robot).any(axis=1)


def judge(
    *,
    own: np.ndarray,
    own_control: np.ndarray,
    other: np.ndarray,
    other_control: np.ndarray,
    discs: np.ndarray,
    half_extents: np.ndarray,
    own_radius: float,
    other_radius: float,
    length: np.ndarray,
    dt: float,
    integrator: str,
    own_velocity: np.ndarray | None = None,
    other_velocity: np.ndarray | None = None,
    edges: np.ndarray | None = None,
    movers: np.ndarray | None = None,
) -> Verdict:
    """Judge one robot: poses (episodes, time + 1, 3), controls (episodes, time, 2), discs (episodes, discs, 3).

    `edges` (episodes, edges, 4) are straight walls of finite length, x₁ y₁ x₂ y₂ [m]; `movers` (episodes, time + 1,
    movers, 3) are discs that move straight and evenly in each step, x, y, radius [m]: an obstacle that the robot moves
    into or that runs into a moving robot.
    `length` (episodes,) are the steps played. Units and padding as in a recording. Velocities (episodes, time + 1, 2)
    are needed for the integrator "ramp". Raises ValueError for an unknown integrator.
    """
    if integrator not in ("euler", "arc", "ramp"):
        raise ValueError(f"unknown integrator {integrator!r}.")
    played = np.arange(own_control.shape[1]) < np.asarray(length)[:, None]
    sound = (np.isfinite(discs).all(axis=-1) & (discs[..., 2] >= 0)) | np.isnan(discs).all(axis=-1)
    known = _finite(own[:, :-1], own[:, 1:], own_control, other[:, :-1], other[:, 1:], other_control)
    known &= sound.all(axis=1, keepdims=True)
    edges = np.empty((len(own), 0, 4)) if edges is None else np.asarray(edges, float)
    straight = np.asarray(np.isfinite(edges).all(axis=-1) | np.isnan(edges).all(axis=-1))
    known &= straight.all(axis=1, keepdims=True)
    movers = np.empty((*own.shape[:2], 0, 3)) if movers is None else np.asarray(movers, float)
    absent = np.isnan(movers).all(axis=(1, -1), keepdims=True)[..., 0]  # padding
    known &= (_finite(movers[:, :-1], movers[:, 1:]) | absent).all(axis=-1)
    own, own_control, other, other_control, discs = _numbers(own, own_control, other, other_control, discs)
    own_steps = _Steps.of(own, own_control, own_velocity, dt, integrator)
    other_steps = _Steps.of(other, other_control, other_velocity, dt, integrator)
    fine = own_steps.fine_way() if integrator == "ramp" else None
    wall = _wall_gap(own_steps, np.asarray(half_extents), fine) - own_radius
    for edge in range(edges.shape[1]):
        _approached(wall, own_steps, fine, edges[:, edge, None], own_radius)
    obstacle = np.full(wall.shape, np.inf)
    for disc in range(discs.shape[1]):
        centre, radius = discs[:, disc, None, :2], discs[:, disc, None, 2]
        gap = _distance_to(centre, own_steps, fine) - radius - own_radius
        obstacle = np.fmin(obstacle, np.where(np.isnan(gap), np.inf, gap))
    standing = _at_rest(own_steps)
    touched = np.zeros(wall.shape, bool)
    for mover in range(movers.shape[2]):
        gap = _mover_gap(own_steps, fine, movers[:, :, mover], own_radius, np.fmin(wall, obstacle))
        touched |= standing & (gap < -TOLERANCE)
        obstacle = np.where(standing, obstacle, np.fmin(obstacle, gap))
    own_path, other_path = own_steps.path(), other_steps.path()
    separation = _nearest(own_path - other_path)
    way, gap = own_path[..., -1, :] - own_path[..., 0, :], other_path[..., 0, :] - own_path[..., 0, :]
    towards = way[..., 0] * gap[..., 0] + way[..., 1] * gap[..., 1] > 0
    return Verdict(
        wall=played & (wall < -TOLERANCE),
        obstacle=played & (obstacle < -TOLERANCE),
        robot=played & (separation < own_radius + other_radius - TOLERANCE) & towards,
        clearance=np.where(played & known, np.minimum(wall, obstacle), np.nan),
        invalid=played & ~known,
        touched=played & touched,
    )


def _numbers(*parts: np.ndarray) -> list[np.ndarray]:
    """The parts with NaN for what is not finite, so that nothing overflows."""
    return [np.where(np.isfinite(part), part, np.nan) for part in parts]


def _finite(*parts: np.ndarray) -> np.ndarray:
    """Where the numbers along the last axis of all parts are finite."""
    return np.all([np.isfinite(part).all(axis=-1) for part in parts], axis=0)


class Approach(NamedTuple):
    """Least distance of the centres in each step; arrays (episodes, time), NaN past an episode's end."""

    separation: np.ndarray
    """[m], along the recorded paths: exact for "euler", where a stopped robot moves evenly to where it stopped, and on
    `_PIECES` chords for "arc"."""
    doubt: np.ndarray
    """Bound on the error of the separation [m]."""
    astray: np.ndarray
    """bool: a robot's next pose is not on the path of its control."""


def disagreements(
    *,
    pursuer: np.ndarray,
    pursuer_control: np.ndarray,
    evader: np.ndarray,
    evader_control: np.ndarray,
    length: np.ndarray,
    outcome: np.ndarray,
    clearance: np.ndarray,
    invalid: np.ndarray,
    capture_radius: float,
    horizon: int,
    collision_terminates: bool,
    dt: float,
    integrator: str,
    pursuer_velocity: np.ndarray | None = None,
    evader_velocity: np.ndarray | None = None,
) -> dict[int, str]:
    """The first contradiction between geometry and recorded outcome or length, per episode that has one.

    Each is a sentence that counts steps from 0. `length` (episodes,) steps and `outcome` (episodes,) "capture",
    "timeout", "collision" or "invalid", as recorded; `clearance` (episodes, time) [m] and `invalid` (episodes, time) of
    the pursuer, as in its `Verdict`. An invalid step ends the episode as invalid, and nothing else does. A
    capture is contradicted where the separation is on the wrong side of the capture radius by more than its `doubt`:
    float32 rounding (2e-5 m at 10 m from the origin, for both robots) and, for "arc", the chords and the moment at
    which a robot was stopped within a piece. A collision is contradicted by more than 1e-4 m.
    """
    pursuer, pursuer_control, evader, evader_control = _numbers(pursuer, pursuer_control, evader, evader_control)
    velocities = pursuer_velocity, evader_velocity
    way = approach(pursuer, pursuer_control, evader, evader_control, dt, integrator, *velocities)
    length, outcome = np.asarray(length), np.asarray(outcome)
    steps, limit = np.arange(way.separation.shape[1]), min(horizon, way.separation.shape[1])
    inside, last = steps < length[:, None], steps == length[:, None] - 1
    known = [~np.isnan(part).any(axis=-1) for part in (pursuer_control, evader_control, pursuer[:, 1:], evader[:, 1:])]
    kinds = ("capture", "timeout", "collision", "invalid")
    impossible = (length < 1) | (length > limit) | ~np.isin(outcome, kinds)
    capture, timeout, collision, void = (last & (outcome == kind)[:, None] for kind in kinds)
    touched = (clearance < _CONTACT) & collision_terminates
    checks = (
        (
            impossible[:, None] & (steps == 0),
            "the outcome {outcome!s} after {length} steps is none of a game of {horizon}",
        ),
        (
            np.any([part != inside for part in known], axis=0) & ~void,
            "poses and controls do not fill its {length} steps",
        ),
        (void & ~invalid, "recorded as invalid, but all numbers of step {step} are finite"),
        (invalid & ~void, "in step {step} a number is not finite, but it did not end the game as invalid"),
        (way.astray, "the poses after step {step} are not on the way on which the controls lead"),
        (
            inside & ~capture & (way.separation < capture_radius - way.doubt),
            "the centres came within {separation:.6f} m in step {step}, but it is no capture there",
        ),
        (
            capture & (way.separation > capture_radius + way.doubt),
            "recorded as a capture, but the centres came no nearer than {separation:.6f} m in the last step",
        ),
        (timeout & (length != horizon)[:, None], "recorded as a time-out, but after {length} of {horizon} steps"),
        (collision & ~touched, "recorded as ended by a collision, but the pursuer had {clearance:.6f} m to spare"),
        (
            inside & ~capture & ~collision & touched & (clearance < -_CONTACT),
            "the pursuer's clearance fell to {clearance:.6f} m in step {step}, but it did not end the game",
        ),
    )
    facts = {"step": steps, "separation": way.separation, "clearance": clearance}
    facts |= {"length": length[:, None], "outcome": outcome[:, None], "horizon": np.array(horizon)}
    return _first_sentences(checks, {name: np.broadcast_to(fact, inside.shape) for name, fact in facts.items()})


def _first_sentences(checks: tuple[tuple[np.ndarray, str], ...], facts: dict[str, np.ndarray]) -> dict[int, str]:
    """Per episode the sentence of the first failed check (episodes, time), with the facts of its first such step."""
    found: dict[int, str] = {}
    for failed, sentence in checks:
        for episode in np.flatnonzero(failed.any(axis=1)).tolist():
            step = int(np.argmax(failed[episode]))
            found.setdefault(episode, sentence.format(**{name: fact[episode, step] for name, fact in facts.items()}))
    return dict(sorted(found.items()))


def separation(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Least distance [m] of the centres in each step, (episodes, time), from the recorded poses."""
    gap = other[..., :2] - own[..., :2]
    return _nearest(np.stack([gap[:, :-1], gap[:, 1:]], axis=-2))


@dataclass(frozen=True)
class _Steps:
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
    ) -> "_Steps":
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
        return self.ends if self.integrator == "euler" else self.along(np.linspace(0.0, self.dt, _PIECES + 1))

    def along(self, times: np.ndarray) -> np.ndarray:
        """Positions (…, times, 2) of the centre; `times` (times,) or (…, times) [s]."""
        x, y, heading = (self.start[..., part, None] for part in range(3))
        speed, turn_rate = self.control[..., 0, None], self.control[..., 1, None]
        if self.integrator == "ramp":
            return np.stack([x, y], axis=-1) + self._integral(np.zeros_like(times), times)
        if self.integrator == "euler":
            return np.stack([x + speed * times * np.cos(heading), y + speed * times * np.sin(heading)], axis=-1)
        turns = np.abs(turn_rate) > _STRAIGHT
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


def approach(
    own: np.ndarray,
    own_control: np.ndarray,
    other: np.ndarray,
    other_control: np.ndarray,
    dt: float,
    integrator: str,
    own_velocity: np.ndarray | None = None,
    other_velocity: np.ndarray | None = None,
) -> Approach:
    """The approach of two robots; arrays and units as in `judge`."""
    own_steps = _Steps.of(own, own_control, own_velocity, dt, integrator)
    other_steps = _Steps.of(other, other_control, other_velocity, dt, integrator)
    own_way, own_doubt, own_astray = _travelled(own_steps, own[:, 1:])
    other_way, other_doubt, other_astray = _travelled(other_steps, other[:, 1:])
    return Approach(_nearest(own_way - other_way), own_doubt + other_doubt, own_astray | other_astray)


def _travelled(steps: _Steps, end: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The path (…, points, 2) between recorded poses at equal moments, the bound on its error [m], and whether it
    deviates from the control's.

    A robot that was stopped comes less far than commanded. It follows its way until the chord from the start is as long
    as the recorded one; where it stopped in a piece, and how evenly it moved there, adds a quarter of that piece to the
    error.
    """
    start, dt, integrator = steps.start, steps.dt, steps.integrator
    speed, turn_rate = steps.speed, steps.turn_rate
    doubt = _ROUNDING * (1 + np.max(np.abs(end[..., :2]), axis=-1))
    commanded = steps.along(np.array([dt]))[..., 0, :] - start[..., :2]
    far, come = np.hypot(commanded[..., 0], commanded[..., 1]), np.hypot(*np.moveaxis((end - start)[..., :2], -1, 0))
    stopped = come < far - doubt
    share = np.where(stopped, come / np.where(stopped, far, 1), 1)
    if integrator == "ramp":
        until = np.where(stopped, _moment(steps, come), dt)
    else:
        turns = (turn_rate > _STRAIGHT) & (integrator == "arc")
        half_turn = np.where(turns, turn_rate, 1) * dt / 2
        until = np.where(turns, np.arcsin(np.minimum(share, 1) * np.sin(half_turn)) / half_turn, share) * dt
    times = np.linspace(0, dt, 2 if integrator == "euler" else _PIECES + 1)
    way = steps.along(np.minimum(times, until[..., None]))
    turned = np.mod(end[..., 2] - start[..., 2] - steps.turned + np.pi, 2 * np.pi) - np.pi
    if integrator != "euler":
        piece = dt / _PIECES
        bend = 4 if integrator == "ramp" else 8  # of a curve whose curvature is not constant
        doubt = doubt + speed * turn_rate * piece**2 / bend + np.where(stopped, speed * piece / 4, 0)
    aside = np.hypot(*np.moveaxis(way[..., -1, :] - end[..., :2], -1, 0))
    astray = (aside > doubt) | (np.abs(turned) > 1e-5)
    way[..., -1, :] = end[..., :2]
    return way, doubt, astray


def _moment(steps: _Steps, come: np.ndarray) -> np.ndarray:
    """When a robot with inertia is so far [m] from its start, by bisection: the distance grows within a step."""
    low, high = np.zeros_like(come), np.full_like(come, steps.dt)
    for _ in range(40):
        middle = 0.5 * (low + high)
        gone = (steps.along(middle[..., None])[..., 0, :] - steps.start[..., :2]).T
        short = come > np.hypot(*gone).T
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return high


def _wall_gap(steps: _Steps, half_extents: np.ndarray, fine: np.ndarray | None) -> np.ndarray:
    """Least distance of the centre from the four walls during the step: at an end, or where the heading of an arc is
    along an axis; of a robot with inertia, on its fine way."""
    if fine is not None:
        return np.min(half_extents - np.abs(fine), axis=(-2, -1)) - _beside(steps)
    way = steps.ends
    if steps.integrator == "arc":
        way = steps.along(_moments(steps, np.arange(4) * np.pi / 2))
    return np.min(half_extents - np.max(np.abs(way), axis=-2), axis=-1)


def _moments(steps: _Steps, directions: np.ndarray) -> np.ndarray:
    """Start and end of the step and, for an arc, when its heading is one of `directions` (…, directions) [rad]."""
    times = np.broadcast_to(np.array([0.0, steps.dt]), (*steps.control.shape[:-1], 2))
    if steps.integrator == "arc":
        turn_rate = steps.control[..., 1, None]
        turn = np.mod((directions - steps.start[..., 2, None]) * np.sign(turn_rate), 2 * np.pi)
        reached = turn / np.where(np.abs(turn_rate) > _STRAIGHT, np.abs(turn_rate), _STRAIGHT)
        times = np.concatenate([times, np.clip(reached, 0, steps.dt)], axis=-1)
    return times


def _beside(steps: _Steps) -> np.ndarray:
    """How far [m] the way of a robot with inertia may be beside the chords of `_Steps.fine_way`: a curve of length ℓ
    that turns by φ keeps within ℓφ/4 of its chord."""
    return steps.speed * steps.turn_rate * (steps.dt / _FINE) ** 2 / 4


def _distance_to(point: np.ndarray, steps: _Steps, fine: np.ndarray | None) -> np.ndarray:
    """Least distance of the centre from a fixed point during the step, in closed form; with inertia on the fine way."""
    if fine is not None:
        return _nearest(fine - point[..., None, :]) - _beside(steps)
    start, control, dt = steps.start, steps.control, steps.dt
    ends = steps.ends - point[..., None, :]
    straight = _nearest(ends)
    if steps.integrator == "euler":
        return straight
    turn_rate = control[..., 1]
    turns = np.abs(turn_rate) > _STRAIGHT
    radius = control[..., 0] / np.where(turns, turn_rate, 1)  # of the circle driven on, positive to the left
    heading = start[..., 2]
    centre_x = start[..., 0] - radius * np.sin(heading) - point[..., 0]
    centre_y = start[..., 1] + radius * np.cos(heading) - point[..., 1]
    # The nearest point of the circle is on the arc if the way there, in the turning sense, is no longer than the arc.
    inward = np.arctan2(-centre_y, -centre_x)
    begin = heading - np.sign(turn_rate) * np.pi / 2  # direction from the circle's centre to the robot
    way = np.mod((inward - begin) * np.sign(turn_rate), 2 * np.pi)
    at_circle = np.abs(np.hypot(centre_x, centre_y) - np.abs(radius))
    at_ends = np.min(np.hypot(ends[..., 0], ends[..., 1]), axis=-1)
    on_arc = np.where(way <= np.abs(turn_rate) * dt, np.minimum(at_circle, at_ends), at_ends)
    return np.where(turns, on_arc, straight)


def _approached(least: np.ndarray, steps: _Steps, fine: np.ndarray | None, edge: np.ndarray, radius: float) -> None:
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


def _edge_gap(steps: _Steps, fine: np.ndarray | None, edge: np.ndarray) -> np.ndarray:
    """Least distance of the centre from an edge (…, 4) during the step; 0 where the way crosses it.

    A way and an edge are nearest to each other at an end of either, or where they are parallel.
    """
    ends = edge[..., :2], edge[..., 2:]
    of_ends = np.minimum(*(_distance_to(end, steps, fine) for end in ends))
    if fine is not None:
        of_way = _from_edge(fine, edge[..., None, :]).min(axis=-1) - _beside(steps)
        crossed = _crosses(fine, edge)
    else:
        along = np.arctan2(*(ends[1] - ends[0])[..., ::-1].T).T
        moments = steps.along(_moments(steps, along[..., None] + np.array([0, np.pi])))
        of_way = _from_edge(moments, edge[..., None, :]).min(axis=-1)
        pieces = 2 if steps.integrator == "euler" else _FINE + 1
        crossed = _crosses(steps.along(np.linspace(0, steps.dt, pieces)), edge)
    return np.where(crossed, 0, np.minimum(of_ends, of_way))


def _crosses(path: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """Whether a polygonal path (…, points, 2) crosses an edge (…, 4).

    Chords are so near to the arc that they replace that a doubt concerns only bodies that overlap the edge anyway."""
    start, end = edge[..., None, :2], edge[..., None, 2:]
    beside = _cross(end - start, path - start)
    before, after = path[..., :-1, :], path[..., 1:, :]
    ends = _cross(after - before, start - before), _cross(after - before, end - before)
    return ((beside[..., :-1] * beside[..., 1:] < 0) & (ends[0] * ends[1] < 0)).any(axis=-1)


def _cross(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]


def _from_edge(point: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """Distance of points (…, 2) from edges (…, 4)."""
    return _nearest(np.stack([edge[..., :2] - point, edge[..., 2:] - point], axis=-2))


def _at_rest(steps: _Steps) -> np.ndarray:
    """Where the robot does not move in the whole step; turning on the spot moves nothing."""
    return np.asarray(steps.speed == 0)


def _mover_gap(
    steps: _Steps, fine: np.ndarray | None, mover: np.ndarray, radius: float, least: np.ndarray
) -> np.ndarray:
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
        found[near] = _nearest(way - theirs) - size[near] - radius - (_beside_in_time(own) if pieces > 1 else 0)
    return found


def _beside_in_time(steps: _Steps) -> np.ndarray:
    """How far [m] the robot may be from where the chords of `_FINE` pieces have it at the same moment: a curve of
    acceleration a keeps within ah²/8 of an even motion over h seconds."""
    gained = np.abs(steps.control[..., 0] - steps.before[..., 0]) / steps.dt if steps.integrator == "ramp" else 0.0
    return (steps.speed * steps.turn_rate + gained) * (steps.dt / _FINE) ** 2 / 8


def _nearest(path: np.ndarray) -> np.ndarray:
    """Least distance of polygonal paths (…, points, 2) from the origin."""
    (x, y), (way_x, way_y) = (np.moveaxis(part, -1, 0) for part in (path[..., :-1, :], np.diff(path, axis=-2)))
    square = way_x**2 + way_y**2
    share = np.clip(-(x * way_x + y * way_y) / np.where(square > 0, square, 1), 0, 1)
    return np.min(np.hypot(x + share * way_x, y + share * way_y), axis=-1)
