"""One step of many games between a learner and an opponent, as one compiled program of arrays.

It converts between the package's layout, batch last, and Gymnasium's, games first.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32

from safepursuit.agents import Agent, View
from safepursuit.game import Game, GameState, Role, Transition, observation_shapes, other, reward
from safepursuit.game import observe as observe_game
from safepursuit.play import loop
from safepursuit.robot import Robot
from safepursuit.scene import clearance
from safepursuit.shapes import Control

Actions = Float[Array, "games 2"]

NUMBERS = ("reward", "separation", "clearance")
"""Rows of `Outcome.numbers`: the reward; the least distance [m] of the centres during the step; the distance [m] of the
learner's body from the nearest wall or disc at its end."""
FLAGS = ("terminated", "truncated", "captured", "invalid", "collision_wall", "collision_obstacle", "collision_robot")
"""Rows of `Outcome.flags`; collisions are the learner's own."""


@dataclass(frozen=True)
class Match:
    """The constants of an environment's compiled program."""

    game: Game
    role: Role
    """The learner's."""
    normalised: bool
    """Actions in half-widths of the actuator box about its centre, instead of m/s and rad/s."""

    @property
    def robot(self) -> Robot:
        """The learner's limits."""
        return self.game.limits(self.role)


class Outcome(NamedTuple):
    """The result of a step."""

    state: GameState
    """The games go on from here."""
    arrived: GameState | None
    """The end of the step, before games that ended start anew; None without starts, where it is `state`."""
    key: UInt32[Array, "words"]
    """For the next step."""
    observation: Float[Array, "games features"]
    """Of `state`."""
    final: Float[Array, "games features"] | None
    """Observation of `arrived`."""
    numbers: Float[Array, "numbers games"]
    flags: Bool[Array, "flags games"]


def bounds(game: Game) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest values of an observation (see `flatten`), (features,) float32 each: ±1, but ±the ratio of a
    faster evader for speeds and turn rates; ±∞ for sensors other than "discs"."""
    ego, discs, present = observation_shapes(game)
    bounded = game.sensor == "discs"
    high = np.full(len(ego) + (len(discs) + 1) * len(present), 1 if bounded else np.inf, np.float32)
    if bounded:
        high[[6, 7, 8, 10]] = max(1, game.evader.max_speed / game.robot.max_speed)
        high[[9, 11]] = max(1, game.evader.max_turn_rate / game.robot.max_turn_rate)
    return -high, high


def flatten(state: GameState, game: Game, role: Role) -> Float[Array, "games features"]:
    """The observations of the robot in this role, one row per game, float32 as in Gymnasium's spaces: the vector, then
    for each disc its features and whether it is present."""
    seen = observe_game(state, game, role)
    discs = jnp.concatenate([seen.discs, seen.present[None].astype(seen.ego.dtype)])
    row = jnp.concatenate([seen.ego, jnp.swapaxes(discs, 0, 1).reshape(-1, *discs.shape[2:])]).T
    return jnp.clip(row.astype(jnp.float32), *bounds(game))  # rounding can carry a sine beyond 1


def last(outcome: Transition, game: Game, role: Role) -> Float[Array, "games features"]:
    """`flatten` of a step's end; zeros for a game that became invalid, which would spoil what is learned from it."""
    return jnp.where(outcome.invalid[:, None], 0, flatten(outcome.state, game, role))


def to_control(action: Actions, robot: Robot, normalised: bool) -> Control:
    """Actions as controls [m/s, rad/s], not clipped to the limits."""
    return robot.from_unit_box(action.T) if normalised else action.T


def to_action(control: Control, robot: Robot, normalised: bool) -> Actions:
    """The inverse of `to_control`."""
    return (robot.to_unit_box(control) if normalised else control).T


def judge(before: GameState, outcome: Transition, game: Game, role: Role) -> tuple[Array, Array]:
    """The rows of `NUMBERS` and `FLAGS` for the robot in this role."""
    after = outcome.state
    numbers = [
        reward(before, outcome, game, role),
        outcome.separation,
        clearance(after.scene, after.robot(role).pose[:2], game.limits(role).radius),
    ]
    flags = [outcome.terminated, outcome.truncated, outcome.captured, outcome.invalid, *outcome.contact(role)]
    return jnp.stack(numbers), jnp.stack(flags)


def report(numbers: Iterable[Any], flags: Iterable[Any]) -> tuple[Any, Any, Any, dict[str, Any]]:
    """Reward, terminated, truncated and the infos of a step from the rows of `judge`, plain numbers or arrays.

    Warns, as a rule once per process, where a game is invalid.
    """
    reward, separation, gap = numbers
    terminated, truncated, captured, invalid, wall, obstacle, robot = flags
    if np.any(invalid):
        warnings.warn(
            "a game is invalid and over: a pose, a control or the scene is not finite; look for the fault in the "
            'opponent and the starts. info["invalid"] marks such games.',
            RuntimeWarning,
            stacklevel=2,
        )
    infos = dict(zip(FLAGS[2:], (captured, invalid, wall, obstacle, robot), strict=True))
    cost = 1.0 * (wall | obstacle | robot)
    return reward, terminated, truncated, {"cost": cost} | infos | {"separation": separation, "clearance": gap}


def advance(
    state: GameState,
    key: UInt32[Array, "words"],
    action: Actions,
    starts: GameState | None,
    used: Int[Array, ""] | int,
    rival: Agent,
    *,
    match: Match,
) -> Outcome:
    """Play one step. With `starts`, of which `used` are used up, a game that ends goes on from the next of them."""
    game, role = match.game, match.role
    following, own_key = jax.random.split(jax.random.wrap_key_data(key))
    own = to_control(action, match.robot, match.normalised)
    theirs, _ = rival.act(rival.initial(state), own_key, View(state, game, other(role)))
    controls = (own, theirs.control) if role == "pursuer" else (theirs.control, own)
    outcome, onward, _ = loop.advance(state, controls, game, starts, used)
    numbers, flags = judge(state, outcome, game, role)
    key, seen = jax.random.key_data(following), last(outcome, game, role)
    if starts is None:
        return Outcome(onward, None, key, seen, None, numbers, flags)
    return Outcome(onward, outcome.state, key, flatten(onward, game, role), seen, numbers, flags)


@lru_cache(maxsize=64)
def program(match: Match) -> Any:
    """`advance` of a match, compiled once for all environments that play it."""
    return jax.jit(partial(advance, match=match))


@partial(jax.jit, static_argnames=("game", "role"))
def observe(state: GameState, game: Game, role: Role) -> Array:
    """`flatten`, compiled."""
    return flatten(state, game, role)
