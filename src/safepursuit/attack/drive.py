"""Plans driven in one compiled program, and judged by the referee.

Nothing is solid in a drive: the referee judges every commanded motion, as if the robot went on through what it hit.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from safepursuit.agents import Trained, View, predicted
from safepursuit.attack.plans import Genes, Plan, decode, nominal_control
from safepursuit.attack.worlds import World
from safepursuit.evaluation.referee import judge_alone
from safepursuit.game import GameState, RobotState
from safepursuit.play.recording import Numbers, Recording, discs_of
from safepursuit.robot import Robot
from safepursuit.scene import clearance

_ROWS = 50_000
"""Steps shown to the referee at a time, a bound on memory."""

_BLUR = 0.01
"""[m] Clearances this near to the least one count in the objective that gradients follow."""


class Driven(NamedTuple):
    """Games as driven; axes (time, …, games)."""

    pose: Float[Numbers, "time 3 games"]
    """Before each step."""
    end: Float[Numbers, "3 games"]
    before: Float[Numbers, "time 2 games"]
    """Speed and turn rate over ground at the beginning of each step."""
    control: Float[Numbers, "time 2 games"]
    """Carried out over ground; of a robot with inertia those at the end of the step."""
    nominal: Float[Numbers, "time 2 games"]
    intervened: Bool[Numbers, "time games"]
    stopped: Bool[Numbers, "time games"]
    feasible: Bool[Numbers, "time games"]
    opponent: Float[Numbers, "time 3 games"]
    room: Float[Numbers, "time games"]
    """Clearance [m] in single precision at two points of the step: what a search descends."""


@partial(jax.jit, static_argnames="world")
def roll(plan: Plan, world: World, policy: Trained | None = None) -> Driven:
    """Drive the plans: their nominal controls behind the world's guard, or a policy with its own safety layer."""
    plan = jax.tree.map(jnp.asarray, plan)
    robot, errors, scene = world.robot, world.errors, plan.scene(world)
    dtype = plan.start.dtype
    slip = errors.slip * jnp.asarray(plan.slip)
    size = jnp.asarray([errors.pose, errors.pose, errors.heading, errors.speed, errors.turn_rate], dtype)[:, None]

    def step(carry, chosen):
        pose, velocity, queue, opponent = carry
        nominal_part, error = chosen
        off = size * error
        told, felt = pose + off[:3], velocity + off[3:]
        for command in queue:
            told, felt = predicted(robot, told, felt, command)
        if policy is None:
            nominal = nominal_control(nominal_part, robot, pose, scene)
            done = world.guard(nominal, told, scene, robot, world.shield, plan.gains, felt)
            moved = opponent
        else:
            robots = RobotState(told, felt), RobotState(opponent, jnp.zeros_like(felt))
            state = GameState(robots, scene, jnp.zeros(pose.shape[1:], jnp.int32))
            done, _ = policy.act(None, jax.random.key(0), View(state, world.game, "pursuer"))
            at_will = robot.limit(robot.from_unit_box(nominal_part[0]))
            moved = robot.step(opponent, at_will, at_will)
            half = jnp.asarray(world.half_extents, dtype)[:, None] - robot.radius
            moved = jnp.concatenate([jnp.clip(moved[:2], -half, half), moved[2:]])
        queue = jnp.concatenate([queue, done.control[None]])
        reached = robot.reach(queue[0], velocity)
        before, control = (1 + slip) * velocity, (1 + slip) * reached
        points = robot.way(pose, control, 2, before)
        after = robot.step(pose, control, before)
        room = jnp.minimum(*(clearance(scene, points[:, piece], robot.radius) for piece in range(2)))
        kept = done.nominal, done.intervened, done.stopped, done.feasible
        return (after, reached, queue[1:], moved), (pose, before, control, *kept, opponent, room)

    still = jnp.zeros_like(plan.start[:2])
    queue = jnp.zeros((errors.delay, *still.shape), dtype)
    start = (plan.start, still, queue, plan.opponent)
    last, kept = jax.lax.scan(step, start, ((plan.nominal, plan.chases), plan.errors))
    pose, before, control, nominal, intervened, stopped, feasible, opponent, room = kept
    return Driven(pose, last[0], before, control, nominal, intervened, stopped, feasible, opponent, room)


def attempt(genes: Genes, world: World, policy: Trained | None = None) -> tuple[Driven, Plan, Float[Array, "games"]]:
    """The games of these genes, and the least clearance [m] of each, in single precision."""
    plan = _decoded(genes, world)
    driven = roll(plan, world, policy)  # a program of its own, which serves shrinking as well
    return driven, plan, jnp.min(driven.room, axis=0)


_decoded = jax.jit(decode, static_argnames="world")


@partial(jax.jit, static_argnames="world")
def descend(
    genes: Genes, rate: Float[Array, ""], world: World, policy: Trained | None = None
) -> tuple[Driven, Plan, Float[Array, "games"], Genes]:
    """`attempt`, and the genes after one step down the gradient of the blurred least clearance through the game."""

    def cost(genes):
        plan = decode(genes, world)
        driven = roll(plan, world, policy)
        blurred = -_BLUR * jax.nn.logsumexp(-driven.room / _BLUR, axis=0)
        return jnp.sum(jnp.where(jnp.isfinite(blurred), blurred, 0)), (driven, plan)

    slope, (driven, plan) = jax.grad(cost, has_aux=True)(genes)
    slope = jnp.where(jnp.isfinite(slope), slope, 0)
    steepest = jnp.maximum(jnp.max(jnp.abs(slope), axis=0), 1e-12)
    return driven, plan, jnp.min(driven.room, axis=0), jnp.clip(genes - rate * slope / steepest, 0, 1)


