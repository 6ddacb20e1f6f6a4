"""What an agent is, and its kinds: a scripted player, a trained policy, a filter around either."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import equinox as eqx

from safepursuit import shield as safety
from safepursuit.game import Game, GameState, Observation, RobotState, Role, observe
from safepursuit.players import PLAYERS, Sight, play_together
from safepursuit.policy import Policy, Situation, situation
from safepursuit.robot import Robot
from safepursuit.shapes import Flag, Keys
from safepursuit.shield import Shield, Shielded, Surroundings

Layer: TypeAlias = Literal["as-trained", "off", "filter", "governor"]
"""What stands between an agent and its wheels:

as-trained   its own safety layer
off          none: what it asks for, cut off at the actuator limits
filter       the quadratic program and the governor with fixed gains, on what it asks for
governor     theorem 1 alone: what it asks for, with the speed governed
"""
LAYERS: tuple[Layer, ...] = get_args(Layer)


@dataclass(frozen=True)
class View:
    """Where an agent acts: the true state of the games, seen from the robot in one role."""

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
        return self.state.robot("evader" if self.role == "pursuer" else "pursuer")

    def observation(self) -> Observation:
        """What the sensor shows."""
        return observe(self.state, self.game, self.role)

    def situation(self, shield: Shield) -> Situation:
        """What the safety layer sees."""
        return situation(self.state, self.game, shield, self.role)


class Agent(eqx.Module):
    """Who drives a robot. A carry is what it remembers from step to step; None for those that remember nothing."""

    def initial(self, state: GameState) -> Any:
        """The carry at the start of games in this state."""
        return None

    @abstractmethod
    def act(self, carry: Any, key: Keys, view: View) -> tuple[Shielded, Any]:
        """The control for the next step, with what it took to make it safe, and the carry after it.

        `key` is one key for all games, or one for each.
        """

    def onward(self, carry: Any, over: Flag) -> Any:
        """The carry for the next step, where some games are over and start anew."""
        return carry


class Scripted(Agent):
    """Scripted players, `names[i]` in game i, or the only one in all; behind a shield, if any, with the widest gains.

    One with a speed limit of its own (`RobotState.max_speed`) drives as it would with the highest one, slower in
    proportion.
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
            return safety.unfiltered(nominal, around, robot=view.robot), carry
        return safety.guard(nominal, around, robot=view.robot, shield=self.shield, gains=1.0), carry


class Trained(Agent):
    """A trained policy: deterministic, behind the safety layer that it was trained to be deployed with."""

    policy: Policy
    shield: Shield = eqx.field(static=True)

    def act(self, carry: Any, key: Keys, view: View) -> tuple[Shielded, Any]:
        return self.respond(view.observation(), view.situation(self.shield)), carry

    def respond(self, observation: Observation, where: Situation) -> Shielded:
        """The control for what it observes; `where` is what its safety layer sees."""
        head = self.policy.head
        distribution = head.distribution(self.policy.features(observation), where)
        return head.deploy(distribution, where)._replace(lost_gradient=head.lost_gradient(distribution))


class Filtered(Agent):
    """What another agent asks for, behind another safety layer than its own."""

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
            done = safety.unfiltered(asked.nominal, around, robot=view.robot, governed=self.layer == "governor")
        return done._replace(lost_gradient=asked.lost_gradient), carry


def behind(layer: Layer, agent: Agent, shield: Shield) -> Agent:
    """The agent behind this safety layer. Raises ValueError for an unknown one."""
    if layer not in LAYERS:
        raise ValueError(f"unknown shield mode {layer!r}; known are {', '.join(LAYERS)}.")
    return agent if layer == "as-trained" else Filtered(agent, layer, shield)


def _around(shield: Shield, view: View) -> Surroundings:
    """What the safety layer sees; an evader's own barriers do not include the pursuer."""
    pursued = view.opponent.pose if view.role == "pursuer" else None
    return safety.survey(shield, view.robot, view.own.pose, view.state.scene, pursued)
