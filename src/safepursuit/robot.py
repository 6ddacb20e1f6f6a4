"""Robots: limits, motion during one step, and coordinates in which the safety program is linear."""

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float

from safepursuit import ranges
from safepursuit.geometry import direction, wrap_angle
from safepursuit.registry import Registry
from safepursuit.shapes import Control, Point, Pose, Scalar

Integrator: TypeAlias = Literal["euler", "arc"]


@runtime_checkable
class Robot(Hashable, Protocol):
    """A robot in game, players and safety layer: a frozen dataclass, constant in compiled programs.

    `Unicycle` documents the members; other robots are subclasses of it.
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
    def max_swing(self) -> float: ...
    def displacement(self, heading: Scalar, control: Control, time: Scalar | float) -> Point: ...
    def step(self, pose: Pose, control: Control) -> Pose: ...
    def limit(self, control: Control) -> Control: ...
    def to_swing(self, control: Control) -> Float[Array, "2 *batch"]: ...
    def from_swing(self, speed_and_swing: Float[Array, "2 *batch"]) -> Control: ...
    def to_unit_box(self, control: Control) -> Float[Array, "2 *batch"]: ...
    def from_unit_box(self, scaled: Float[Array, "2 *batch"]) -> Control: ...


@dataclass(frozen=True)
class Unicycle:
    """A round robot that drives forwards and turns, its control held constant over each step."""

    radius: float = 0.15
    """Body radius r [m]."""
    max_speed: float = 1.0
    """Speed limit v̄ [m/s]; the speed is never negative."""
    max_turn_rate: float = 2.84
    """Turn-rate limit ω̄ [rad/s], both ways."""
    dt: float = 0.05
    """Step length Δ [s]."""
    integrator: Integrator = "euler"
    """"euler": straight along the heading, then a turn; "arc": the exact motion under constant control."""

    def __post_init__(self) -> None:
        ranges.check(self, "robot", positive=("radius", "max_speed", "max_turn_rate", "dt"))
        if self.integrator not in ("euler", "arc"):
            raise ValueError(f"robot integrator must be 'euler' or 'arc', not {self.integrator!r}.")
        if not self.max_swing < math.pi / 2:
            raise ValueError(
                f"the robot may turn {self.max_swing:.2f} rad in one step, but the guarantee needs less than π/2: "
                "reduce max_turn_rate or dt."
            )

    @property
    def max_swing(self) -> float:
        """Largest turn within one step, φ̄ = ω̄Δ [rad]."""
        return self.max_turn_rate * self.dt

    def displacement(self, heading: Scalar, control: Control, time: Scalar | float) -> Point:
        """Displacement of the centre [m, world frame] `time` seconds into a step, 0 ≤ time ≤ dt.

        Euler: vτ e(θ). Arc: vτ sinc(ωτ/2) e(θ + ωτ/2), the chord of the exact arc (theory.md §2).
        """
        v, turn_rate = control
        if self.integrator == "euler":
            return v * time * direction(heading)
        half_turn = 0.5 * turn_rate * time
        return v * time * jnp.sinc(half_turn / jnp.pi) * direction(heading + half_turn)

    def step(self, pose: Pose, control: Control) -> Pose:
        """The pose one step later in free space, heading in [−π, π)."""
        x, y = pose[:2] + self.displacement(pose[2], control, self.dt)
        return jnp.stack([x, y, wrap_angle(pose[2] + control[1] * self.dt)])

    def limit(self, control: Control) -> Control:
        """The control cut off at the actuator limits [0, v̄] × [−ω̄, ω̄]."""
        return jnp.stack(
            [jnp.clip(control[0], 0, self.max_speed), jnp.clip(control[1], -self.max_turn_rate, self.max_turn_rate)]
        )

    def to_swing(self, control: Control) -> Float[Array, "2 *batch"]:
        """(v, ω) → (v, w) with w = sin(ωΔ), in which the barrier rows are linear (theorem 2).

        Beyond the turn-rate limit the sine is continued by its tangent: the map is one-to-one, with a gradient outside
        the actuator box too.
        """
        swing = control[1] * self.dt
        inside = jnp.clip(swing, -self.max_swing, self.max_swing)
        return jnp.stack([control[0], jnp.sin(inside) + math.cos(self.max_swing) * (swing - inside)])

    def from_swing(self, speed_and_swing: Float[Array, "2 *batch"]) -> Control:
        """(v, w) → (v, ω), the inverse of `to_swing` within the limits; w is cut off at ± sin(ω̄Δ)."""
        v, w = speed_and_swing
        limit = math.sin(self.max_swing)
        return jnp.stack([v, jnp.arcsin(jnp.clip(w, -limit, limit)) / self.dt])

    def to_unit_box(self, control: Control) -> Float[Array, "2 *batch"]:
        """In half-widths of the actuator box about its centre; the limits are [−1, 1]²."""
        return jnp.stack([2 * control[0] / self.max_speed - 1, control[1] / self.max_turn_rate])

    def from_unit_box(self, scaled: Float[Array, "2 *batch"]) -> Control:
        """Inverse of `to_unit_box`."""
        return jnp.stack([0.5 * self.max_speed * (scaled[0] + 1), self.max_turn_rate * scaled[1]])


def within_theory(robot: Robot) -> bool:
    """Whether the theorems hold for this robot: it moves as `Unicycle` does, and its limits are a box."""
    own, proved = type(robot), Unicycle
    return isinstance(robot, Unicycle) and all(
        getattr(own, name) is getattr(proved, name)
        for name in ("displacement", "step", "limit", "to_swing", "from_swing")
    )


ROBOTS: Registry[Callable[[], Unicycle]] = Registry("robot", unicycle=Unicycle)
"""Constructors of robots by name: `Unicycle`, or a subclass of it."""
