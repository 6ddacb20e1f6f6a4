"""Errors between a robot and its controller, drawn within a budget."""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from safepursuit.agents.agent import Agent, View
from safepursuit.game import Game, GameState
from safepursuit.geometry import direction
from safepursuit.robot import Budget, Robot
from safepursuit.shapes import Control, Flag, Keys, Pose
from safepursuit.shield import Shielded


class Pending(NamedTuple):
    """The carry of an `Imprecise` agent."""

    inner: Any
    commands: Float[Array, "delay 2 *batch"]
    """Sent, but not executed yet; the oldest first."""


class Imprecise(Agent):
    """An agent whose measurements of its own robot are wrong, and whose commands arrive late, as a budget allows.

    Errors are drawn anew at every step: the position within a disc, the others uniformly within ± their bound. The
    inner agent sees the state predicted to the moment at which its command is executed (from the commands on their way,
    which it knows), so that a policy and a safety layer without memory serve under delay as well. Slip and movers are
    not drawn here.
    """

    inner: Agent
    sizes: Float[Array, "4"]
    """Largest errors of position [m], heading [rad], speed [m/s] and turn rate [rad/s]."""
    delay: int = eqx.field(static=True)
    """Steps between a command and its execution."""
    believed: Game | None = eqx.field(static=True)
    """The game that the inner agent takes for the one it is in, if that is another."""

    def __init__(self, inner: Agent, budget: Budget, believed: Game | None = None) -> None:
        self.inner, self.delay, self.believed = inner, budget.delay, believed
        self.sizes = jnp.asarray([budget.pose, budget.heading, budget.speed, budget.turn_rate], float)

    def initial(self, state: GameState) -> Pending:
        like = state.robots[0].control
        return Pending(self.inner.initial(state), jnp.zeros((self.delay, *like.shape), like.dtype))

    def act(self, carry: Pending, key: Keys, view: View) -> tuple[Shielded, Pending]:
        own, game = view.own, self.believed or view.game
        robot = game.limits(view.role)
        error_key, inner_key = _split(key)
        pose, velocity = measured(self.sizes, error_key, own.pose, own.control)
        for command in carry.commands:
            pose, velocity = predicted(robot, pose, velocity, command)
        seen = view.state.with_robot(view.role, pose=pose, control=velocity)
        done, inner = self.inner.act(carry.inner, inner_key, View(seen, game, view.role))
        queue = jnp.concatenate([carry.commands, done.control[None]])
        return done._replace(control=queue[0]), Pending(inner, queue[1:])

    def onward(self, carry: Pending, over: Flag) -> Pending:
        return Pending(self.inner.onward(carry.inner, over), jnp.where(over, 0, carry.commands))


def predicted(robot: Robot, pose: Pose, velocity: Control, command: Control) -> tuple[Pose, Control]:
    """Pose, its heading not wrapped, and velocity one step later in free space."""
    reached = robot.reach(command, velocity)
    x, y = robot.way(pose, reached, 1, velocity)[:, -1]
    return jnp.stack([x, y, pose[2] + robot.turn(reached, velocity)]), reached


def measured(sizes: Float[Array, "4"], key: Keys, pose: Pose, velocity: Control) -> tuple[Pose, Control]:
    """Pose and velocity as measured, with errors up to these sizes (see `Imprecise`); `key` is one, or one per game."""
    draw = jax.vmap(lambda one: jax.random.uniform(one, (5,), pose.dtype), out_axes=-1)
    share = draw(key) if key.ndim else jax.random.uniform(key, (5, *pose.shape[1:]), pose.dtype)
    far, heading, speed, turn_rate = sizes.astype(pose.dtype)
    position = far * jnp.sqrt(share[0]) * direction(2 * math.pi * share[1])
    pose = pose + jnp.stack([*position, heading * (2 * share[2] - 1)])
    return pose, velocity + jnp.stack([speed * (2 * share[3] - 1), turn_rate * (2 * share[4] - 1)])


def _split(key: Keys) -> tuple[Keys, Keys]:
    pair = jax.vmap(jax.random.split)(key) if key.ndim else jax.random.split(key)
    return pair[..., 0], pair[..., 1]
