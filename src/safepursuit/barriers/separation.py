"""The barrier between the robots (theory.md §2.4)."""

from dataclasses import dataclass

import jax.numpy as jnp

from safepursuit.barriers.barrier import Barriers, in_heading_frame
from safepursuit.barriers.governor import approach
from safepursuit.geometry import direction, length, unit
from safepursuit.qp import Halfplanes, join
from safepursuit.robot import Robot
from safepursuit.scene import Scene
from safepursuit.shapes import Pose, Rows, Scalar


@dataclass(frozen=True)
class Separation:
    """Limits this robot's own approach to the other one, with a gain of its own."""

    distance: float
    """D_min of the centres [m]."""
    gain: float
    """γ per step."""

    def rows_each(self, robot: Robot) -> int:
        return 2 if robot.reverses else 1

    def find(self, robot: Robot, pose: Pose, scene: Scene, opponent: Pose | None) -> Barriers | None:
        if opponent is None:
            return None
        away = pose[:2] - opponent[:2]
        facing, side = in_heading_frame(direction(pose[2]), unit(away))
        value = (length(away) - self.distance)[None]
        return Barriers(value, facing[None], side[None], jnp.zeros_like(value), jnp.zeros(value.shape, jnp.int32))

    def rows(self, robot: Robot, barriers: Barriers, gain: Rows) -> Halfplanes:
        return robot_row(robot, barriers.facing[0], barriers.side[0], barriers.value[0], self.gain)


def robot_row(robot: Robot, facing: Scalar, side: Scalar, slack: Scalar, gain: float) -> Halfplanes:
    """One row that limits this robot's own approach to the other one: n·Δp ≥ −γ max(0, D − D_min) (theory.md §2.4).

    `slack` = D − D_min [m], `facing` and `side` of the normal from the other robot to this one. It bounds v alone; of a
    robot that reverses a second row bounds −v.
    """
    swing = 0.0 if robot.integrator == "euler" else 0.5 * robot.max_swing
    share = approach(facing, side, swing)
    row = jnp.stack([robot.dt * share, jnp.zeros_like(share)])
    rows = Halfplanes(row[None], gain * jnp.maximum(slack, 0)[None])
    if not robot.reverses:
        return rows
    share = approach(-facing, side, swing)
    behind = jnp.stack([-robot.dt * share, jnp.zeros_like(share)])
    return join(rows, rows._replace(A=behind[None]))


def check_robot_gain(robot: Robot, gain: float, min_separation: float, capture_radius: float) -> None:
    """Raise ValueError unless γ ≥ v̄Δ/(r_capture − D_min): the row would prevent capture (theory.md §1.2, §2.4)."""
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
