"""Judging recorded games by geometry of its own, in float64 NumPy.

The referee shares no code with the safety layer or the game. It follows each commanded motion along the whole step, as
if nothing were solid, and reports every body that would have entered a wall, a disc or the other robot: where the
simulator stops a robot at a wall, the attempt still counts.
"""

from dataclasses import dataclass

import numpy as np

TOLERANCE = 1e-9
"""Penetration [m] that still counts as touching."""

_STRAIGHT = 1e-6
"""Turn rate [rad/s] below which an arc is a straight line, to within 1e-9 m a step."""

_PIECES = 8
"""Straight pieces into which an arc is cut where two moving robots are compared."""


@dataclass(frozen=True)
class Verdict:
    """What one robot did; arrays (episodes, time), False or NaN past an episode's end."""

    wall: np.ndarray
    obstacle: np.ndarray
    robot: np.ndarray
    """The bodies overlapped, and this robot was moving towards the other."""
    clearance: np.ndarray
    """Least distance [m] of the body from walls and discs during the step; negative if it would have entered."""

    @property
    def collided(self) -> np.ndarray:
        """(episodes,) any collision of this robot's own."""
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
    dt: float,
    integrator: str,
) -> Verdict:
    """Judge one robot: poses (episodes, time + 1, 3), controls (episodes, time, 2), discs (episodes, discs, 3).

    Units and padding as in a recording. Raises ValueError for an unknown integrator.
    """
    if integrator not in ("euler", "arc"):
        raise ValueError(f"unknown integrator {integrator!r}.")
    start = own[:, :-1]
    wall = _wall_gap(start, own_control, np.asarray(half_extents), dt, integrator) - own_radius
    obstacle = np.full(wall.shape, np.inf)
    for disc in range(discs.shape[1]):
        centre, radius = discs[:, disc, None, :2], discs[:, disc, None, 2]
        gap = _distance_to(centre, start, own_control, dt, integrator) - radius - own_radius
        obstacle = np.fmin(obstacle, np.where(np.isnan(gap), np.inf, gap))
    times = np.linspace(0.0, dt, 2 if integrator == "euler" else _PIECES + 1)
    own_path = _along(start, own_control, times, integrator)
    other_path = _along(other[:, :-1], other_control, times, integrator)
    separation = _nearest(own_path - other_path)
    towards = np.sum((own_path[..., -1, :] - own_path[..., 0, :]) * (other_path - own_path)[..., 0, :], axis=-1) > 0
    played = ~np.isnan(own_control[..., 0])
    return Verdict(
        wall=played & (wall < -TOLERANCE),
        obstacle=played & (obstacle < -TOLERANCE),
        robot=played & (separation < own_radius + other_radius - TOLERANCE) & towards,
        clearance=np.where(played, np.minimum(wall, obstacle), np.nan),
    )


def separation(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Least distance [m] of the centres in each step, (episodes, time), from the recorded poses."""
    gap = other[..., :2] - own[..., :2]
    return _nearest(np.stack([gap[:, :-1], gap[:, 1:]], axis=-2))


def _along(start: np.ndarray, control: np.ndarray, times: np.ndarray, integrator: str) -> np.ndarray:
    """Positions (…, times, 2) on the commanded motion; `times` (times,) or (…, times) [s]."""
    x, y, heading = (start[..., part, None] for part in range(3))
    speed, turn_rate = control[..., 0, None], control[..., 1, None]
    if integrator == "euler":
        return np.stack([x + speed * times * np.cos(heading), y + speed * times * np.sin(heading)], axis=-1)
    turns = np.abs(turn_rate) > _STRAIGHT
    circle = speed / np.where(turns, turn_rate, 1)
    end = heading + turn_rate * times
    arc_x, arc_y = circle * (np.sin(end) - np.sin(heading)), circle * (np.cos(heading) - np.cos(end))
    line_x, line_y = speed * times * np.cos(heading), speed * times * np.sin(heading)
    return np.stack([x + np.where(turns, arc_x, line_x), y + np.where(turns, arc_y, line_y)], axis=-1)


def _wall_gap(
    start: np.ndarray, control: np.ndarray, half_extents: np.ndarray, dt: float, integrator: str
) -> np.ndarray:
    """Least distance of the centre from the four walls during the step.

    On a straight piece it is reached at an end; on an arc perhaps also where the heading is along an axis.
    """
    times = np.broadcast_to(np.array([0.0, dt]), (*control.shape[:-1], 2))
    if integrator == "arc":
        axes = np.arange(4) * np.pi / 2
        turn_rate = control[..., 1, None]
        turn = np.mod((axes - start[..., 2, None]) * np.sign(turn_rate), 2 * np.pi)
        reached = turn / np.where(np.abs(turn_rate) > _STRAIGHT, np.abs(turn_rate), _STRAIGHT)
        times = np.concatenate([times, np.clip(reached, 0, dt)], axis=-1)
    return np.min(half_extents - np.abs(_along(start, control, times, integrator)), axis=(-2, -1))


def _distance_to(point: np.ndarray, start: np.ndarray, control: np.ndarray, dt: float, integrator: str) -> np.ndarray:
    """Least distance of the centre from a fixed point during the step, in closed form."""
    ends = _along(start, control, np.array([0.0, dt]), integrator) - point[..., None, :]
    straight = _nearest(ends)
    if integrator == "euler":
        return straight
    turn_rate = control[..., 1]
    turns = np.abs(turn_rate) > _STRAIGHT
    radius = control[..., 0] / np.where(turns, turn_rate, 1)  # of the circle driven on, positive to the left
    heading = start[..., 2]
    centre_x = start[..., 0] - radius * np.sin(heading) - point[..., 0]
    centre_y = start[..., 1] + radius * np.cos(heading) - point[..., 1]
    # The circle's point nearest to `point` lies on the arc if the way there, in the turning sense, is short enough.
    inward = np.arctan2(-centre_y, -centre_x)
    begin = heading - np.sign(turn_rate) * np.pi / 2  # direction from the circle's centre to the robot
    way = np.mod((inward - begin) * np.sign(turn_rate), 2 * np.pi)
    at_circle = np.abs(np.hypot(centre_x, centre_y) - np.abs(radius))
    at_ends = np.min(np.hypot(ends[..., 0], ends[..., 1]), axis=-1)
    on_arc = np.where(way <= np.abs(turn_rate) * dt, np.minimum(at_circle, at_ends), at_ends)
    return np.where(turns, on_arc, straight)


def _nearest(path: np.ndarray) -> np.ndarray:
    """Least distance to the origin of paths (…, points, 2) made of straight pieces."""
    start, piece = path[..., :-1, :], np.diff(path, axis=-2)
    square = np.sum(piece**2, axis=-1)
    share = -np.sum(start * piece, axis=-1) / np.where(square > 0, square, 1)
    foot = start + np.clip(share, 0, 1)[..., None] * piece
    return np.min(np.hypot(foot[..., 0], foot[..., 1]), axis=-1)
