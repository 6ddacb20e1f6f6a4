"""One robot driven by a compiled call does what the evaluated policy does."""

import jax
import numpy as np
import pytest

from safepursuit.agents import Pilot, Trained, View
from safepursuit.benchmark import situations
from safepursuit.learn import BarrierNetTrainer
from tiny import TINY, moved, outspoken

GAMES = 64


@pytest.fixture(scope="module")
def states():
    """Games at close quarters, the robots in motion, so that every number of a state matters."""
    drawn = situations.states(jax.random.key(3), TINY.game, 2, GAMES)
    noise = np.random.default_rng(0).uniform(-1, 1, (2, 2, GAMES)).astype(np.float32)
    return moved(drawn, pursuer={"control": noise[0]}, evader={"control": noise[1]})


def one(states, index, kind=np.asarray):
    return jax.tree.map(lambda leaf: kind(leaf[..., index]), states)


@pytest.fixture(scope="module")
def agent():
    return Trained(outspoken(BarrierNetTrainer(TINY).policy), TINY.shield)


@pytest.fixture(scope="module")
def pilot(agent):
    return Pilot(agent, TINY.game)


def test_it_drives_as_the_agent_does_in_many_games(agent, pilot, states):
    keys = jax.random.split(jax.random.key(0), GAMES)
    together, _ = jax.jit(lambda agent, states: agent.act(None, keys, View(states, TINY.game, "pursuer")))(
        agent, states
    )
    alone = np.stack([pilot(one(states, index)) for index in range(GAMES)], axis=-1)
    assert alone.dtype == np.float32
    np.testing.assert_allclose(alone, together.control, atol=1e-5)
    assert 0 < np.mean(together.intervened) < 1  # the safety layer had its say in some of them


def test_it_takes_arrays_of_either_kind_and_wants_numbers_of_the_right_count(pilot, states):
    np.testing.assert_array_equal(pilot(one(states, 0)), pilot(one(states, 0, jax.numpy.asarray)))
    with pytest.raises(ValueError, match=rf"one game with {pilot.discs} discs.* shape \({pilot.discs}, {GAMES}\)"):
        pilot(states)
