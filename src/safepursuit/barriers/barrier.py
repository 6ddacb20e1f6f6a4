"""Control barrier functions for the unicycle, sound between samples (theory.md §2).

Each function here turns geometry (distance to a boundary and its normal) into a bound on the control that, if obeyed
for one step, keeps the whole body clear for the whole step, for the Euler step and for the exact arc. None of them
knows what the boundary belongs to; normals point from the boundary into free space. A boundary with a zero normal is
padding and bounds nothing.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from safepursuit.qp import Halfplanes
from safepursuit.robot import Unicycle
from safepursuit.shapes import Rows, Scalar


class Barriers(NamedTuple):
    """Barriers of the virtual control point q = p + d·e(θ), one a boundary."""

    value: Rows
    """h [m]: distance of q beyond what theorem 2 asks for; h ≥ 0 is the safe set."""
    facing: Rows
    """c_β = n·e: −1 when the robot heads straight at the boundary, +1 when straight away."""
    side: Rows
    """s_β = n·e⊥: the boundary's normal along the robot's left."""


def vcp_standoff(robot: Unicycle, offset: float, radius: Rows) -> Rows:
    """Distance [m] the virtual control point must keep from the *surface* of a disc of this radius [m] (theorem 2).

    ρ_q − R with ρ_q = √(ρ² + d²), ρ = R + r, and d·φ̄/2 more for the arc. A plain ρ_q = ρ would let the body cut the
    corner by up to ρ − √(ρ² − d²).
    """
    rho = radius + robot.radius
    return jnp.sqrt(rho**2 + offset**2) - radius + arc_allowance(robot, offset)


def vcp_wall_standoff(robot: Unicycle, offset: float) -> float:
    """The same for a wall: r, and d·φ̄/2 more for the arc. It is the limit of the disc's as R grows."""
    return robot.radius + arc_allowance(robot, offset)


def arc_allowance(robot: Unicycle, offset: float) -> float:
    """How far [m] the arc's chord direction can carry the point p + d·e′ from q: d·φ̄/2; nothing for Euler."""
    return 0.0 if robot.integrator == "euler" else 0.5 * offset * robot.max_swing


def turn_slope(robot: Unicycle) -> float:
    """κ = tan(φ̄/2): the share of |w| by which the linear row overestimates a turn towards what lies ahead."""
    return math.tan(0.5 * robot.max_swing)


def vcp_rows(robot: Unicycle, offset: float, barriers: Barriers, gain: Rows) -> Halfplanes:
    """Rows in (v, w), w = sin(ωΔ), under which h⁺ ≥ (1 − γ)h for every boundary (theorem 2).

        A_v v + d(s_β ∓ κ c_β⁺) w  ≥  −γ max(h, 0)         two rows a boundary, equal when the robot faces it

    with A_v = Δ c_β (Euler) or Δ(c_β⁻ + S c_β⁺ − μ|s_β|), S = sin φ̄/φ̄, μ = (1 − cos φ̄)/φ̄ (arc). `gain` is γ in
    [0, 1], one a boundary; any value, learned or random, keeps the guarantee, and u = 0 always satisfies the rows.
    Needs v̄Δ ≤ d. Returned as A u ≤ b [m], for each boundary the row with −κ, then the one with +κ.
    """
    ahead, behind = jnp.maximum(barriers.facing, 0), jnp.minimum(barriers.facing, 0)
    if robot.integrator == "euler":
        speed = robot.dt * barriers.facing
    else:
        swing = robot.max_swing
        chord, drift = math.sin(swing) / swing, (1 - math.cos(swing)) / swing
        speed = robot.dt * (behind + chord * ahead - drift * jnp.abs(barriers.side))
    error = turn_slope(robot) * ahead
    bound = gain * jnp.maximum(barriers.value, 0)

    # Both signs by broadcasting rather than by concatenation, which XLA on CPU does element by element.
    rows, *batch = speed.shape
    sign = jnp.asarray([-1.0, 1.0], speed.dtype).reshape((2,) + (1,) * len(batch))

    def both(each: Array) -> Array:
        return jnp.broadcast_to(each[:, None], (rows, 2, *batch)).reshape(2 * rows, *batch)

    turn = both(barriers.side) + (sign * error[:, None]).reshape(2 * rows, *batch)
    turn = -offset * turn
    return Halfplanes(jnp.stack([both(-speed), turn], axis=1), both(bound))


