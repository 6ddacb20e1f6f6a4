"""The speed governor: a bound on the speed that makes any control safe for one step (theorem 1, theory.md §2)."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from safepursuit.robot import Robot
from safepursuit.shapes import Rows, Scalar


def approach(
    facing: Float[Array, "*shape"], side: Float[Array, "*shape"], swing: Scalar | float
) -> Float[Array, "*shape"]:
    """a = max(0, −cos(min(π, β + ψ))): the largest share of the speed towards the boundary (theorem 1).

    `facing` = cos β and |`side`| = sin β for the angle β between heading and normal; ψ = `swing` ≥ 0 [rad] is the
    largest angle between heading and direction of motion within the step.
    """
    cosine, sine = jnp.cos(swing), jnp.sin(swing)
    beta_cos, beta_sin = facing, jnp.abs(side)
    past_pi = (beta_cos < 0) & (beta_sin * cosine + beta_cos * sine <= 0)
    return jnp.maximum(0, jnp.where(past_pi, jnp.hypot(beta_cos, beta_sin), beta_sin * sine - beta_cos * cosine))


def governor_swing(robot: Robot, turn_rate: Scalar) -> Scalar:
    """ψ [rad] of theorem 1 at this turn rate: 0 for Euler, |ω|Δ/2 for the arc."""
    return jnp.zeros_like(turn_rate) if robot.integrator == "euler" else 0.5 * robot.dt * jnp.abs(turn_rate)


def governed_speed(robot: Robot, facing: Rows, side: Rows, slack: Rows, swing: Scalar) -> Scalar:
    """The speed governor: v̄_A = min(v̄, minᵢ sᵢ/(Δ aᵢ)) [m/s] (theorem 1 with γ = 1).

    `slack` is the body's clearance sᵢ ≥ 0 [m] (negative counts as 0), `facing` and `side` are those of the normal at
    the robot's *centre*, `swing` is ψ from `governor_swing`. Any speed from 0 to v̄_A, at the turn rate of ψ, keeps the
    body clear during the whole step.
    """
    share = approach(facing, side, swing)
    heading_in = share > 0
    allowed = jnp.maximum(slack, 0) / (robot.dt * jnp.where(heading_in, share, 1))
    return jnp.min(jnp.where(heading_in, allowed, jnp.inf), axis=0, initial=robot.max_speed)


def may_leave(
    facing: Rows,
    side: Rows,
    slack: Rows,
    swing: Scalar,
    centre: Rows,
    error: float,
    moves: Bool[Array, "rows *batch"] | bool,
) -> Scalar:
    """∞, or 0 where the robot must stand still: within the enlargement of a boundary (`slack` < 0) by an error of the
    position, it may only drive along headings that lead away from wherever the error leaves the boundary, and from one
    that `moves` along none (theory.md §5.4).

    `centre` is the distance [m] of the robot from the boundary's centre of curvature (∞ for a wall), `error` the bound
    ε_p [m]; the other arguments are those of `governed_speed`.
    """
    outward = facing * jnp.cos(swing) - jnp.abs(side) * jnp.sin(swing)
    away = jnp.where(jnp.isinf(centre), 0, error / jnp.where(jnp.isinf(centre), 1, jnp.maximum(centre, error)))
    blocked = (slack < 0) & ((outward < away) | moves)
    return jnp.min(jnp.where(blocked, 0.0, jnp.inf), axis=0)


def least_speed(robot: Robot, facing: Rows, side: Rows, slack: Rows, swing: Scalar, gain: float) -> Scalar:
    """The lowest speed [m/s] other than 0 where rounding has moved the body beyond the margin (theory.md §2.5).

    At this speed it comes away by `gain` [m] within the step from every boundary with negative `slack`; infinite where
    it does not head away from one, 0 where there is none. Arguments as for `governed_speed`.
    """
    outward = facing if robot.integrator == "euler" else facing * jnp.cos(swing) - jnp.abs(side) * jnp.sin(swing)
    away = jnp.min(jnp.where(slack < 0, outward, jnp.inf), axis=0)
    return jnp.where(away > 0, gain / (robot.dt * jnp.where(away > 0, away, 1)), jnp.inf)
