"""Maps of the unit square onto the set of safe controls, exact and without a solver (theory.md §4).

Both are bijections wherever the set has an interior, depend on the state alone, and map z₁ = 0 to the least safe
speed. An interval of width zero maps to its point, without a division by the width.

    box       v = v̄_A z₁,  ω = ω̄(2z₂ − 1)                                theorem 1: the safe set *is* this box
              (of a robot that reverses v from −v̄_B to v̄_A)
    polygon   w = w_lo + (w_hi − w_lo) z₂,  then v = v_lo(w) + (v_hi(w) − v_lo(w)) z₁      theorem 2's polygon
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from safepursuit.qp import Halfplanes
from safepursuit.robot import Robot
from safepursuit.shapes import Control, Scalar
from safepursuit.shield import Surroundings


def actuator_box(robot: Robot, z: Float[Array, "2 *batch"]) -> Control:
    """All controls within the limits, safe or not: v = v̲ + (v̄ − v̲) z₁, ω = ω̄(2z₂ − 1)."""
    return robot.from_unit_box(2 * z - 1)


def box(robot: Robot, surroundings: Surroundings, z: Float[Array, "2 *batch"]) -> Control:
    """The control in the box of theorem 1."""
    speed, turn_rate = actuator_box(robot, z)
    if surroundings.backwards is not None:
        slowest = jnp.maximum(-surroundings.backwards.speed_limit, robot.min_speed)
        return jnp.stack([slowest + (surroundings.speed_limit - slowest) * z[0], turn_rate])
    return jnp.stack([speed * (surroundings.speed_limit / robot.max_speed), turn_rate])


def polygon(robot: Robot, rows: Halfplanes, z: Float[Array, "2 *batch"], velocity: Control | None = None) -> Control:
    """The control in the polygon of `rows`, the actuator box included, in the (v, w) plane."""
    low, high = swing_range(rows)
    w = low + (high - low) * z[1]
    slowest, fastest = speed_range(rows, w, forwards=not robot.reverses)
    return robot.from_swing(jnp.stack([slowest + (fastest - slowest) * z[0], w]), velocity)


def swing_range(rows: Halfplanes) -> tuple[Scalar, Scalar]:
    """Least and greatest w of a bounded polygon that contains 0, by Fourier–Motzkin elimination of v.

    A row with A_v > 0 bounds v from above, one with A_v < 0 from below; each such pair bounds w by
    (aᵢA_wⱼ − aⱼA_wᵢ) w ≤ aᵢbⱼ − aⱼbᵢ, and a row with A_v = 0 bounds w directly.
    """
    v, w, b = rows.A[:, 0], rows.A[:, 1], rows.b
    above, below = v > 0, v < 0

    def every(pairs: Array, single: Array) -> Array:
        return jnp.concatenate([pairs.reshape(-1, *single.shape[1:]), single])

    slope = every(v[:, None] * w[None] - v[None] * w[:, None], w)
    bound = every(v[:, None] * b[None] - v[None] * b[:, None], b)
    holds = every(above[:, None] & below[None], v == 0)
    ratio = jnp.maximum(bound, 0) / jnp.where(slope != 0, jnp.abs(slope), 1)
    high = jnp.min(jnp.where(holds & (slope > 0), ratio, jnp.inf), axis=0)
    low = -jnp.min(jnp.where(holds & (slope < 0), ratio, jnp.inf), axis=0)
    return low, high


def speed_range(rows: Halfplanes, w: Scalar, *, forwards: bool = True) -> tuple[Scalar, Scalar]:
    """Least and greatest v of the polygon at this w, within `swing_range`; `forwards` where the box has v ≥ 0."""
    v = rows.A[:, 0]
    reach = (rows.b - rows.A[:, 1] * w) / jnp.where(v != 0, v, 1)
    least = 0 if forwards else -jnp.inf
    fastest = jnp.maximum(jnp.min(jnp.where(v > 0, reach, jnp.inf), axis=0), least)
    slowest = jnp.maximum(jnp.max(jnp.where(v < 0, reach, -jnp.inf), axis=0), least)
    return jnp.minimum(slowest, fastest), fastest
