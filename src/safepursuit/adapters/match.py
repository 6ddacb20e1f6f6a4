"""One step of many games between a learner and an opponent, as one compiled program with arrays in and out.

This is where the package's layout, components first and batch last, meets that of Gymnasium, games first.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32

from safepursuit.agents import Agent, View
from safepursuit.game import Game, GameState, Role, Transition, observation_shapes, reward
from safepursuit.game import observe as observe_game
from safepursuit.play import loop
from safepursuit.robot import Robot
from safepursuit.scene import clearance
from safepursuit.shapes import Control

Actions = Float[Array, "games 2"]

NUMBERS = ("reward", "separation", "clearance")
"""Rows of `Outcome.numbers`: the reward; the least distance [m] of the centres during the step; the distance [m] of the
learner's body from the nearest wall or disc at its end."""
FLAGS = ("terminated", "truncated", "captured", "collision_wall", "collision_obstacle", "collision_robot")
"""Rows of `Outcome.flags`; collisions are the learner's own."""

_OTHER: Mapping[Role, Role] = {"pursuer": "evader", "evader": "pursuer"}

_SPEEDS = (6, 7, 8, 10)
"""Ego features that hold a speed, which may be that of a faster evader."""


@dataclass(frozen=True)
class Match:
    """What is constant in the compiled program of an environment."""

    game: Game
    role: Role
    """The learner's."""
    normalised: bool = True
    """Actions in half-widths of the actuator box about its centre, instead of m/s and rad/s."""

    @property
    def robot(self) -> Robot:
        """The learner's limits."""
        return self.game.limits(self.role)


class Outcome(NamedTuple):
    """What a step did."""

    state: GameState
    """From which the games go on."""
    arrived: GameState | None
    """To which the step led, where games that end start anew; else that is `state`."""
    key: UInt32[Array, "words"]
    """For the next step."""
    observation: Float[Array, "games features"]
    """Of `state`."""
    final: Float[Array, "games features"] | None
    """Observation of `arrived`."""
    numbers: Float[Array, "numbers games"]
    flags: Bool[Array, "flags games"]


@cache
def features(game: Game) -> int:
    """The length of an observation (see `flatten`)."""
    ego, discs, present = observation_shapes(game)
    return len(ego) + (len(discs) + 1) * len(present)


def bounds(game: Game) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest values of an observation: ±1, and what a faster evader's speed can be; ±∞ of other sensors."""
    high = np.full(features(game), 1 if game.sensor == "discs" else np.inf, np.float32)
    high[list(_SPEEDS)] = max(float(high[0]), game.evader_speed_ratio)
    return -high, high


def flatten(state: GameState, game: Game, role: Role) -> Float[Array, "games features"]:
    """What the robot in this role observes as one row per game: the vector, then each thing's features and whether it
    is there."""
    seen = observe_game(state, game, role)
    discs = jnp.concatenate([seen.discs, seen.present[None].astype(seen.ego.dtype)])
    row = jnp.concatenate([seen.ego, jnp.swapaxes(discs, 0, 1).reshape(-1, *discs.shape[2:])]).T
    return jnp.clip(row, *bounds(game))  # a sine may be rounded beyond 1


def to_control(action: Actions, robot: Robot, normalised: bool) -> Control:
    """Actions as controls [m/s, rad/s], not yet cut off at the limits."""
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
    flags = [outcome.terminated, outcome.truncated, outcome.captured, *outcome.contact(role)]
    return jnp.stack(numbers), jnp.stack(flags)


def report(numbers: Iterable[Any], flags: Iterable[Any]) -> tuple[Any, Any, Any, dict[str, Any]]:
    """Reward, terminated, truncated and the infos of a step, from `judge`'s rows: plain numbers of one game, or arrays
    of many."""
    reward, separation, gap = numbers
    terminated, truncated, captured, wall, obstacle, robot = flags
    infos = dict(zip(FLAGS[2:], (captured, wall, obstacle, robot), strict=True))
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
    """Learner and rival act for one step. With `starts`, a game that ends goes on from the next of them, of which
    `used` were taken before, in turn."""
    game, role = match.game, match.role
    following, own_key = jax.random.split(jax.random.wrap_key_data(key))
    own = to_control(action, match.robot, match.normalised)
    other, _ = rival.act(rival.initial(state), own_key, View(state, game, _OTHER[role]))
    controls = (own, other.control) if role == "pursuer" else (other.control, own)
    outcome, onward, _ = loop.advance(state, controls, game, starts, used)
    numbers, flags = judge(state, outcome, game, role)
    key, seen = jax.random.key_data(following), flatten(outcome.state, game, role)
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
