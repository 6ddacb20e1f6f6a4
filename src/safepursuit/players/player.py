"""The interface of scripted players, and their steering."""

from typing import NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float

from safepursuit.geometry import wrap_angle
from safepursuit.robot import Robot
from safepursuit.scene import Scene
from safepursuit.shapes import Control, Keys, Pose


class Sight(NamedTuple):
    """The situation from one robot's side; world frame, batch on trailing axes."""

    own: Pose
    opponent: Pose
    opponent_control: Control
    """The opponent's control in the last step."""
    scene: Scene


@runtime_checkable
class Player(Protocol):
    """A scripted player: one function of the situation."""

    def __call__(self, key: Keys, sight: Sight, robot: Robot) -> Control:
        """The nominal control [m/s, rad/s]. `key` is one key for a single game, or one per game of a batch."""


def steer(robot: Robot, own: Pose, course: Float[Array, "2 *batch"]) -> Control:
    """Turn towards a world-frame direction as fast as allowed, at the speed v̄·max(0, cos(heading error))."""
    error = wrap_angle(jnp.arctan2(course[1], course[0]) - own[2])
    turn_rate = jnp.clip(error / robot.dt, -robot.max_turn_rate, robot.max_turn_rate)
    return jnp.stack([robot.max_speed * jnp.maximum(jnp.cos(error), 0), turn_rate])
