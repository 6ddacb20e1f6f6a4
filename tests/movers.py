"""Drives behind the safety layer among movers that do their worst, judged by the referee.

Each mover heads for the robot, for where it will stand if it brakes now, or away until the robot is fast and near and
then for it; or it wanders. All change their mind at random, and leave once they have reached it, so that it drives on.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from inertia import _episodes, commanded
from safepursuit import shield as safety
from safepursuit.evaluation.referee import judge_alone
from safepursuit.geometry import direction, length, unit
from safepursuit.robot import Unicycle
from safepursuit.scene import Movers, Scene, boundaries
from safepursuit.shield import Shield

STANDING = 4


class Drive(NamedTuple):
    steps: int
    moving: int
    """Steps in which the robot moves."""
    contacts: int
    """Of those, in which it touched anything, standing or moving."""
    touched: int
    """Steps in which a mover ran into the robot at rest."""
    least: float
    """Least clearance [m] of a moving robot."""
    infeasible: int


def crowd(rng: np.random.Generator, robot: Unicycle, movers: int, games: int, speed: float, half: tuple[float, float]):
    """Scenes with standing discs and up to so many movers, and a robot at rest in each, clear of all; batch last."""
    every = STANDING + movers
    pose = np.concatenate(
        [rng.uniform(-0.7, 0.7, (2, games)) * np.array(half)[:, None], rng.uniform(-4, 4, (1, games))]
    )
    centre = rng.uniform(-1, 1, (2, every, games)) * np.array(half)[:, None, None]
    radius = rng.uniform(0.5, 2.0, (every, games)) * robot.radius
    gap = np.hypot(*(centre - pose[:2, None])) - radius - robot.radius
    present = (gap > 0.1 * robot.radius) & (np.arange(every)[:, None] - STANDING < rng.integers(1, movers + 1, games))
    bound = rng.choice([0.3, 0.6, 1.0], (movers, games)) * speed
    parts = [jnp.asarray(part) for part in (half, centre, radius, present, bound)]
    kind = parts[1].dtype
    still = jnp.zeros((2, movers, games), kind)
    return jnp.asarray(pose, kind), Scene(*parts[:4], None, Movers(still, parts[4]))


def drive(
    robot: Unicycle,
    shield: Shield,
    *,
    movers: int = 12,
    speed: float = 0.5,
    seed: int = 0,
    games: int = 128,
    steps: int = 100,
    fresh: bool = False,
) -> Drive:
    """Drive among up to so many movers of up to `speed` [m/s], which the shield knows; `fresh` compiles anew, for what
    was changed under the program."""
    rng = np.random.default_rng(seed)
    half = (40 * robot.radius, 30 * robot.radius) if movers < 50 else (80 * robot.radius, 60 * robot.radius)
    pose, scene = crowd(rng, robot, movers, games, speed, half)
    roll = jax.jit(lambda *given: _roll.__wrapped__(*given), static_argnums=(3, 4, 5)) if fresh else _roll
    end, (poses, velocities, controls, centres, feasible) = roll(
        jax.random.key(seed), pose, scene, robot, shield, steps
    )
    own = _episodes(jnp.concatenate([poses, end[0][None]]))
    control, before = _episodes(controls), _episodes(velocities)
    velocity = np.concatenate([before, control[:, -1:]], axis=1) if robot.has_inertia else None
    centres = np.concatenate([np.asarray(centres, float), np.asarray(end[1], float)[None]])  # time, 2, movers, games
    radius, present = np.asarray(scene.radius, float), np.asarray(scene.present)
    sizes = np.where(present, radius, np.nan)
    moving = np.concatenate([centres, np.broadcast_to(sizes[STANDING:], (len(centres), 1, *sizes[STANDING:].shape))], 1)
    moving = np.where(present[STANDING:], moving, np.nan).transpose(3, 0, 2, 1)
    discs = np.stack([*np.asarray(scene.centre, float)[:, :STANDING], sizes[:STANDING]], axis=-1)
    discs = np.where(present[:STANDING, :, None], discs, np.nan).transpose(1, 0, 2)
    verdict = judge_alone(
        own=own,
        own_control=control,
        discs=discs,
        movers=moving,
        half_extents=np.asarray(half),
        own_radius=robot.radius,
        length=np.full(games, steps),
        dt=robot.dt,
        integrator=robot.integrator,
        own_velocity=velocity,
    )
    assert not verdict.invalid.any()
    moves = (control[..., 0] > 0) | ((before[..., 0] > 0) & robot.has_inertia)
    least = verdict.clearance[moves]
    contacts = int((verdict.wall | verdict.obstacle).sum())
    return Drive(
        moves.size, int(moves.sum()), contacts, int(verdict.touched.sum()), float(least.min()), int((~feasible).sum())
    )


@partial(jax.jit, static_argnums=(3, 4, 5))
def _roll(key, start, scene, robot, shield, steps):
    games = start.shape[-1:]
    bound = scene.movers.speed
    longest = robot.steps_to_stop * robot.dt

    def step(carry, key):
        pose, velocity, centre, moved, mode, mood = carry
        keys = jax.random.split(key, 7)
        changes = jax.random.uniform(keys[0], games) < 0.05
        mode = jnp.where(changes, jax.random.randint(keys[1], games, 0, 6), mode)
        turns = jax.random.uniform(keys[2], bound.shape) < 0.04
        mood = jnp.where(turns, jax.random.randint(keys[3], bound.shape, 0, 5), mood)
        met = length(pose[:2, None] - centre) < scene.radius[STANDING:] + robot.radius
        mood = jnp.where(met, 4, mood)  # what has come up to the robot leaves it again
        here = scene._replace(centre=scene.centre.at[:, STANDING:].set(centre), movers=Movers(moved / robot.dt, bound))
        near = boundaries(here, pose[:2])
        nearest = jnp.argmin(near.distance, axis=0)
        towards = -jnp.take_along_axis(near.normal, nearest[None, None], axis=1)[:, 0]
        angle = 2 * jnp.pi * jax.random.uniform(keys[4], games)
        towards = jnp.where(mode == 5, direction(angle), towards)
        wild = jax.random.uniform(keys[5], (2, *games))
        nominal = commanded(robot, pose, towards, jnp.where(mode == 5, 0, mode), wild)
        done = safety.filter(nominal, pose, here, robot=robot, shield=shield, gains=1.0, velocity=velocity)
        reached = robot.reach(done.control, velocity)
        after = robot.step(pose, reached, velocity)
        rest = robot.stopped(after, reached) if robot.has_inertia else after
        speed = jnp.maximum(reached[0], velocity[0])
        to_robot, to_rest = (one[:2][:, None] - centre for one in (after, rest))
        close = (length(to_robot) < 2 * robot.radius + speed * longest + bound * longest) & (speed > 0)
        drift = direction(2 * jnp.pi * jax.random.uniform(keys[6], bound.shape))
        heading = jnp.select(
            [mood == 0, mood == 1, mood == 2, mood == 3],
            [unit(to_robot), unit(to_rest), jnp.where(close, 1, -1) * unit(to_rest), drift],
            -unit(to_robot),
        )
        pace = bound * robot.dt - 1e-6  # what rounding may add
        limits = scene.half_extents[:, None, None]
        moved = jnp.clip(centre + jnp.maximum(pace, 0) * heading, -limits, limits) - centre
        carry = (after, reached, centre + moved, moved, mode, mood)
        return carry, (pose, velocity, reached, centre, done.feasible)

    still, none = jnp.zeros_like(start[:2]), jnp.zeros(games, int)
    centre = scene.centre[:, STANDING:]
    carry = (start, still, centre, jnp.zeros_like(centre), none, jnp.zeros(bound.shape, int))
    (end, _, centre, *_), records = jax.lax.scan(step, carry, jax.random.split(key, steps))
    return (end, centre), records
