"""The interface of robots, and the kinematic unicycle: limits, motion during one step, coordinates of the program."""

import math
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from safepursuit import ranges
from safepursuit.geometry import direction, wrap_angle
from safepursuit.shapes import Control, Pose, Scalar

Integrator: TypeAlias = Literal["euler", "arc", "ramp"]


@runtime_checkable
class Robot(Hashable, Protocol):
    """A robot in game, players and safety layer: a frozen dataclass, constant in compiled programs.

    `Unicycle` documents the members; other robots are subclasses of it. `velocity` (v, ω) is that at the start of the
    step, the control executed in the step before; a robot without inertia ignores it.
    """

    @property
    def radius(self) -> float: ...
    @property
    def max_speed(self) -> float: ...
    @property
    def max_turn_rate(self) -> float: ...
    @property
    def dt(self) -> float: ...
    @property
    def integrator(self) -> Integrator: ...
    @property
    def wheel_base(self) -> float | None: ...
    @property
    def min_speed(self) -> float: ...
    @property
    def reverses(self) -> bool: ...
    @property
    def max_swing(self) -> float: ...
    @property
    def has_inertia(self) -> bool: ...
    @property
    def steps_to_stop(self) -> int: ...
    def way(
        self, pose: Pose, control: Control, pieces: int, velocity: Control | None = None
    ) -> Float[Array, "2 {pieces} *batch"]: ...
    def turn(self, control: Control, velocity: Control | None = None) -> Scalar: ...
    def step(self, pose: Pose, control: Control, velocity: Control | None = None) -> Pose: ...
    def stopped(self, pose: Pose, velocity: Control | None = None) -> Pose: ...
    def limit(self, control: Control) -> Control: ...
    def within_box(self, control: Control) -> Control: ...
    def wheel_share(self, control: Control, rest: Control | None = None) -> Scalar: ...
    def reach(self, control: Control, velocity: Control | None = None) -> Control: ...
    def swing_box(self, like: Scalar, velocity: Control | None = None) -> tuple[Control, Control]: ...
    def to_swing(self, control: Control, velocity: Control | None = None) -> Float[Array, "2 *batch"]: ...
    def from_swing(self, speed_and_swing: Float[Array, "2 *batch"], velocity: Control | None = None) -> Control: ...
    def to_unit_box(self, control: Control, velocity: Control | None = None) -> Float[Array, "2 *batch"]: ...
    def from_unit_box(self, scaled: Float[Array, "2 *batch"], velocity: Control | None = None) -> Control: ...


