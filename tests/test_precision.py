"""Everything in double precision, where JAX is told so: trainings by their types alone, environments by a step."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from safepursuit.adapters.gymnasium import PursuitEvasionVectorEnv, VectorShieldAction
from safepursuit.experiment import opponent
from safepursuit.learn import ahead
from safepursuit.learn.programs import update_program
from safepursuit.policy import HEADS
from tiny import CLOSE, TINY, few

pytestmark = pytest.mark.usefixtures("float64")


def kinds(tree):
    return {str(leaf.dtype) for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)}


@pytest.mark.wide
@pytest.mark.parametrize("method", few(HEADS, 2))
def test_a_training_of_every_method_is_in_double_precision(method):
    config = replace(TINY, method=method)
    policy, moments, multiplier, games, starts, rollout = ahead._shapes(config, opponent(config))
    key, rate = jax.random.key(0), jnp.asarray(0.0, float)
    learned = update_program(config).jitted.eval_shape(policy, moments, rollout, multiplier, key, rate, None)
    assert kinds((policy, moments, multiplier, games, starts, rollout, learned)) == {"float64"}
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), learned[:3]) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), (policy, moments, multiplier)
    )


@pytest.mark.wide
def test_environments_play_in_double_precision_and_keep_to_their_spaces():
    envs = VectorShieldAction(PursuitEvasionVectorEnv(3, opponent="random", **CLOSE))
    seen, _ = envs.reset(seed=0)
    for _ in range(2):  # the second from the state that the first has left
        seen, *_, infos = envs.step(np.ones((3, 2), np.float32))
        assert seen in envs.observation_space
        assert infos["feasible"].all()
    assert kinds(envs.unwrapped.states) == {"float64"}
