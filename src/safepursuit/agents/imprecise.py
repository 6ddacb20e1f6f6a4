"""Errors between a robot and its controller, drawn within a budget."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from safepursuit import ranges
from safepursuit.agents.agent import Agent, View
from safepursuit.game import Game, GameState, RobotState
from safepursuit.geometry import direction
from safepursuit.robot import Budget, Robot
from safepursuit.shapes import Control, Flag, Keys, Pose
from safepursuit.shield import Shielded


@dataclass(frozen=True)
class Faults(Budget):
    """Errors, slip among them, and what no budget has a place for."""

    bias: float = 0.0
    """Error of the position [m] that stays the same throughout a game, in a direction of its own."""
    dropped: float = 0.0
    """Share of steps without a measurement of anything, drawn one by one; the last one counts."""

    def __post_init__(self) -> None:
        super().__post_init__()
        ranges.check(self, "errors", share=("dropped",))


class Pending(NamedTuple):
    """The carry of an `Imprecise` agent."""

    inner: Any
    commands: Float[Array, "sent 2 *batch"]
    """The last ones sent, the oldest first: as many as are on their way, or are believed to be."""
    last: tuple[RobotState, ...] | None
    """The robots as last measured, where measurements are dropped."""
    begins: Flag | None
    """Nothing has been measured in this game."""


_GOLDEN = math.pi * (3 - math.sqrt(5))
"""Angle [rad] whose multiples are spread evenly: directions of the bias of game after game."""


class Imprecise(Agent):
    """An agent whose measurements of its own robot are wrong, and whose commands arrive late, as a budget allows.

    Errors are drawn anew at every step: the position within a disc, the others uniformly within ± their bound. The
    inner agent sees the state predicted to the moment at which its command is executed as far as it knows (from the
    commands on their way, which it does know), so that a policy and a safety layer without memory serve under delay.
    Movers are not drawn here, and slip only where it is one of `Faults`: then the robot in truth has all limits of the
    believed one times 1 + slip.
    """

    inner: Agent
    sizes: Float[Array, "4"]
    """Largest errors of position [m], heading [rad], speed [m/s] and turn rate [rad/s]."""
    delay: int = eqx.field(static=True)
    """Steps between a command and its execution."""
    known: int = eqx.field(static=True)
    """Steps that the inner agent believes them to be."""
    believed: Game | None = eqx.field(static=True)
    """The game that the inner agent takes for the one it is in, if that is another."""
    bias: Float[Array, ""] | None
    """`Faults.bias` and `Faults.dropped`, where there are any: arrays, so that one program serves every size."""
    dropped: Float[Array, ""] | None
    slip: float = eqx.field(static=True)

    def __init__(
        self, inner: Agent, budget: Budget, believed: Game | None = None, known_delay: int | None = None
    ) -> None:
        self.inner, self.delay, self.believed = inner, budget.delay, believed
        self.known = budget.delay if known_delay is None else known_delay
        self.sizes = jnp.asarray([budget.pose, budget.heading, budget.speed, budget.turn_rate], float)
        faults = budget if isinstance(budget, Faults) else Faults()
        self.bias, self.dropped = (jnp.asarray(one) if one else None for one in (faults.bias, faults.dropped))
        self.slip = faults.slip

    def initial(self, state: GameState) -> Pending:
        like = state.robots[0].control
        commands = jnp.zeros((max(self.delay, self.known), *like.shape), like.dtype)
        drops = self.dropped is not None
        return Pending(
            self.inner.initial(state),
            commands,
            state.robots if drops else None,
            jnp.ones(like.shape[1:], bool) if drops else None,
        )

    def act(self, carry: Pending, key: Keys, view: View) -> tuple[Shielded, Pending]:
        own, game = view.own, self.believed or view.game
        robot = game.limits(view.role)
        error_key, inner_key = _split(key)
        pose, velocity = measured(self.sizes, error_key, own.pose, own.control / (1 + self.slip))
        if self.bias is not None:
            number = jnp.arange(pose[0].size).reshape(pose.shape[1:])
            pose = pose.at[:2].add(self.bias.astype(pose.dtype) * direction(_GOLDEN * number.astype(pose.dtype)))
        state = view.state.with_robot(view.role, pose=pose, control=velocity)
        last = None
        if carry.last is not None:
            assert carry.begins is not None
            assert self.dropped is not None
            keys = jax.vmap(lambda one: jax.random.fold_in(one, 2))(key) if key.ndim else jax.random.fold_in(key, 2)
            kept = (_shares(keys, 1, pose)[0] < self.dropped) & ~carry.begins
            last = jax.tree.map(lambda old, new: jnp.where(kept, old, new), carry.last, state.robots)
            state = state._replace(robots=last)
            pose, velocity = state.robot(view.role).pose, state.robot(view.role).control
        sent = len(carry.commands)
        for command in carry.commands[sent - self.known :]:
            pose, velocity = predicted(robot, pose, velocity, command)
        seen = state.with_robot(view.role, pose=pose, control=velocity)
        done, inner = self.inner.act(carry.inner, inner_key, View(seen, game, view.role))
        queue = jnp.concatenate([carry.commands, done.control[None]])
        command = queue[sent - self.delay]
        if self.slip:
            command = (1 + self.slip) * robot.reach(command, own.control / (1 + self.slip))
        begins = None if last is None else jnp.zeros(pose.shape[1:], bool)
        return done._replace(control=command), Pending(inner, queue[1:], last, begins)

    def onward(self, carry: Pending, over: Flag) -> Pending:
        begins = None if carry.begins is None else carry.begins | over
        return Pending(self.inner.onward(carry.inner, over), jnp.where(over, 0, carry.commands), carry.last, begins)


def predicted(robot: Robot, pose: Pose, velocity: Control, command: Control) -> tuple[Pose, Control]:
    """Pose, its heading not wrapped, and velocity one step later in free space."""
    reached = robot.reach(command, velocity)
    x, y = robot.way(pose, reached, 1, velocity)[:, -1]
    return jnp.stack([x, y, pose[2] + robot.turn(reached, velocity)]), reached


def measured(sizes: Float[Array, "4"], key: Keys, pose: Pose, velocity: Control) -> tuple[Pose, Control]:
    """Pose and velocity as measured, with errors up to these sizes (see `Imprecise`); `key` is one, or one per game."""
    share = _shares(key, 5, pose)
    far, heading, speed, turn_rate = sizes.astype(pose.dtype)
    position = far * jnp.sqrt(share[0]) * direction(2 * math.pi * share[1])
    pose = pose + jnp.stack([*position, heading * (2 * share[2] - 1)])
    return pose, velocity + jnp.stack([speed * (2 * share[3] - 1), turn_rate * (2 * share[4] - 1)])


def _shares(key: Keys, count: int, pose: Pose) -> Float[Array, "count *batch"]:
    """Uniform in [0, 1), so many for each game of these poses."""
    if not key.ndim:
        return jax.random.uniform(key, (count, *pose.shape[1:]), pose.dtype)
    return jax.vmap(lambda one: jax.random.uniform(one, (count,), pose.dtype), out_axes=-1)(key)


def _split(key: Keys) -> tuple[Keys, Keys]:
    pair = jax.vmap(jax.random.split)(key) if key.ndim else jax.random.split(key)
    return pair[..., 0], pair[..., 1]
