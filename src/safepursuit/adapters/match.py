"""One step of many games between a learner and an opponent, as one compiled program with arrays in and out.

This is where the package's layout, components first and batch last, meets that of Gymnasium, games first.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32

from safepursuit import game as rules
from safepursuit import robot as motion
from safepursuit import shield as safety
from safepursuit.evaluation.deployment import act
from safepursuit.game import DISC_FEATURES, EGO_FEATURES, Game, GameState, Role, Transition
from safepursuit.learn.opponent import evader_control
from safepursuit.players import PURSUERS, Sight
from safepursuit.players.lineup import play_together
from safepursuit.policy import Policy
from safepursuit.robot import Unicycle
from safepursuit.scene import clearance
from safepursuit.shapes import Control
from safepursuit.shield import Shield

Actions = Float[Array, "games 2"]

NUMBERS = ("reward", "separation", "clearance")
"""Rows of `Outcome.numbers`: the reward; the least distance [m] of the centres during the step; the distance [m] of the
learner's body from the nearest wall or disc at its end."""
FLAGS = ("terminated", "truncated", "captured", "collision_wall", "collision_obstacle", "collision_robot")
"""Rows of `Outcome.flags`; collisions are the learner's own."""

_SPEEDS = (6, 7, 8, 10)
"""Ego features that hold a speed, which may be that of a faster evader."""


@dataclass(frozen=True)
class Match:
    """The rules, and who plays against whom; all of it is constant in the compiled program."""

    game: Game
    role: Role
    """The learner's."""
    opponents: tuple[str, ...]
    """The scripted opponent of each game, or the only one in all."""
    shield: Shield
    """Of the opponent."""
    opponent_shielded: bool = True
    """Keep a scripted opponent off walls and discs."""
    normalised: bool = True
    """Actions in half-widths of the actuator box about its centre, instead of m/s and rad/s."""

    @property
    def robot(self) -> Unicycle:
        """The learner's limits."""
        return self.game.robot if self.role == "pursuer" else self.game.evader


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


def features(game: Game) -> int:
    """The length of an observation (see `flatten`)."""
    return EGO_FEATURES + max(1, game.arena.obstacles) * (DISC_FEATURES + 1)


def bounds(game: Game) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest values of an observation."""
    high = np.ones(features(game), np.float32)
    high[list(_SPEEDS)] = max(1.0, game.evader_speed_ratio)
    return -high, high


def flatten(state: GameState, game: Game, role: Role) -> Float[Array, "games features"]:
    """`game.observe` as one row a game: the ego features, then for each disc its features and whether it is there."""
    seen = rules.observe(state, game, role)
    discs = jnp.concatenate([seen.discs, seen.present[None].astype(seen.ego.dtype)])
    row = jnp.concatenate([seen.ego, jnp.swapaxes(discs, 0, 1).reshape(-1, *discs.shape[2:])]).T
    return jnp.clip(row, *bounds(game))  # a sine may be rounded beyond 1


def to_control(action: Actions, robot: Unicycle, normalised: bool) -> Control:
    """Actions as controls [m/s, rad/s], not yet cut off at the limits."""
    return motion.from_unit_box(robot, action.T) if normalised else action.T


def to_action(control: Control, robot: Unicycle, normalised: bool) -> Actions:
    """The inverse of `to_control`."""
    return (motion.to_unit_box(robot, control) if normalised else control).T


def judge(before: GameState, outcome: Transition, game: Game, role: Role) -> tuple[Array, Array]:
    """The rows of `NUMBERS` and `FLAGS` for the robot in this role."""
    after = outcome.state
    own, robot = (after.pursuer, game.robot) if role == "pursuer" else (after.evader, game.evader)
    contact = outcome.pursuer_contact if role == "pursuer" else outcome.evader_contact
    numbers = [
        rules.reward(before, outcome, game, role),
        outcome.separation,
        clearance(after.scene, own[:2], robot.radius),
    ]
    return jnp.stack(numbers), jnp.stack([outcome.terminated, outcome.truncated, outcome.captured, *contact])


def report(numbers: Iterable[Any], flags: Iterable[Any]) -> tuple[Any, Any, Any, dict[str, Any]]:
    """Reward, terminated, truncated and the infos of a step, from `judge`'s rows: plain numbers of one game, or arrays
    of many."""
    reward, separation, gap = numbers
    terminated, truncated, captured, wall, obstacle, robot = flags
    infos = dict(zip(FLAGS[2:], (captured, wall, obstacle, robot), strict=True))
    cost = 1.0 * (wall | obstacle | robot)
    return reward, terminated, truncated, {"cost": cost} | infos | {"separation": separation, "clearance": gap}


def _rival(match: Match, policy: Policy | None, key: Array, state: GameState) -> Control:
    """The opponent's control."""
    game, shield = match.game, match.shield
    if match.role == "pursuer":
        return evader_control(match.opponents, key, state, game, shield if match.opponent_shielded else None)
    if policy is not None:
        return act(policy, key, state, game, shield, "as-trained").done.control
    sight = Sight(state.pursuer, state.evader, state.evader_control, state.scene)
    nominal = play_together(match.opponents, PURSUERS, key, sight, game.robot)
    if not match.opponent_shielded:
        return nominal
    return safety.filter(nominal, state.pursuer, state.scene, robot=game.robot, shield=shield, gains=1.0).control


def advance(
    state: GameState,
    key: UInt32[Array, "words"],
    action: Actions,
    starts: GameState | None,
    used: Int[Array, ""] | int,
    policy: Policy | None,
    *,
    match: Match,
) -> Outcome:
    """Learner and opponent act for one step. With `starts`, a game that ends goes on from the next of them, of which
    `used` were taken before, in turn."""
    game, role = match.game, match.role
    following, own_key = jax.random.split(jax.random.wrap_key_data(key))
    own = to_control(action, match.robot, match.normalised)
    other = _rival(match, policy, own_key, state)
    pair = (own, other) if role == "pursuer" else (other, own)
    outcome = rules.transition(state, *pair, game)
    numbers, flags = judge(state, outcome, game, role)
    key, seen = jax.random.key_data(following), flatten(outcome.state, game, role)
    if starts is None:
        return Outcome(outcome.state, None, key, seen, None, numbers, flags)
    over = outcome.terminated | outcome.truncated
    index = (used + jnp.cumsum(over) - 1) % starts.step.shape[-1]
    onward = jax.tree.map(lambda new, old: jnp.where(over, new[..., index], old), starts, outcome.state)
    return Outcome(onward, outcome.state, key, flatten(onward, game, role), seen, numbers, flags)


@lru_cache(maxsize=64)
def program(match: Match) -> Any:
    """`advance` of a match, compiled once for all environments that play it."""
    return jax.jit(partial(advance, match=match))


@partial(jax.jit, static_argnames=("game", "role"))
def observe(state: GameState, game: Game, role: Role) -> Array:
    """`flatten`, compiled."""
    return flatten(state, game, role)
