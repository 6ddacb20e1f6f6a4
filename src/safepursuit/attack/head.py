"""An attack on a head's promise: its deployed control keeps the robot clear, whatever its parameters.

Policies with random parameters of many sizes drive among crowded, overlapping discs, from poses that touch and face
them. The referee counts the steps in which the pursuer would have entered a wall or a disc.
"""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from safepursuit.agents import Scripted, Trained
from safepursuit.evaluation import metrics
from safepursuit.experiment import TrainConfig
from safepursuit.game import Game, GameState, initial
from safepursuit.geometry import length
from safepursuit.play import play
from safepursuit.play.recording import Moment, assemble, moment
from safepursuit.policy import Policy, build_policy
from safepursuit.ranges import check_seed
from safepursuit.scene import Arena, boundaries, clearance

GAMES, STEPS = 512, 32
SIZES = (0.3, 3.0, 30.0, float("nan"))
"""Standard deviations of the noise on the parameters, in turn; the last one makes every parameter NaN."""


class Attack(NamedTuple):
    steps: int
    contacts: int
    """Steps in which the body would have entered a wall or a disc, or a pose or control was not finite."""
    depth: float
    """Greatest penetration [m]; 0 without a contact."""


def attack(config: TrainConfig, steps: int, seed: int = 0) -> Attack:
    """Attack the head of this configuration for at least `steps` steps. Raises ValueError for a number below 1
    or a seed beyond 32 bits."""
    check_seed(seed)
    if steps < 1:
        raise ValueError(f"the number of steps must be at least 1, not {steps}.")
    game = arena_of(config)
    contacts, depth, played, number = 0, 0.0, 0, 0
    while played < steps:
        key = jax.random.fold_in(jax.random.key(seed), number)
        policy = _random_policy(key, config, SIZES[number % len(SIZES)])
        starts = _hostile(initial(jax.random.fold_in(key, 1), game, GAMES), jax.random.fold_in(key, 2), game)
        recording = assemble(starts, _drive(Trained(policy, config.shield), starts, key, game), game)
        judged = metrics.verdict(recording)
        contacts += int((judged.wall | judged.obstacle | judged.invalid).sum())
        depth = max(depth, -float(np.min(judged.clearance, initial=0.0, where=~np.isnan(judged.clearance))))
        played, number = played + int(recording.length.sum()), number + 1
    return Attack(played, contacts, depth if contacts else 0.0)


def arena_of(config: TrainConfig) -> Game:
    """The configuration's game in a small arena with many overlapping discs."""
    radius = config.game.robot.radius
    half = (20 * radius, 15 * radius)
    crowd = Arena(half, 16, (0.5 * radius, 5 * radius), passage=0.0, allow_overlap=True, scene=config.game.arena.scene)
    near = config.game.capture_radius
    return replace(
        config.game, arena=crowd, start_clearance=0.0, start_distance=(1.01 * near, 4 * max(half)), horizon=STEPS
    )


def _hostile(states: GameState, key: Key[Array, ""], game: Game) -> GameState:
    """Half of the pursuers in contact with their nearest boundary, facing it (or, if they reverse, looking away from
    it) or driving along it."""
    pose = states.pursuer
    around = boundaries(states.scene, pose[:2])
    nearest = around.distance == jnp.min(around.distance, axis=0)
    normal = jnp.sum(jnp.where(nearest, around.normal, 0), axis=1) / jnp.maximum(jnp.sum(nearest, axis=0), 1)
    gap = jnp.min(around.distance, axis=0) - game.robot.radius
    place = pose[:2] - (gap - 1e-6) * normal
    bearings = [jnp.pi, jnp.pi / 2, -jnp.pi / 2, 3.0, 2.0]
    if game.robot.reverses:
        bearings += [one - jnp.pi for one in bearings]
    offset = jax.random.choice(key, jnp.asarray(bearings), gap.shape)
    facing = jnp.stack([*place, jnp.arctan2(normal[1], normal[0]) + offset])
    clear = clearance(states.scene, place, game.robot.radius) >= 0
    far = length(place - states.evader[:2]) > game.capture_radius
    move = clear & far & (jnp.arange(gap.shape[0]) % 2 == 0)
    return states.with_robot("pursuer", pose=jnp.where(move, facing, pose))


def _random_policy(key: Key[Array, ""], config: TrainConfig, size: float) -> Policy:
    policy = build_policy(key, config.method, config.policy, config.game, config.shield, config.role)
    learned, fixed = eqx.partition(policy, eqx.is_inexact_array)
    leaves, structure = jax.tree.flatten(learned)
    keys = jax.random.split(jax.random.fold_in(key, 3), len(leaves))
    noisy = [
        leaf + size * jax.random.normal(one, leaf.shape, leaf.dtype) for leaf, one in zip(leaves, keys, strict=True)
    ]
    whole: Policy = eqx.combine(jax.tree.unflatten(structure, noisy), fixed)
    return eqx.tree_at(lambda one: one.normaliser, whole, policy.normaliser)


@partial(jax.jit, static_argnames="game")
def _drive(pursuer: Trained, starts: GameState, key: Key[Array, ""], game: Game) -> Moment:
    draws = jax.random.split(key, game.horizon)
    agents = pursuer, Scripted("random", None)
    return play(agents, starts, draws, game, lambda _, step: (None, moment(step)), ledger=None)[2]
