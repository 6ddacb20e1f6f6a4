"""A guard against becoming slower: ratios to fixed computations in the same process, never seconds.

Each piece of work and its reference take turns in many short rounds, and the fastest round of each counts: whatever
else the machine does can only add to a time. `USUAL` holds what came out when the limits were set; a change that makes
something slower on purpose says so there. Run this file by itself to see the ratios of the moment.
"""

import time
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from safepursuit.benchmark import projection
from safepursuit.benchmark.playing import random_play
from safepursuit.game import Game, GameState
from safepursuit.learn import BarrierNetTrainer
from safepursuit.policy import Pilot
from safepursuit.scene import Scene
from tiny import TINY

ROUNDS = 40
SLACK = 1.8
USUAL = {"projection": 0.28, "game": 1.7, "training": 2.0, "action": 2.8}
"""Time of the work in units of its reference, beside other tests (training: 1.5 by itself)."""

GAMES, STEPS = 1024, 8


@jax.jit
def _throughput(x):
    """A chain of small matrix products and tangents: what a vector unit is for."""
    return jax.lax.scan(lambda x, _: (jnp.tanh(0.1 * (x @ jnp.ones((32, 32)))), None), x, length=20)[0]


@jax.jit
def _trivial(x):
    return 2 * x


def throughput():
    return partial(_throughput, jnp.ones((1024, 32)))


def dispatch():
    """The least a call can take: there and back again, from NumPy to NumPy."""
    x = jnp.ones(20)
    return lambda: jax.device_get(_trivial(x))


def project(times=1):
    """The projection of 1,024 nominal controls onto 10 rows at close quarters with its derivatives, so many times."""
    nominal, rows = jax.jit(partial(projection.problems, rows=10))(projection.inputs(GAMES))

    @jax.jit
    def run(nominal, rows):
        def again(carry, _):
            u, gradient = projection.both(carry, rows)
            return nominal + 1e-6 * (u + sum(jnp.sum(one) for one in jax.tree.leaves(gradient))), None

        return jax.lax.scan(again, nominal, length=times)[0]

    return partial(run, nominal, rows)


def play():
    """Eight steps of 1,024 games with two discs."""
    random = np.random.default_rng(0)
    place = jnp.asarray(random.uniform(-9, 9, (4, 2, GAMES)), jnp.float32)
    heading = jnp.asarray(random.uniform(-3, 3, (2, 1, GAMES)), jnp.float32)
    pursuer, evader = (jnp.concatenate([place[i], heading[i]]) for i in (0, 1))
    discs = jnp.swapaxes(place[2:], 0, 1)
    scene = Scene(jnp.full((2, GAMES), 10.0), discs, jnp.full((2, GAMES), 0.5), jnp.ones((2, GAMES), bool))
    rest = jnp.zeros((2, GAMES))
    starts = GameState(pursuer, evader, rest, rest, scene, jnp.zeros(GAMES, jnp.int32))
    return partial(random_play(Game(), starts, STEPS, observed=False), starts, jax.random.key(1))


def train():
    """One iteration of the tiny training: hardly any numbers, so that what counts is how many kernels there are.

    Made long, so that it is compiled with full effort.
    """
    trainer = BarrierNetTrainer(replace(TINY, timesteps=1_000_000))
    start = trainer.state

    def iterate():
        trainer.state = start
        trainer.update(trainer.collect_rollout())
        return trainer.state.policy

    return iterate


def one_game():
    """The first of the tiny training's games, by itself."""
    return jax.tree.map(lambda leaf: leaf[..., 0], BarrierNetTrainer(TINY).state.games.state)


def act():
    """One deterministic action, from NumPy to NumPy."""
    pilot = Pilot(BarrierNetTrainer(TINY).policy, TINY.game, TINY.shield)
    return partial(pilot, jax.tree.map(np.asarray, one_game()))


WORK = {
    "projection": (project, throughput),
    "game": (play, throughput),
    "training": (train, throughput),
    "action": (act, dispatch),
}


def ratio(work, reference):
    """How many times longer than the reference the work takes."""
    fastest = [float("inf")] * 2
    for call in (work, reference):
        jax.block_until_ready(call())  # compiles
    for _ in range(ROUNDS):
        for index, call in enumerate((work, reference)):
            start = time.perf_counter()
            jax.block_until_ready(call())
            fastest[index] = min(fastest[index], time.perf_counter() - start)
    return fastest[0] / fastest[1]


def verdict(name, found):
    """What is wrong with this ratio; nothing if it is within the limit."""
    limit = SLACK * USUAL[name]
    if found <= limit:
        return None
    return (
        f"{name} takes {found:.2f} times as long as its reference, usually {USUAL[name]:.2f} times, at most "
        f"{limit:.2f}: it has become slower. If that is meant, say so in USUAL."
    )


@pytest.mark.parametrize("name", WORK)
def test_nothing_has_become_slower(name):
    work, reference = WORK[name]
    found = ratio(work(), reference())
    problem = verdict(name, found)
    assert problem is None, problem


def test_what_is_slower_is_caught():
    found = ratio(project(times=6), throughput())
    assert "projection takes" in (verdict("projection", found) or "")


if __name__ == "__main__":
    for name, (work, reference) in WORK.items():
        print(f"{name:12}{ratio(work(), reference()):8.2f} (usual {USUAL[name]:.2f}, limit {SLACK * USUAL[name]:.2f})")
