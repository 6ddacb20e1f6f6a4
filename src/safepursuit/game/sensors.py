"""Sensors: what a robot observes. The safety layer uses the true state, whatever the sensor."""

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from safepursuit.game.rules import Game
from safepursuit.game.starts import initial_shapes
from safepursuit.game.state import GameState, Role
from safepursuit.geometry import direction, length, to_body_frame, unit
from safepursuit.registry import Registry


class Observation(NamedTuple):
    """One robot's observation: a vector, and a set of features of discs.

    As given by the sensor "discs": in the body frame, every entry within [−1, 1] (but the speed of a faster evader).
    Speeds of both robots are in units of the pursuer's limit.
    """

    ego: Float[Array, "features *batch"]
    """Opponent's bearing (cos, sin), distance (linear, and 1/(1+D) for close quarters), heading (cos, sin) and velocity
    (forward, left); own last speed and turn rate; opponent's last speed and turn rate; the arena's centre (forward,
    left) and axes (cos, sin of the own heading)."""
    discs: Float[Array, "disc_features discs *batch"]
    """Per disc: direction (cos, sin), distance, nearness of its surface 1/(1+gap), radius."""
    present: Bool[Array, "discs *batch"]


def discs_and_opponent(state: GameState, game: Game, role: Role) -> Observation:
    """Everything: the opponent, the own motion, the arena, and the discs as a set."""
    (own, own_control, _), (other, other_control, _) = state.robots if role == "pursuer" else state.robots[::-1]
    body = game.robot  # the evader's differs in its speed limit only
    heading = own[2]
    diagonal = 2 * length(state.scene.half_extents)
    offset = to_body_frame(heading, other[:2] - own[:2])
    distance = length(offset)
    course = direction(other[2] - heading)
    speed = other_control[0] / body.max_speed
    ego = jnp.stack(
        [
            *unit(offset),
            distance / diagonal,
            1 / (1 + distance),
            *course,
            *(speed * course),
            own_control[0] / body.max_speed,
            own_control[1] / body.max_turn_rate,
            speed,
            other_control[1] / body.max_turn_rate,
            *(to_body_frame(heading, -own[:2]) / (0.5 * diagonal)),
            jnp.cos(heading),
            jnp.sin(heading),
        ]
    )
    to_disc = to_body_frame(heading, state.scene.centre - own[:2, None])
    range_ = length(to_disc)
    gap = jnp.maximum(range_ - state.scene.radius - body.radius, 0)
    discs = jnp.stack([*unit(to_disc), range_ / diagonal, 1 / (1 + gap), jnp.minimum(state.scene.radius, 1)])
    return Observation(ego, jnp.where(state.scene.present, discs, 0), state.scene.present)


Sensor: TypeAlias = Callable[[GameState, Game, Role], Observation]
"""What the robot in this role observes of a state; pure, batch on trailing axes. See `flat` for a vector alone."""

SENSORS: Registry[Sensor] = Registry("sensor", discs=discs_and_opponent)
"""Sensors by name."""


def flat(vector: Float[Array, "features *batch"]) -> Observation:
    """An observation that is a vector alone."""
    batch = vector.shape[1:]
    return Observation(vector, jnp.zeros((0, 0, *batch), vector.dtype), jnp.zeros((0, *batch), bool))


def observe(state: GameState, game: Game, role: Role = "pursuer") -> Observation:
    """What the robot in this role observes, by the game's sensor."""
    return SENSORS.find(game.sensor)(state, game, role)


@cache
def observation_shapes(game: Game) -> Observation:
    """The shapes of what a robot observes in one game, with a trailing axis of length 1."""
    return jax.eval_shape(partial(observe, game=game), initial_shapes(game, 1))
