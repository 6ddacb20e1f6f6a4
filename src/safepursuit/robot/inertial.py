"""A unicycle with limits of acceleration (theory.md §5): speed and turn rate change linearly within a step.

A command (v, ω) is first cut to what the motors can reach from the present velocity; `ramp` is its motion. *Stop* is
the command (0, 0): speed and turn rate fall as fast as they can, each for itself. Way and turn until standstill have
closed forms, linear between whole steps. A robot that reverses comes to rest before it goes on the other way: no step
has speeds of both signs.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from safepursuit import ranges
from safepursuit.geometry import direction
from safepursuit.robot.unicycle import Unicycle, pair
from safepursuit.shapes import Control, Pose, Scalar

_GAUSS = 0.5 / math.sqrt(3)
"""Distance of Gauss' two points from the middle of a piece, in lengths of the piece."""

_STILL = 8
"""Rounding errors of v̄ up to which a speed is rest: the sum of what steps of acceleration leave of 0."""

Rule: TypeAlias = Callable[[Array, Any], Array]
"""Of numbers ≥ 0, and by how much they fall in a step of *stop*."""


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
        velocity, rest = _given(velocity), self.braked(velocity)
        way, turned = self.dt * (0.5 * velocity + self._then_stop(rest))
        half = 0.5 * turned
        chord = way * jnp.where(half == 0, 1, jnp.sin(half) / jnp.where(half == 0, 1, half))
        x, y = pose[:2] + chord * direction(pose[2] + half)
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
        slower, faster, turn = (self.dt * rate for rate in (self.braking, self.acceleration, self.turn_acceleration))
        low = velocity - pair(slower, turn, velocity)
        high = velocity + pair(faster, turn, velocity)
        if self.reverses:  # the sign stays within a step; from rest either one is open
            v = velocity[0]
            still = _STILL * float(jnp.finfo(jnp.result_type(v)).eps) * self.max_speed
            low = jnp.stack([jnp.where(v > still, jnp.maximum(low[0], 0), v - faster), low[1]])
            high = jnp.stack([jnp.where(v < -still, jnp.minimum(v + slower, 0), high[0]), high[1]])
        least = pair(self.min_speed, -self.max_turn_rate, velocity)
        most = pair(self.max_speed, self.max_turn_rate, velocity)
        return jnp.clip(low, least, most), jnp.clip(high, least, most)

    def stopping_way(self, v: Scalar) -> Scalar:
        """D(v) [m]: the way until standstill, with the sign of the speed."""
        return self.dt * (_mirrored(_then_stop, v, self.braking * self.dt, self.reverses) - 0.5 * v)

    def stopping_turn(self, turn_rate: Scalar) -> Scalar:
        """Ψ(ω) [rad]: the signed turn until standstill."""
        return self.dt * (_mirrored(_then_stop, turn_rate, self.turn_acceleration * self.dt) - 0.5 * turn_rate)

    def stopping_time(self, v: Scalar) -> Scalar:
        """T(v) [s] until standstill from a speed v ≥ 0, at most.

        Each step of a stop may leave half a rounding error, and what is left at the end takes one more step: a speed
        that comes as near to a multiple of a_b Δ as that has the time of the next one (theory.md §5.1).
        """
        left = (2 + 0.5 * self.steps_to_stop) * float(jnp.finfo(jnp.result_type(v)).eps) * self.max_speed
        return self.dt * jnp.ceil((v + left) / (self.braking * self.dt))

    def way_to_stop(self, v_before: Scalar, v: Scalar) -> Scalar:
        """L [m]: the way of a step from speed `v_before` to `v`, and of the stop after it; with the sign of both."""
        return 0.5 * self.dt * (v_before + v) + self.stopping_way(v)

    def speed_for(self, v_before: Float[Array, "*#batch"], way: Float[Array, "*#batch"]) -> Float[Array, "*#batch"]:
        """The speed v ≥ 0 at the end of the step for which L is `way`; negative where it is out of reach."""
        return _before_stop(way / self.dt - 0.5 * v_before, self.braking * self.dt)

    def swing_box(self, like: Scalar, velocity: Control | None = None) -> tuple[Control, Control]:
        ends = jnp.stack(self.window(_given(velocity)))
        low, high = jax.vmap(lambda end: self.to_swing(end, velocity))(ends)
        return jnp.minimum(low, 0), jnp.maximum(high, 0)

    def to_swing(self, control: Control, velocity: Control | None = None) -> Float[Array, "2 *batch"]:
        """(v, ω) → (ℓ/Δ, sin φ): way and turn until standstill beyond those of *stop*, which is 0 (theory.md §5.3).

        Counted from the end of the first step of *stop*, so that *stop* is 0 without rounding. Continued beyond the
        limits, with a gradient, as that of `Unicycle`.
        """
        rate, swing = self._then_stop(control) - self._then_stop(self.braked(velocity))
        swing = self.dt * swing
        inside = jnp.clip(swing, -self.max_swing, self.max_swing)
        return jnp.stack([rate, jnp.sin(inside) + math.cos(self.max_swing) * (swing - inside)])

    def from_swing(self, speed_and_swing: Float[Array, "2 *batch"], velocity: Control | None = None) -> Control:
        rate, w = speed_and_swing
        limit = math.sin(self.max_swing)
        beyond = jnp.stack([rate, jnp.arcsin(jnp.clip(w, -limit, limit)) / self.dt])
        return self._either_way(_before_stop, beyond + self._then_stop(self.braked(velocity)))

    def braked(self, velocity: Control | None) -> Control:
        """Speed and turn rate at the end of a step of *stop*."""
        return self._either_way(lambda size, drop: jnp.maximum(size - drop, 0), _given(velocity))

    def _then_stop(self, velocity: Control) -> Float[Array, "2 *batch"]:
        """½v + D(v)/Δ [m/s] and ½ω + Ψ(ω)/Δ [rad/s]: what a step that ends at this velocity, in its second half, and
        the stop after it add up to."""
        return self._either_way(_then_stop, velocity)

    def _either_way(self, rule: Rule, velocity: Float[Array, "2 *batch"]) -> Array:
        """A rule for speed and turn rate, mirrored for negative turn rates, and for negative speeds of a robot that
        reverses (theory.md §2.8)."""
        drops = pair(self.braking * self.dt, self.turn_acceleration * self.dt, velocity)
        return _mirrored(rule, velocity, drops, pair(float(self.reverses), 1.0, velocity) > 0)

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


def _mirrored(rule: Rule, value: Array, drop: np.ndarray | float, mirrors: np.ndarray | bool = True) -> Array:
    """The rule, mirrored for negative numbers."""
    sign = jnp.where(mirrors, jnp.sign(value), 1)
    return sign * rule(sign * value, drop)


def _then_stop(value: Array, drop: np.ndarray | float) -> Array:
    """½x and the integral, in steps, of a number that falls linearly by `drop` per step from x to 0 in the last step.

    With n whole steps and the rest r, which is linear in x: ½x + nx − ½dn² + ½r = x + n(x − ½d(n + 1)). The last
    operation is a sum: a product would be fused with the difference of two such numbers, which is not 0 for equals.
    """
    whole = jnp.maximum(jnp.floor(value / drop), 0)
    return value + whole * (value - 0.5 * drop * (whole + 1))


def _before_stop(integral: Array, drop: np.ndarray | float) -> Array:
    """The inverse of `_then_stop`; linear below 0."""
    whole = jnp.floor(jnp.sqrt(0.25 + jnp.maximum(integral, 0) * (2 / drop)) - 0.5)
    return integral / (whole + 1) + 0.5 * drop * whole
