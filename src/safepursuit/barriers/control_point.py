"""Barriers of the virtual control point q = p + d·e(θ), sound between samples (theorem 2, theory.md §2).

They keep the whole body clear during the whole step, for the Euler step and for the exact arc.
"""

import math
from dataclasses import dataclass, replace

import jax.numpy as jnp
from jaxtyping import Array

from safepursuit.barriers.barrier import Barriers, in_heading_frame
from safepursuit.geometry import direction
from safepursuit.qp import Halfplanes
from safepursuit.robot import Robot
from safepursuit.scene import Scene, boundaries
from safepursuit.shapes import Pose, Rows

_FEW = 16
"""Boundaries (12 discs and the walls) up to which the nearest come first; beyond, sorting costs more than it saves."""


@dataclass(frozen=True)
class ControlPoint:
    """One barrier per boundary of the scene. Needs v̄Δ ≤ d."""

    offset: float
    """d [m]."""
    margin: float = 0.0
    """Added to the robot's radius [m]."""
    nearest_first: bool = True
    """Sort up to `_FEW` barriers by their value, which makes the projection faster."""

    def rows_each(self, robot: Robot) -> int:
        return 4 if _bends_behind(robot) else 2

    def find(self, robot: Robot, pose: Pose, scene: Scene, opponent: Pose | None = None) -> Barriers:
        ahead = direction(pose[2])
        around = boundaries(scene, pose[:2] + self.offset * ahead)
        body = replace(robot, radius=robot.radius + self.margin)  # type: ignore[type-var]
        value = around.distance - standoff(body, self.offset, around.radius)
        arranged = _ascending if self.nearest_first and len(value) <= _FEW else _as_they_come
        return Barriers(*arranged(value, *in_heading_frame(ahead, around.normal), around.radius))

    def rows(self, robot: Robot, barriers: Barriers, gain: Rows) -> Halfplanes:
        return control_point_rows(robot, self.offset, barriers, gain)


def standoff(robot: Robot, offset: float, radius: Rows) -> Rows:
    """Distance [m] that the virtual control point keeps from a surface of this radius of curvature [m] (theorem 2).

    ρ_q − R with ρ_q = √(ρ² + d²), ρ = R + r, plus d·φ̄/2 for the arc. With ρ_q = ρ the body could cut the corner by up
    to ρ − √(ρ² − d²). For a wall, R = ∞, it is r.
    """
    flat = jnp.isinf(radius)
    rho = jnp.where(flat, 0, radius) + robot.radius
    return jnp.where(flat, robot.radius, jnp.sqrt(rho**2 + offset**2) - radius) + arc_allowance(robot, offset)


def arc_allowance(robot: Robot, offset: float) -> float:
    """Greatest distance [m] of p + d·e′, e′ along the arc's chord, from q: d·φ̄/2; 0 for Euler."""
    return 0.0 if robot.integrator == "euler" else 0.5 * offset * robot.max_swing


def turn_slope(robot: Robot) -> float:
    """κ = tan(φ̄/2): the share of |w| by which the linear row overestimates a turn towards a boundary ahead."""
    return math.tan(0.5 * robot.max_swing)


def _bends_behind(robot: Robot) -> bool:
    """Whether v < 0 has a slope A_v of its own: that of Euler's step is the same both ways."""
    return robot.reverses and robot.integrator != "euler"


def control_point_rows(robot: Robot, offset: float, barriers: Barriers, gain: Rows) -> Halfplanes:
    """Rows in (v, w), w = sin(ωΔ), under which h⁺ ≥ (1 − γ)h for every boundary (theorem 2).

        A_v v + d(s_β ∓ κ c_β⁺) w  ≥  −γ max(h, 0)         two rows per boundary, equal when the robot faces it

    with A_v = Δ c_β (Euler) or Δ(c_β⁻ + S c_β⁺ − μ|s_β|), S = sin φ̄/φ̄, μ = (1 − cos φ̄)/φ̄ (arc). The guarantee holds
    for any `gain` γ in [0, 1], one per boundary. A boundary with a zero normal is padding and bounds nothing. Returned
    as A u ≤ b [m], for each boundary the row with −κ, then the one with +κ; for arcs of a robot that reverses then the
    same two with the slope for v < 0, Δ(c_β⁺ + S c_β⁻ + μ|s_β|), which is no smaller (theory.md §2.8).
    """
    ahead, behind = jnp.maximum(barriers.facing, 0), jnp.minimum(barriers.facing, 0)
    if robot.integrator == "euler":
        slopes = [robot.dt * barriers.facing]
    else:
        swing = robot.max_swing
        chord, drift = math.sin(swing) / swing, (1 - math.cos(swing)) / swing
        slopes = [robot.dt * (behind + chord * ahead - drift * jnp.abs(barriers.side))]
    if _bends_behind(robot):
        slopes.append(robot.dt * (ahead + chord * behind + drift * jnp.abs(barriers.side)))
    error = turn_slope(robot) * ahead
    bound = gain * jnp.maximum(barriers.value, 0)

    # Both signs by broadcasting: XLA on CPU concatenates element by element.
    rows, *batch = error.shape
    sign = jnp.asarray([-1.0, 1.0] * len(slopes), error.dtype).reshape((-1,) + (1,) * len(batch))
    each = len(sign)

    def spread(values: Array) -> Array:
        return jnp.broadcast_to(values[:, None], (rows, each, *batch)).reshape(each * rows, *batch)

    turn = spread(barriers.side) + (sign * error[:, None]).reshape(each * rows, *batch)
    if len(slopes) == 1:
        speed = spread(-slopes[0])
    else:
        speed = -jnp.stack([slopes[0], slopes[0], slopes[1], slopes[1]], axis=1).reshape(each * rows, *batch)
    return Halfplanes(jnp.stack([speed, -offset * turn], axis=1), spread(bound))


def _as_they_come(*values: Rows) -> tuple[Array, ...]:
    """The values unchanged, then the index of each row."""
    index = jnp.arange(len(values[0])).reshape((-1,) + (1,) * (values[0].ndim - 1))
    return *values, jnp.broadcast_to(index, values[0].shape)


def _ascending(value: Rows, *others: Rows) -> tuple[Array, ...]:
    """The values sorted by `value` along the rows, stably, then the former index of each row."""
    *_, index = _as_they_come(value)
    # XLA on CPU sorts one problem at a time with a comparator function: four to twelve times slower than counting. The
    # places are one reduction; each of their uses would recompute a chain of additions.
    earlier = (value < value[:, None]) | ((value == value[:, None]) & (index < index[:, None]))
    place = jnp.sum(earlier.astype(index.dtype), axis=1)

    def sort(values: Array) -> Array:
        result = jnp.zeros_like(values)
        for row in range(len(values)):
            result = jnp.where(place[row] == index, values[row], result)
        return result

    return tuple(sort(values) for values in (value, *others, index))