def approach(
    facing: Float[Array, "*shape"], side: Float[Array, "*shape"], swing: Scalar | float
) -> Float[Array, "*shape"]:
    """a = max(0, −cos(min(π, β + ψ))): the largest share of the speed that can point at the boundary (theorem 1).

    `facing` = cos β and |`side`| = sin β for the angle β between heading and normal; ψ = `swing` ≥ 0 [rad] is how far
    the direction of motion may turn away from the heading within the step.
    """
    cosine, sine = jnp.cos(swing), jnp.sin(swing)
    beta_cos, beta_sin = facing, jnp.abs(side)
    past_pi = (beta_cos < 0) & (beta_sin * cosine + beta_cos * sine <= 0)
    return jnp.maximum(0, jnp.where(past_pi, jnp.hypot(beta_cos, beta_sin), beta_sin * sine - beta_cos * cosine))


def governor_swing(robot: Unicycle, turn_rate: Scalar) -> Scalar:
    """ψ [rad] of theorem 1 when the turn rate is already chosen: 0 for Euler, |ω|Δ/2 for the arc."""
    return jnp.zeros_like(turn_rate) if robot.integrator == "euler" else 0.5 * robot.dt * jnp.abs(turn_rate)


def governed_speed(robot: Unicycle, facing: Rows, side: Rows, slack: Rows, swing: Scalar) -> Scalar:
    """The speed governor: v̄_A = min(v̄, minᵢ sᵢ/(Δ aᵢ)) [m/s] (theorem 1 with γ = 1).

    `slack` is the body's clearance sᵢ ≥ 0 [m] (negative counts as 0), `facing` and `side` belong to the normal at the
    robot's *centre*, `swing` is ψ from `governor_swing`. Any speed up to v̄_A, with the turn rate ψ belongs to, keeps
    the body clear for the whole step; 0 is always allowed.
    """
    share = approach(facing, side, swing)
    heading_in = share > 0
    allowed = jnp.maximum(slack, 0) / (robot.dt * jnp.where(heading_in, share, 1))
    return jnp.min(jnp.where(heading_in, allowed, jnp.inf), axis=0, initial=robot.max_speed)


def robot_row(robot: Unicycle, facing: Scalar, side: Scalar, slack: Scalar, gain: float) -> Halfplanes:
    """One row that limits this robot's own approach to the other one: n·Δp ≥ −γ max(0, D − D_min) (theory.md §2.4).

    `slack` = D − D_min [m], `facing` and `side` of the normal from the other robot to this one. It makes no promise
    about the other's motion; u = 0 always satisfies it. Linear in (v, w), and in fact a bound on v alone.
    """
    share = approach(facing, side, 0.0 if robot.integrator == "euler" else 0.5 * robot.max_swing)
    row = jnp.stack([robot.dt * share, jnp.zeros_like(share)])
    return Halfplanes(row[None], gain * jnp.maximum(slack, 0)[None])


def check_robot_gain(robot: Unicycle, gain: float, min_separation: float, capture_radius: float) -> None:
    """Refuse an inter-robot row that would slow the pursuer before it can capture (theory.md §1.2, §2.4).

    Raises ValueError unless γ ≥ v̄Δ/(r_capture − D_min).
    """
    if min_separation >= capture_radius:
        raise ValueError(
            f"the inter-robot barrier keeps {min_separation:g} m, not less than the capture radius of "
            f"{capture_radius:g} m: capture would be impossible; reduce the separation or switch the barrier off."
        )
    needed = robot.max_speed * robot.dt / (capture_radius - min_separation)
    if gain < needed:
        closing = gain * (capture_radius - min_separation) / robot.dt
        raise ValueError(
            f"an inter-robot gain of {gain:g} forbids capture (closing speed at most {closing:.2f} m/s at the capture "
            f"radius of {capture_radius:g} m); use a gain of at least {needed:.3g}, or allow it explicitly."
        )
