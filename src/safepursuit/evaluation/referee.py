"""The referee judges recorded games in float64 NumPy; it shares no code with the safety layer or the game.

Collisions follow from the commanded motions along the whole step, as if nothing were solid: where the simulator stops a
robot at a wall, the attempt counts. Capture follows from the paths between the recorded poses; `disagreements` compares
it with the recorded outcome and length.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from safepursuit.evaluation.ways import (
    PIECES,
    STRAIGHT,
    Steps,
    approached,
    at_rest,
    distance_to,
    mover_gap,
    nearest,
    wall_gap,
)

TOLERANCE = 1e-9
"""Penetration [m] up to which bodies only touch."""

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
    own_steps = Steps.of(own, own_control, own_velocity, dt, integrator)
    other_steps = Steps.of(other, other_control, other_velocity, dt, integrator)
    fine = own_steps.fine_way() if integrator == "ramp" else None
    wall = wall_gap(own_steps, np.asarray(half_extents), fine) - own_radius
    for edge in range(edges.shape[1]):
        approached(wall, own_steps, fine, edges[:, edge, None], own_radius)
    obstacle = np.full(wall.shape, np.inf)
    for disc in range(discs.shape[1]):
        centre, radius = discs[:, disc, None, :2], discs[:, disc, None, 2]
        gap = distance_to(centre, own_steps, fine) - radius - own_radius
        obstacle = np.fmin(obstacle, np.where(np.isnan(gap), np.inf, gap))
    standing = at_rest(own_steps)
    touched = np.zeros(wall.shape, bool)
    for mover in range(movers.shape[2]):
        gap = mover_gap(own_steps, fine, movers[:, :, mover], own_radius, np.fmin(wall, obstacle))
        touched |= standing & (gap < -TOLERANCE)
        obstacle = np.where(standing, obstacle, np.fmin(obstacle, gap))
    own_path, other_path = own_steps.path(), other_steps.path()
    separation = nearest(own_path - other_path)
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


def judge_alone(
    *, own: np.ndarray, own_control: np.ndarray, own_radius: float, own_velocity: np.ndarray | None = None, **rest: Any
) -> Verdict:
    """`judge`, of a robot near which there is no other one."""
    own = np.asarray(own)
    return judge(
        own=own,
        own_control=own_control,
        other=own + 1e3,
        other_control=own_control,
        own_radius=own_radius,
        other_radius=own_radius,
        own_velocity=own_velocity,
        other_velocity=own_velocity,
        **rest,
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
    `PIECES` chords for "arc"."""
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
    return nearest(np.stack([gap[:, :-1], gap[:, 1:]], axis=-2))


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
    own_steps = Steps.of(own, own_control, own_velocity, dt, integrator)
    other_steps = Steps.of(other, other_control, other_velocity, dt, integrator)
    own_way, own_doubt, own_astray = _travelled(own_steps, own[:, 1:])
    other_way, other_doubt, other_astray = _travelled(other_steps, other[:, 1:])
    return Approach(nearest(own_way - other_way), own_doubt + other_doubt, own_astray | other_astray)


def _travelled(steps: Steps, end: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
        turns = (turn_rate > STRAIGHT) & (integrator == "arc")
        half_turn = np.where(turns, turn_rate, 1) * dt / 2
        until = np.where(turns, np.arcsin(np.minimum(share, 1) * np.sin(half_turn)) / half_turn, share) * dt
    times = np.linspace(0, dt, 2 if integrator == "euler" else PIECES + 1)
    way = steps.along(np.minimum(times, until[..., None]))
    turned = np.mod(end[..., 2] - start[..., 2] - steps.turned + np.pi, 2 * np.pi) - np.pi
    if integrator != "euler":
        piece = dt / PIECES
        bend = 4 if integrator == "ramp" else 8  # of a curve whose curvature is not constant
        doubt = doubt + speed * turn_rate * piece**2 / bend + np.where(stopped, speed * piece / 4, 0)
    aside = np.hypot(*np.moveaxis(way[..., -1, :] - end[..., :2], -1, 0))
    astray = (aside > doubt) | (np.abs(turned) > 1e-5)
    way[..., -1, :] = end[..., :2]
    return way, doubt, astray


def _moment(steps: Steps, come: np.ndarray) -> np.ndarray:
    """When a robot with inertia is so far [m] from its start, by bisection: the distance grows within a step."""
    low, high = np.zeros_like(come), np.full_like(come, steps.dt)
    for _ in range(40):
        middle = 0.5 * (low + high)
        gone = (steps.along(middle[..., None])[..., 0, :] - steps.start[..., :2]).T
        short = come > np.hypot(*gone).T
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return high