@dataclass(frozen=True)
class Unicycle:
    """A round robot that drives and turns, its control held constant over each step."""

    has_inertia: ClassVar[bool] = False
    """The speed reached in a step depends on that before it."""

    radius: float = 0.15
    """Body radius r [m]."""
    max_speed: float = 1.0
    """Speed limit v̄ [m/s]."""
    max_turn_rate: float = 2.84
    """Turn-rate limit ω̄ [rad/s], both ways."""
    dt: float = 0.05
    """Step length Δ [s]."""
    integrator: Integrator = "euler"
    """"euler": straight along the heading, then a turn; "arc": the exact motion under constant control."""
    wheel_base: float | None = None
    """Distance b [m] of the wheels of a differential drive, neither of which is faster than v̄: v + b|ω|/2 ≤ v̄
    (theory.md §2.7). None: speed and turn rate are limited each for itself."""
    min_speed: float = 0.0
    """Lowest speed v̲ [m/s]: at 0 the robot drives forwards only, below it backwards as well (theory.md §2.8), no faster
    than forwards."""

    def __post_init__(self) -> None:
        ranges.check(self, "robot", positive=("radius", "max_speed", "max_turn_rate", "dt", "wheel_base"))
        if not -self.max_speed <= self.min_speed <= 0:
            raise ValueError(
                f"robot min_speed must lie between {-self.max_speed:g} (backwards as fast as forwards) and 0, not "
                f"{self.min_speed:g}."
            )
        integrators = ("ramp",) if self.has_inertia else ("euler", "arc")
        if self.integrator not in integrators:
            known = " or ".join(map(repr, integrators))
            raise ValueError(f"robot integrator must be {known}, not {self.integrator!r}.")
        if not self.max_swing < math.pi / 2:
            raise ValueError(
                f"the robot may turn {self.max_swing:.2f} rad in one step, but the guarantee needs less than π/2: "
                "reduce max_turn_rate or dt."
            )

    @property
    def reverses(self) -> bool:
        """Whether the robot drives backwards, too."""
        return self.min_speed < 0

    @property
    def max_swing(self) -> float:
        """Largest turn within one step, φ̄ = ω̄Δ [rad]."""
        return self.max_turn_rate * self.dt

    @property
    def steps_to_stop(self) -> int:
        """Steps from full speed until standstill, at least 1."""
        return 1

    def faster(self, factor: float) -> "Unicycle":
        """The robot with all limits of motion times `factor`."""
        limits = ("max_speed", "max_turn_rate", "min_speed")
        return replace(self, **{name: factor * getattr(self, name) for name in limits})

    def displacement(
        self, heading: Scalar, control: Control, time: Float[Array, "..."] | float
    ) -> Float[Array, "2 ..."]:
        """Displacement of the centre [m, world frame] `time` seconds into a step, 0 ≤ time ≤ dt; several times on axes
        before those of the batch.

        Euler: vτ e(θ). Arc: vτ sinc(ωτ/2) e(θ + ωτ/2), the chord of the exact arc (theory.md §2).
        """
        v, turn_rate = control
        if self.integrator == "euler":
            return v * time * direction(jnp.broadcast_to(heading, jnp.shape(v * time)))
        half_turn = 0.5 * turn_rate * time
        return v * time * jnp.sinc(half_turn / jnp.pi) * direction(heading + half_turn)

    def way(
        self, pose: Pose, control: Control, pieces: int, velocity: Control | None = None
    ) -> Float[Array, "2 {pieces} *batch"]:
        """Positions of the centre [m] at the ends of so many equal pieces of the step."""
        x, y, heading = pose
        ends = self.dt * np.arange(1, pieces + 1) / pieces
        times = jnp.asarray(ends, heading.dtype).reshape(pieces, *(1,) * heading.ndim)
        return jnp.stack([x, y])[:, None] + self.displacement(heading, control, times)

    def turn(self, control: Control, velocity: Control | None = None) -> Scalar:
        """The change of heading [rad] in one step."""
        return control[1] * self.dt

    def step(self, pose: Pose, control: Control, velocity: Control | None = None) -> Pose:
        """The pose one step later in free space, heading in [−π, π)."""
        x, y = self.way(pose, control, 1, velocity)[:, -1]
        return jnp.stack([x, y, wrap_angle(pose[2] + self.turn(control, velocity))])

    def stopped(self, pose: Pose, velocity: Control | None = None) -> Pose:
        """The pose in which the robot comes to rest if it brakes from now on; barriers are evaluated there."""
        return pose

    def limit(self, control: Control) -> Control:
        """The control cut off at the actuator limits [v̲, v̄] × [−ω̄, ω̄]; then, where the wheels cannot do both, speed
        and turn rate scaled by one factor, which keeps the curvature."""
        cut = self.within_box(control)
        return cut if self.wheel_base is None else self.wheel_share(cut) * cut

    def within_box(self, control: Control) -> Control:
        """The control cut off at [v̲, v̄] × [−ω̄, ω̄], whatever the wheels can do."""
        return jnp.stack(
            [
                jnp.clip(control[0], self.min_speed, self.max_speed),
                jnp.clip(control[1], -self.max_turn_rate, self.max_turn_rate),
            ]
        )

    def wheel_share(self, control: Control, rest: Control | None = None) -> Scalar:
        """The largest share, at most 1, of the way from `rest` to a control that the wheels can do.

        They can do `rest`, by default (0, 0), which is no larger in either part and neither turns nor drives the other
        way.
        """
        rest, lever = jnp.zeros_like(control) if rest is None else rest, 0.5 * (self.wheel_base or 0.0)
        used, least = (
            (jnp.abs(speed) if self.reverses else speed) + lever * jnp.abs(turn_rate)
            for speed, turn_rate in (control, rest)
        )
        beyond = (used > self.max_speed) & (used > least)
        return jnp.where(beyond, jnp.maximum(self.max_speed - least, 0) / jnp.where(beyond, used - least, 1), 1)

    def reach(self, control: Control, velocity: Control | None = None) -> Control:
        """What the motors make of a command: the speed and turn rate at the end of the step."""
        return self.limit(control)

    def swing_box(self, like: Scalar, velocity: Control | None = None) -> tuple[Control, Control]:
        """Lowest and highest (v, w) of the program, with the dtype and the batch axes of `like`."""
        swing = math.sin(self.max_swing)
        low, high = (jnp.asarray(limits, like.dtype) for limits in ([self.min_speed, -swing], [self.max_speed, swing]))
        low, high = (jnp.broadcast_to(one.reshape(2, *(1,) * like.ndim), (2, *like.shape)) for one in (low, high))
        return low, high

    def to_swing(self, control: Control, velocity: Control | None = None) -> Float[Array, "2 *batch"]:
        """(v, ω) → (v, w) with w = sin(ωΔ), in which the barrier rows are linear (theorem 2).

        Beyond the turn-rate limit the sine is continued by its tangent: the map is one-to-one, with a gradient outside
        the actuator box too.
        """
        swing = control[1] * self.dt
        inside = jnp.clip(swing, -self.max_swing, self.max_swing)
        return jnp.stack([control[0], jnp.sin(inside) + math.cos(self.max_swing) * (swing - inside)])

    def from_swing(self, speed_and_swing: Float[Array, "2 *batch"], velocity: Control | None = None) -> Control:
        """(v, w) → (v, ω), the inverse of `to_swing` within the limits; w is cut off at ± sin(ω̄Δ).

        Beyond what the wheels can do (v, w) is scaled by one factor, and stays in every polygon that contains it and 0.
        """
        v, w = speed_and_swing
        limit = math.sin(self.max_swing)
        w = jnp.clip(w, -limit, limit)
        control = jnp.stack([v, jnp.arcsin(w) / self.dt])
        if self.wheel_base is None:
            return control
        share = self.wheel_share(control)
        return jnp.stack([share * v, jnp.arcsin(share * w) / self.dt])

    def to_unit_box(self, control: Control, velocity: Control | None = None) -> Float[Array, "2 *batch"]:
        """In half-widths of the actuator box about its centre; the limits are [−1, 1]²."""
        if self.reverses:
            middle, width = self.max_speed + self.min_speed, self.max_speed - self.min_speed
            return jnp.stack([(2 * control[0] - middle) / width, control[1] / self.max_turn_rate])
        return jnp.stack([2 * control[0] / self.max_speed - 1, control[1] / self.max_turn_rate])

    def from_unit_box(self, scaled: Float[Array, "2 *batch"], velocity: Control | None = None) -> Control:
        """Inverse of `to_unit_box`."""
        if self.reverses:
            middle, width = self.max_speed + self.min_speed, self.max_speed - self.min_speed
            return jnp.stack([0.5 * (middle + width * scaled[0]), self.max_turn_rate * scaled[1]])
        return jnp.stack([0.5 * self.max_speed * (scaled[0] + 1), self.max_turn_rate * scaled[1]])


def pair(of_speed: float, of_turn_rate: float, like: Array) -> np.ndarray:
    """A number for the speed and one for the turn rate, a constant to be joined with a control (2, …)."""
    both = np.asarray([of_speed, of_turn_rate], jnp.result_type(like, float))
    return both.reshape(2, *(1,) * (like.ndim - 1))
