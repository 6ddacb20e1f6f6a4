"""Errors between a robot and its controller, drawn within a budget."""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from safepursuit.agents.agent import Agent, View
from safepursuit.game import GameState
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
    budget: Budget = eqx.field(static=True)

    def initial(self, state: GameState) -> Pending:
        like = state.robots[0].control
        return Pending(self.inner.initial(state), jnp.zeros((self.budget.delay, *like.shape), like.dtype))

    def act(self, carry: Pending, key: Keys, view: View) -> tuple[Shielded, Pending]:
        own, robot = view.own, view.robot
        error_key, inner_key = _split(key)
        pose, velocity = measured(self.budget, error_key, own.pose, own.control)
        for command in carry.commands:
            pose, velocity = predicted(robot, pose, velocity, command)
        seen = view.state.with_robot(view.role, pose=pose, control=velocity)
        done, inner = self.inner.act(carry.inner, inner_key, View(seen, view.game, view.role))
        queue = jnp.concatenate([carry.commands, done.control[None]])
        return done._replace(control=queue[0]), Pending(inner, queue[1:])

    def onward(self, carry: Pending, over: Flag) -> Pending:
        return Pending(self.inner.onward(carry.inner, over), jnp.where(over, 0, carry.commands))


def predicted(robot: Robot, pose: Pose, velocity: Control, command: Control) -> tuple[Pose, Control]:
    """Pose, its heading not wrapped, and velocity one step later in free space."""
    reached = robot.reach(command, velocity)
    x, y = robot.way(pose, reached, 1, velocity)[-1]
    return jnp.stack([x, y, pose[2] + robot.turn(reached, velocity)]), reached


def measured(budget: Budget, key: Keys, pose: Pose, velocity: Control) -> tuple[Pose, Control]:
    """Pose and velocity as measured, with errors within the budget; `key` is one key, or one per game."""
    draw = jax.vmap(lambda one: jax.random.uniform(one, (6,), pose.dtype), out_axes=-1)
    shape = pose.shape[1:]
    share = draw(key) if key.ndim else jax.random.uniform(key, (6, *shape), pose.dtype)
    position = budget.pose * jnp.sqrt(share[0]) * direction(2 * math.pi * share[1])
    heading, speed, turn_rate = (2 * share[part] - 1 for part in (2, 3, 4))
    pose = pose + jnp.stack([*position, budget.heading * heading])
    return pose, velocity + jnp.stack([budget.speed * speed, budget.turn_rate * turn_rate])


def _split(key: Keys) -> tuple[Keys, Keys]:
    pair = jax.vmap(jax.random.split)(key) if key.ndim else jax.random.split(key)
    return pair[..., 0], pair[..., 1]
