"""Adversarial drives behind the safety layer, judged by the referee.

Nominal commands head for the nearest boundary, turn at their limits or are random, of a robot that reverses also
backwards and to and fro; errors of measurement stay at the
corners of the budget for a while, then change; slip is constant within its bound; movers head for the robot.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from safepursuit import shield as safety
from safepursuit.attack.drive import judge_steps
from safepursuit.barriers import stop_sector
from safepursuit.game import Game, initial
from safepursuit.geometry import direction, length, unit
from safepursuit.play.recording import discs_of
from safepursuit.robot import Budget, Inertial, Unicycle, within_theory
from safepursuit.scene import Arena, Scene, boundaries
from safepursuit.shield import Shield


class Drive(NamedTuple):
    contacts: int
    """Steps in which the body entered a wall or a disc while the robot moved."""
    least: float
    """Least clearance [m] of a moving robot within reach of a wall or a disc; infinite if it never is."""
    moving: float
    """Share of steps in which the robot moves."""
    governed: float
    stopped: float
    infeasible: float
    """But for robots that a mover has touched."""
    uncertified: int
    """Steps that begin where *stop* is not certified for the true state."""
    steps: int
    fastest_wheel: float
    """[m/s] of any step, over ground; NaN without a wheel base."""
    backwards: float
    """Share of steps in which the robot moves backwards."""


def drive(
    robot: Unicycle,
    shield: Shield,
    truth: Budget | None = None,
    *,
    believed: Unicycle | None = None,
    seed: int = 0,
    games: int = 128,
    steps: int = 120,
    discs: int = 8,
    fewest: int | None = None,
) -> Drive:
    """Drive among so many discs, or from `fewest` to so many, behind a shield.

    It takes the robot for the one that is `believed`, of which the games are where its own kind is none of the
    package's; the errors of `truth` are drawn, by default those of its budget.
    """
    truth = shield.budget if truth is None else truth
    radius = robot.radius
    arena = Arena(
        (20 * radius, 16 * radius), discs, (0.7 * radius, 4 * radius), passage=0.2 * radius, min_obstacles=fewest
    )
    game = Game(
        arena,
        robot if believed is None or within_theory(robot) else believed,
        capture_radius=2 * radius,
        start_distance=(2.1 * radius, 50 * radius),
        start_clearance=0.1 * radius + truth.pose,
        robot_model="inertial" if robot.has_inertia else "unicycle",
    )
    states = initial(jax.random.key(seed), game, games)
    end, (poses, velocities, centres, moving, certified, done) = _roll(
        jax.random.fold_in(jax.random.key(seed), 1),
        states.pursuer,
        states.scene,
        robot,
        robot if believed is None else believed,
        shield,
        truth,
        steps,
    )
    own, moving = _episodes(jnp.concatenate([poses, end[None]])), np.asarray(moving).T
    # A mover comes at most its own way nearer within a step; here it is where it was at the step's start.
    centre = _episodes(centres) if truth.mover_speed else None
    judged = judge_steps(
        *(own[:, :-1], own[:, 1:], _episodes(velocities[0]), _episodes(velocities[1])),
        discs_of(states.scene) if centre is None else _moving(centre, states.scene),
        *(arena.half_extents, robot),
    )
    assert not np.isnan(judged.clearance).any()
    least = np.where(moving, judged.clearance, np.inf)
    governed, stopped, infeasible = (float(np.mean(share)) for share in done)
    return Drive(
        contacts=int((least < -1e-9).sum()),
        least=float(least.min()),
        moving=float(moving.mean()),
        governed=governed,
        stopped=stopped,
        infeasible=infeasible,
        uncertified=int(np.sum(moving & ~np.asarray(certified).T)),
        steps=games * steps,
        fastest_wheel=float(np.max(rims(robot, np.moveaxis(np.asarray(velocities[1]), 1, 0)))),
        backwards=float(np.mean(np.asarray(velocities[0] + velocities[1])[:, 0] < 0)),
    )


def rims(robot: Unicycle, control: np.ndarray) -> np.ndarray:
    """Speeds, as sizes, of left and right wheel for controls (2, …); NaN without a wheel base."""
    v, turn_rate = control
    lever = np.nan if robot.wheel_base is None else robot.wheel_base / 2
    return np.abs([v - lever * turn_rate, v + lever * turn_rate])


def swing(robot: Inertial, shield: Shield, *, seed: int = 0, games: int = 4096) -> tuple[int, float]:
    """One step of robots at rest beside a wall, parallel to it, that turn towards it and are told to drive off and turn
    away: their heading comes nearest to the wall within the step. Contacts, and the least clearance [m]."""
    scene = Scene.of([(8.0, 8.0, 0.1)], half_extents=(9.0, 9.0))
    rng = np.random.default_rng(seed)
    away, gap = rng.uniform(0, 0.02, games), 1e-9 * rng.uniform(0, 1, games)
    beside = 9.0 - robot.radius - shield.added - gap
    pose = jnp.stack([jnp.zeros(games), jnp.asarray(beside), jnp.asarray(-away)])
    before = jnp.stack([jnp.zeros(games), jnp.asarray(robot.max_turn_rate * rng.uniform(0, 1, games))])
    asked = jnp.asarray([robot.max_speed, -robot.max_turn_rate])[:, None] * jnp.ones(games)
    around = safety.survey(shield, robot, pose, scene, velocity=before)
    sent = safety.unfiltered(asked, around, robot=robot, governor=shield).control
    reached = robot.reach(sent, before)
    after = robot.step(pose, reached, before)
    rows = [_episodes(part[None]) for part in (pose, after, before, reached)]
    discs = np.broadcast_to([8.0, 8.0, 0.1], (games, 1, 3))
    judged = judge_steps(*rows, discs, (9.0, 9.0), robot)
    return int((judged.clearance < -1e-9).sum()), float(judged.clearance.min())


def _episodes(steps) -> np.ndarray:
    return np.moveaxis(np.asarray(steps, float), -1, 0)


def _moving(centre: np.ndarray, scene: Scene) -> np.ndarray:
    """Discs (games, time, discs, 3) whose centres (games, time, 2, discs) move."""
    discs = np.broadcast_to(discs_of(scene)[:, None], (*centre.shape[:2], centre.shape[3], 3)).copy()
    discs[..., :2] = np.where(np.isnan(discs[..., :2]), np.nan, np.moveaxis(centre, 2, -1))
    return discs


@partial(jax.jit, static_argnames=("robot", "believed", "shield", "truth", "steps"))
def _roll(key, start, scene, robot, believed, shield, truth, steps):
    games = start.shape[-1:]
    slip_key, key = jax.random.split(key)
    slip = truth.slip * jnp.sign(jax.random.normal(slip_key, (2, *games)))

    def step(carry, key):
        pose, velocity, queue, mode, corner, centre, touched = carry
        keys = jax.random.split(key, 6)
        changes = jax.random.uniform(keys[0], games) < 0.08
        modes = 10 if robot.reverses else 5
        mode = jnp.where(changes, jax.random.randint(keys[1], games, 0, modes), mode)
        corner = jnp.where(changes, jnp.sign(jax.random.normal(keys[2], (5, *games))), corner)
        at = direction(jnp.arctan2(corner[1], corner[0])) * truth.pose
        told = pose + jnp.stack([*at, truth.heading * corner[2]])
        felt = velocity + jnp.stack([truth.speed * corner[3], truth.turn_rate * corner[4]])
        here = scene._replace(centre=centre)
        near = boundaries(here, pose[:2])
        nearest = jnp.take_along_axis(near.normal, jnp.argmin(near.distance, axis=0)[None, None], axis=1)[:, 0]
        nominal = commanded(robot, pose, -nearest, mode, jax.random.uniform(keys[3], (2, *games)))
        for command in queue[: shield.budget.delay]:  # what the controller believes
            reached = robot.reach(command, felt)
            told, felt = robot.step(told, reached, felt), reached
        done = safety.filter(nominal, told, here, robot=believed, shield=shield, gains=1.0, velocity=felt)
        queue = jnp.concatenate([queue, done.control[None]])
        reached = robot.reach(queue[0], velocity)
        certified = _stop_is_certified(robot, truth, pose, velocity, here)
        over_ground = (1 + slip) * velocity, (1 + slip) * reached
        moves = (robot.has_inertia & (velocity[0] != 0)) | (reached[0] != 0)
        after = robot.step(pose, over_ground[1], over_ground[0])
        towards = unit(after[:2][:, None] - centre)
        moved = centre + truth.mover_speed * robot.dt * towards
        # A mover that touches a robot at rest, or starts upon one, is no fault of the robot's: the drive ends there.
        near = length(after[:2][:, None] - moved) < scene.radius + robot.radius
        touches = jnp.any(near & scene.present, axis=0) & ~moves
        touched = touched | (touches & (truth.mover_speed > 0))
        carry = (after, reached, queue[1:], mode, corner, moved, touched)
        kept = done.governed, done.stopped, ~done.feasible & ~carry[-1]
        # Where nothing moves, where it stands is known.
        stands = centre if truth.mover_speed else jnp.zeros(0)
        return carry, (pose, over_ground, stands, moves & ~touched, certified, kept)

    queue = jnp.zeros((truth.delay, 2, *games), start.dtype)
    none = jnp.zeros(games, int)
    corner = jnp.ones((5, *games), start.dtype)
    carry = (start, jnp.zeros_like(start[:2]), queue, none, corner, scene.centre, none > 0)
    (end, *_), records = jax.lax.scan(step, carry, jax.random.split(key, steps))
    return end, records


def commanded(robot, pose, target, mode, wild):
    """What is asked for: to head along `target`, to turn at the limits, or anything at random, by the `mode`; from 5 on
    the same backwards, and from 9 on to and fro."""
    error = jnp.arctan2(target[1], target[0]) - pose[2]
    v, w, one = robot.max_speed, robot.max_turn_rate, jnp.ones(pose.shape[1:])
    if robot.reverses:
        back = jnp.where(mode == 9, wild[0] < 0.5, mode >= 5)
        error, v, mode = error + jnp.where(back, jnp.pi, 0), jnp.where(back, robot.min_speed, v), mode % 5
    error = jnp.mod(error + jnp.pi, 2 * jnp.pi) - jnp.pi
    return jnp.select(
        [mode == 0, mode == 1, mode == 2, mode == 3],
        [
            jnp.stack([v * one, jnp.clip(error / robot.dt, -w, w)]),
            jnp.stack([v * one, w * jnp.sign(wild[1] - 0.5)]),
            jnp.stack([v * one, w * one]),
            jnp.stack([v * one, -w * one]),
        ],
        jnp.stack([v * wild[0], w * (2 * wild[1] - 1)]),
    )


def _stop_is_certified(robot, truth, pose, velocity, scene):
    """Whether the sector of *stop* from the true state is free, however far a mover comes until standstill."""
    if not isinstance(robot, Inertial):
        return jnp.ones(pose.shape[1:], bool)
    if robot.reverses:  # as a robot that looks where it drives
        turned = jnp.where(velocity[0] < 0, jnp.pi, 0)
        pose = pose.at[2].add(turned)
        velocity = velocity.at[0].set(jnp.abs(velocity[0]))
    slower, calmer = robot.reach(jnp.zeros_like(velocity), velocity)
    slip = Budget(slip=truth.slip)
    comes = truth.mover_speed * robot.stopping_time(velocity[0])
    motion = stop_sector.Motion.of(pose, velocity, boundaries(scene, pose[:2]))
    motion = motion._replace(distance=motion.distance - comes, radius=motion.radius + comes)
    hull = HEADINGS(robot, slip, velocity[1], calmer)
    way = (1 + truth.slip) * robot.way_to_stop(velocity[0], slower)
    return stop_sector.free_way(robot, slip, 0.0, motion, *hull) >= way - 1e-9


HEADINGS = stop_sector.headings
"""The right one, whatever takes its place in an unsound variant."""