class Judged(NamedTuple):
    """The referee's findings; arrays (games, time)."""

    contact: np.ndarray
    """The body would have entered a wall or a disc, or a number was not finite."""
    clearance: np.ndarray
    """[m], where a boundary is within reach; else infinite."""


def judged(plan: Plan, driven: Driven, world: World) -> Judged:
    """The referee on every step."""
    pose = _by_game(driven.pose)
    after = np.concatenate([pose[:, 1:], np.asarray(driven.end, float).T[:, None]], axis=1)
    before, control = _by_game(driven.before), _by_game(driven.control)
    return judge_steps(pose, after, before, control, discs_of(plan.scene(world)), world.half_extents, world.robot)


def judge_steps(
    pose: np.ndarray,
    after: np.ndarray,
    before: np.ndarray,
    control: np.ndarray,
    discs: np.ndarray,
    half_extents: tuple[float, float],
    robot: Robot,
) -> Judged:
    """The referee on every step of any games: poses before and after (games, time, 3), speed and turn rate over ground
    at the beginning and the end (games, time, 2), discs (games, discs, 3) or, where they move, (games, time, discs, 3).

    It is shown what the robot could reach within a step: by the triangle inequality nothing else can be touched.
    """
    contact = ~np.isfinite(np.concatenate([pose, after, before, control], axis=-1)).all(axis=-1)
    least = np.where(contact, np.nan, np.inf)
    way = robot.dt * np.maximum(np.abs(before[..., 0]), np.abs(control[..., 0])) + 0.01 * robot.radius
    games, times, seen = _within_reach(pose, np.where(contact, -np.inf, way), discs, half_extents, robot.radius)
    for first in range(0, len(games), _ROWS):
        g, t = games[first : first + _ROWS], times[first : first + _ROWS]
        ends, speeds = np.stack([pose[g, t], after[g, t]], 1), np.stack([before[g, t], control[g, t]], 1)
        found = judge_alone(
            own=ends,
            own_control=control[g, t][:, None],
            discs=seen[first : first + _ROWS, None],
            half_extents=np.asarray(half_extents),
            own_radius=robot.radius,
            length=np.ones(len(g), int),
            dt=robot.dt,
            integrator=robot.integrator,
            own_velocity=speeds,
        )
        np.logical_or.at(contact, (g, t), (found.wall | found.obstacle | found.invalid)[:, 0])
        np.minimum.at(least, (g, t), found.clearance[:, 0])
    return Judged(contact, least)


def _by_game(part: Any) -> np.ndarray:
    """(time, …, games) → (games, time, …)."""
    return np.moveaxis(np.asarray(part, float), -1, 0)


def _within_reach(
    pose: np.ndarray, way: np.ndarray, discs: np.ndarray, half_extents: tuple[float, float], own_radius: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Game, step and disc (x, y, radius; NaN for the walls) of every pair within a body's `way` (games, time)."""
    moving = discs if discs.ndim == 4 else discs[:, None]
    with np.errstate(invalid="ignore"):
        beside = (np.asarray(half_extents) - np.abs(pose[..., :2])).min(axis=-1) - own_radius
        places = [np.argwhere(beside < way)]
        seen = [np.full((len(places[0]), 3), np.nan)]
        for disc in np.moveaxis(moving, 2, 0):
            apart = np.hypot(pose[..., 0] - disc[..., 0], pose[..., 1] - disc[..., 1]) - disc[..., 2] - own_radius
            near = np.argwhere(apart < way)
            places.append(near)
            seen.append(np.broadcast_to(disc, (*way.shape, 3))[tuple(near.T)])
    games, times = np.concatenate(places).T
    return games, times, np.concatenate(seen)


def recording(plan: Plan, driven: Driven, verdict: Judged, world: World) -> Recording:
    """Games as a recording, each up to its first contact; the other robot stands where nothing depends on it."""
    time, games = driven.intervened.shape
    hit = verdict.contact.any(axis=1)
    length = np.where(hit, verdict.contact.argmax(axis=1) + 1, time)
    inside, beyond = np.arange(time) < length[:, None], np.arange(time + 1) > length[:, None]

    def cut(part: Any) -> np.ndarray:
        return np.where(inside[..., None], _by_game(part), np.nan)

    own = np.concatenate([_by_game(driven.pose), np.asarray(driven.end, float).T[:, None]], axis=1)
    other = np.concatenate([_by_game(driven.opponent), _by_game(driven.opponent)[:, -1:]], axis=1)
    discs = discs_of(plan.scene(world))
    nothing = np.zeros((games, time), bool)
    return Recording(
        pursuer=np.where(beyond[..., None], np.nan, own),
        evader=np.where(beyond[..., None], np.nan, other),
        pursuer_control=cut(driven.control),
        evader_control=cut(np.zeros_like(driven.control)),
        nominal=cut(driven.nominal),
        intervened=np.asarray(driven.intervened).T & inside,
        correction=np.where(inside, 0.0, np.nan),
        infeasible=~np.asarray(driven.feasible).T & inside,
        lost_gradient=nothing,
        active=np.zeros((games, time, discs.shape[1] + 4), bool),
        discs=discs,
        edges=np.empty((games, 0, 4)),
        movers=np.empty((games, time + 1, 0, 3)),
        length=length,
        outcome=np.where(hit, "collision", "timeout"),
        game=world.game,
    )
