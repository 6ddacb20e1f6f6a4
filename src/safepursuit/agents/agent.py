"""Agents and their kinds: a scripted player, a trained policy, a filter around either."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import equinox as eqx
import jax.numpy as jnp

from safepursuit import shield as safety
from safepursuit.game import Game, GameState, Observation, RobotState, Role, observe, other
from safepursuit.players import PLAYERS, Sight, play_together
from safepursuit.policy import Policy, Situation, situation
from safepursuit.robot import Robot
from safepursuit.shapes import Flag, Keys
from safepursuit.shield import Shield, Shielded, Surroundings

Layer: TypeAlias = Literal["as-trained", "off", "filter", "governor"]
"""The safety layer of an agent:

as-trained   its own
off          none: the nominal control, cut off at the actuator limits
filter       the quadratic program and the governor with fixed gains
governor     theorem 1 (with inertia, 3) alone: the nominal control with its speed governed
"""
LAYERS: tuple[Layer, ...] = get_args(Layer)


@dataclass(frozen=True)
class View:
    """The input of an agent: the true state of the games and the role it plays."""

    state: GameState
    game: Game
    role: Role

    @property
    def robot(self) -> Robot:
        return self.game.limits(self.role)

    @property
    def own(self) -> RobotState:
        return self.state.robot(self.role)

    @property
    def opponent(self) -> RobotState:
        return self.state.robot(other(self.role))

    def observation(self) -> Observation:
        """The output of the sensor."""
        return observe(self.state, self.game, self.role)

    def situation(self, shield: Shield) -> Situation:
        """The input of the safety layer."""
        return situation(self.state, self.game, shield, self.role)


class Agent(eqx.Module):
    """Drives a robot. A carry is its memory from step to step, None for an agent without memory."""

    def initial(self, state: GameState) -> Any:
        """The carry at the start of games in this state."""
        return None

    @abstractmethod
    def act(self, carry: Any, key: Keys, view: View) -> tuple[Shielded, Any]:
        """The safe control for the next step, and the carry after it.

        `key` is one key for all games, or one per game.
        """

    def onward(self, carry: Any, over: Flag) -> Any:
        """The carry for the next step; games that are `over` start anew."""
        return carry


class Scripted(Agent):
    """Scripted players, `names[i]` in game i, or a single one in all; behind a shield, if any, with the widest gains.

    A speed limit of its own (`RobotState.max_speed`) scales a player's speed in proportion.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    shield: Shield | None = eqx.field(static=True)

    def __init__(self, names: str | Sequence[str], shield: Shield | None) -> None:
        self.names = (names,) if isinstance(names, str) else tuple(names)
        self.shield = shield

    def act(self, carry: Any, key: Keys, view: View) -> tuple[Shielded, Any]:
        own, opponent = view.own, view.opponent
        sight = Sight(own.pose, opponent.pose, opponent.control, view.state.scene)
        nominal = play_together(self.names, PLAYERS[view.role], key, sight, view.robot)
        if own.max_speed is not None:
            nominal = nominal.at[0].multiply(own.max_speed / view.robot.max_speed)
        around = _around(self.shield or Shield(), view)
        if self.shield is None:
            done = safety.unfiltered(nominal, around, robot=view.robot)
        else:
            done = safety.guard(nominal, around, robot=view.robot, shield=self.shield, gains=1.0)
        # A script has no gradient to lose.
        return done._replace(lost_gradient=jnp.zeros_like(done.intervened)), carry


class Trained(Agent):
    """A trained policy: deterministic, behind its own safety layer."""

    policy: Policy
    shield: Shield = eqx.field(static=True)

    def act(self, carry: Any, key: Keys, view: View) -> tuple[Shielded, Any]:
        return self.respond(view.observation(), view.situation(self.shield)), carry

    def respond(self, observation: Observation, where: Situation) -> Shielded:
        """The control for an observation; `where` is the input of the safety layer."""
        head = self.policy.head
        distribution = head.distribution(self.policy.features(observation), where)
        return head.deploy(distribution, where)._replace(lost_gradient=head.lost_gradient(distribution))


class Filtered(Agent):
    """The nominal control of another agent behind a safety layer other than its own."""

    inner: Agent
    layer: Layer = eqx.field(static=True)
    shield: Shield = eqx.field(static=True)

    def initial(self, state: GameState) -> Any:
        return self.inner.initial(state)

    def onward(self, carry: Any, over: Flag) -> Any:
        return self.inner.onward(carry, over)

    def act(self, carry: Any, key: Keys, view: View) -> tuple[Shielded, Any]:
        asked, carry = self.inner.act(carry, key, view)
        around = _around(self.shield, view)
        if self.layer == "filter":
            done = safety.guard(asked.nominal, around, robot=view.robot, shield=self.shield)
        else:
            governor = self.shield if self.layer == "governor" else None
            done = safety.unfiltered(asked.nominal, around, robot=view.robot, governor=governor)
        return done._replace(lost_gradient=asked.lost_gradient), carry


def behind(layer: Layer, agent: Agent, shield: Shield) -> Agent:
    """The agent behind this safety layer. Raises ValueError for an unknown layer."""
    if layer not in LAYERS:
        raise ValueError(f"unknown shield mode {layer!r}; known are {', '.join(LAYERS)}.")
    return agent if layer == "as-trained" else Filtered(agent, layer, shield)


def _around(shield: Shield, view: View) -> Surroundings:
    """The boundaries near the robot; an evader's barriers do not include the pursuer."""
    pursued = view.opponent.pose if view.role == "pursuer" else None
    return safety.survey(shield, view.robot, view.own.pose, view.state.scene, pursued, view.own.control)
