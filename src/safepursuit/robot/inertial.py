"""A unicycle with limits of acceleration (theory.md §5): speed and turn rate change linearly within a step.

A command (v, ω) is first cut to what the motors can reach from the present velocity; `ramp` is its motion. *Stop* is
the command (0, 0): speed and turn rate fall as fast as they can, each for itself. Way and turn until standstill have
closed forms, linear between whole steps. A robot that reverses comes to rest before it goes on the other way: no step
has speeds of both signs.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from safepursuit import ranges
from safepursuit.geometry import direction
from safepursuit.robot.unicycle import Unicycle
from safepursuit.shapes import Control, Pose, Scalar

_GAUSS = 0.5 / math.sqrt(3)
"""Distance of Gauss' two points from the middle of a piece, in lengths of the piece."""

_STILL = 8
"""Rounding errors of v̄ up to which a speed is rest: the sum of what steps of acceleration leave of 0."""


@dataclass(frozen=True)
class Inertial(Unicycle):
    """A round robot whose motors limit how fast its speed and its turn rate change."""

    has_inertia: ClassVar[bool] = True

    acceleration: float = 2.5
    """Forward acceleration a_a [m/s²] at most."""
    braking: float = 2.5
    """Deceleration a_b [m/s²] at most, and of every stop."""
    turn_acceleration: float = 10.0
    """Turning acceleration α [rad/s²] at most, both ways."""
    integrator: Literal["ramp"] = "ramp"
    """"ramp": speed and turn rate are linear within a step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        ranges.check(self, "robot", positive=("acceleration", "braking", "turn_acceleration"))

    def faster(self, factor: float) -> "Inertial":
        limits = ("max_speed", "max_turn_rate", "min_speed", "acceleration", "braking", "turn_acceleration")
        return replace(self, **{name: factor * getattr(self, name) for name in limits})

    @property
    def max_swing(self) -> float:
        """Largest amount [rad] by which one command changes the heading at standstill: at most 2ω̄Δ."""
        return 2 * self.max_turn_rate * self.dt

    @property
    def steps_to_stop(self) -> int:
        return math.ceil(self.max_speed / (self.braking * self.dt))

    def way(
        self, pose: Pose, control: Control, pieces: int, velocity: Control | None = None
    ) -> Float[Array, "2 {pieces} *batch"]:
        """∫ v(τ) e(θ(τ)) dτ by Gauss' rule of two points per piece: to 5e-8 m with one piece, to 2e-11 m with eight.

        A sum of vectors along headings of the step whose lengths add up to the way driven: theorem 3 holds for it as
        for the integral.
        """
        start = _given(velocity)
        slope, piece = (control - start) / self.dt, self.dt / pieces
        x, y, heading = pose
        nodes = (np.arange(pieces)[:, None] + [0.5 - _GAUSS, 0.5 + _GAUSS]) * piece
        moments = jnp.asarray(nodes, heading.dtype).reshape(pieces, 2, *(1,) * heading.ndim)
        driven = 0.5 * piece * (start[0] + slope[0] * moments)
        turned = heading + (start[1] + 0.5 * slope[1] * moments) * moments
        chords = jnp.sum(driven * direction(turned), axis=2)
        points = [jnp.stack([x, y]) + chords[:, 0]]
        for number in range(1, pieces):
            points.append(points[-1] + chords[:, number])
        return jnp.stack(points, axis=1)

    def turn(self, control: Control, velocity: Control | None = None) -> Scalar:
        return 0.5 * self.dt * (_given(velocity)[1] + control[1])

    def stopped(self, pose: Pose, velocity: Control | None = None) -> Pose:
        """The pose at rest after braking, its way taken as an arc; the heading is not wrapped."""
        way, turned = self.dt * self._until_rest(_given(velocity))
        x, y = pose[:2] + way * jnp.sinc(0.5 * turned / jnp.pi) * direction(pose[2] + 0.5 * turned)
        return jnp.stack([x, y, pose[2] + turned])

    def reach(self, control: Control, velocity: Control | None = None) -> Control:
        low, high = self.window(_given(velocity))
        if self.wheel_base is None:
            return jnp.clip(control, low, high)
        # The wheels can do the command in the end; on the way there, as far from *stop* as they can.
        reached, rest = jnp.clip(self.limit(control), low, high), self.braked(velocity)
        share = self.wheel_share(reached, rest)
        return jnp.where(share < 1, rest + share * (reached - rest), reached)

    def window(self, velocity: Control) -> tuple[Control, Control]:
        """Lowest and highest speed and turn rate [m/s, rad/s] at the end of the step, whatever the wheels can do."""
        v, turn_rate = velocity
        step = self.turn_acceleration * self.dt
        low = [v - self.braking * self.dt, turn_rate - step]
        high = [v + self.acceleration * self.dt, turn_rate + step]
        if self.reverses:  # the sign stays within a step; from rest either one is open
            still = _STILL * float(jnp.finfo(jnp.result_type(v)).eps) * self.max_speed
            low[0] = jnp.where(v > still, jnp.maximum(low[0], 0), v - self.acceleration * self.dt)
            high[0] = jnp.where(v < -still, jnp.minimum(v + self.braking * self.dt, 0), high[0])
        return self.within_box(jnp.stack(low)), self.within_box(jnp.stack(high))

    def stopping_way(self, v: Scalar) -> Scalar:
        """D(v) [m]: the way until standstill, with the sign of the speed."""
        return self.dt * self._until_rest(jnp.stack([v, jnp.zeros_like(v)]))[0]

    def stopping_turn(self, turn_rate: Scalar) -> Scalar:
        """Ψ(ω) [rad]: the signed turn until standstill."""
        return self.dt * self._until_rest(jnp.stack([jnp.zeros_like(turn_rate), turn_rate]))[1]

    def stopping_time(self, v: Scalar) -> Scalar:
        """T(v) [s] until standstill from a speed v ≥ 0."""
        return self.dt * jnp.ceil(v / (self.braking * self.dt))

    def way_to_stop(self, v_before: Scalar, v: Scalar) -> Scalar:
        """L [m]: the way of a step from speed `v_before` to `v`, and of the stop after it; with the sign of both."""
        return 0.5 * self.dt * (v_before + v) + self.stopping_way(v)

    def speed_for(self, v_before: Scalar, way: Scalar) -> Scalar:
        """The speed v ≥ 0 at the end of the step for which L is `way`; negative where it is out of reach."""
        return _before_stop(way / self.dt - 0.5 * v_before, self.braking * self.dt)

    def swing_box(self, like: Scalar, velocity: Control | None = None) -> tuple[Control, Control]:
        ends = jnp.stack(self.window(_given(velocity)), axis=1)
        ends = jax.vmap(lambda end: self.to_swing(end, velocity), in_axes=1, out_axes=1)(ends)
        return jnp.minimum(ends[:, 0], 0), jnp.maximum(ends[:, 1], 0)

    def to_swing(self, control: Control, velocity: Control | None = None) -> Float[Array, "2 *batch"]:
        """(v, ω) → (ℓ/Δ, sin φ): way and turn until standstill beyond those of *stop*, which is 0 (theory.md §5.3).

        Counted from the end of the first step of *stop*, so that *stop* is 0 without rounding. Continued beyond the
        limits, with a gradient, as that of `Unicycle`.
        """
        rest = self.braked(velocity)
        rate, swing = 0.5 * (control - rest) + (self._until_rest(control) - self._until_rest(rest))
        swing = self.dt * swing
        inside = jnp.clip(swing, -self.max_swing, self.max_swing)
        return jnp.stack([rate, jnp.sin(inside) + math.cos(self.max_swing) * (swing - inside)])

    def from_swing(self, speed_and_swing: Float[Array, "2 *batch"], velocity: Control | None = None) -> Control:
        rest, (rate, w) = self.braked(velocity), speed_and_swing
        limit = math.sin(self.max_swing)
        beyond = jnp.stack([rate, jnp.arcsin(jnp.clip(w, -limit, limit)) / self.dt])
        return self._either_way(_before_stop, beyond + 0.5 * rest + self._until_rest(rest))

    def braked(self, velocity: Control | None) -> Control:
        """Speed and turn rate at the end of a step of *stop*."""
        return self._either_way(lambda size, drop: jnp.maximum(size - drop, 0), _given(velocity))

    def _until_rest(self, velocity: Control) -> Float[Array, "2 *batch"]:
        """D(v)/Δ [m/s] and Ψ(ω)/Δ [rad/s]."""
        return self._either_way(_until_zero, velocity)

    def _either_way(self, rule: Callable[[Array, Array], Array], velocity: Float[Array, "2 *batch"]) -> Array:
        """A rule for a speed and a turn rate ≥ 0, and by how much they fall in a step of *stop*; mirrored for negative
        turn rates, and for negative speeds of a robot that reverses (theory.md §2.8)."""
        ones = (1,) * (velocity.ndim - 1)
        drops = jnp.asarray([self.braking * self.dt, self.turn_acceleration * self.dt], velocity.dtype)
        mirrors = np.asarray([self.reverses, True]).reshape(2, *ones)
        sign = jnp.where(mirrors, jnp.sign(velocity), 1)
        return sign * rule(sign * velocity, drops.reshape(2, *ones))

    def to_unit_box(self, control: Control, velocity: Control | None = None) -> Float[Array, "2 *batch"]:
        """In half-widths of what can be reached from `velocity`, about its centre; without one, of the limits."""
        if velocity is None:
            return super().to_unit_box(control)
        low, high = self.window(velocity)
        return (2 * control - (low + high)) / (high - low)

    def from_unit_box(self, scaled: Float[Array, "2 *batch"], velocity: Control | None = None) -> Control:
        if velocity is None:
            return super().from_unit_box(scaled)
        low, high = self.window(velocity)
        return 0.5 * (low + high + (high - low) * scaled)


def _given(velocity: Control | None) -> Control:
    if velocity is None:
        raise ValueError("a robot with inertia needs its velocity (speed and turn rate at the start of the step).")
    return velocity


def _until_zero(value: Array, drop: Array | float) -> Array:
    """Integral, in steps, of a number that falls linearly by `drop` per step from `value`, to 0 in the last step.

    nx − ½dn² + ½r with n whole steps and the rest r, which is linear in x: (n + ½)x − ½d n(n + 1).
    """
    whole = jnp.maximum(jnp.floor(value / drop), 0)
    return (whole + 0.5) * value - 0.5 * drop * whole * (whole + 1)


def _before_stop(integral: Array, drop: Array | float) -> Array:
    """The x for which ½x, the rest of its step, and `_until_zero` add up to `integral`; linear below 0."""
    whole = jnp.floor(0.5 * (jnp.sqrt(1 + 8 * jnp.maximum(integral, 0) / drop) - 1))
    return (integral + 0.5 * drop * whole * (whole + 1)) / (whole + 1)
