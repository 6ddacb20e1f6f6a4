"""One tiny training run, shared by the test modules: what is compiled for it once serves them all."""

import copy

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from safepursuit.agents import Scripted, View
from safepursuit.experiment import PPOConfig, TrainConfig
from safepursuit.game import Game
from safepursuit.policy import PolicyConfig
from safepursuit.scene import Arena

GAMES, STEPS, HORIZON, ITERATIONS = 4, 8, 12, 5

TINY = TrainConfig(
    timesteps=GAMES * STEPS * ITERATIONS,
    num_envs=GAMES,
    rollout_length=STEPS,
    seed=7,
    checkpoint_every=2,
    game=Game(Arena(half_extents=(3.0, 3.0), radius_range=(0.3, 0.5)), horizon=HORIZON, start_distance=(0.51, 0.8)),
    policy=PolicyConfig(hidden=(8,), disc_width=4),
    ppo=PPOConfig(minibatches=2, epochs=2),
)
"""Short episodes at close quarters: every rollout sees captures, time-outs and restarts."""

CLOSE = {
    "half_extents": (2.5, 2.0),
    "radius_range": (0.3, 0.5),
    "start_distance": (0.51, 0.7),
    "evader_speed_ratio": 0.3,
    "horizon": 40,
}
"""Keywords of environments: captures, time-outs and collisions within seconds."""


def moved(state, **robots):
    """The state with fields of its robots replaced: `moved(state, evader={"pose": …})`."""
    for role, changes in robots.items():
        state = state.with_robot(role, **changes)
    return state


def evader_control(names, key, state, game, shield):
    """What scripted evaders do."""
    return Scripted(names, shield).act(None, key, View(state, game, "evader"))[0].control


def outspoken(policy, scale=1.0, seed=9):
    """The same policy with random weights in the last layer of its actor: a fresh one all but says nothing."""
    weight = policy.head.layer.weight
    noise = scale * jax.random.normal(jax.random.key(seed), weight.shape, weight.dtype)
    return eqx.tree_at(lambda one: one.head.layer.weight, policy, noise)


def aimed(policy, nominal):
    """The same policy asking for these two numbers (half-widths of the actuator box) whatever it sees.

    The last layer's first two outputs are the mean, for every head.
    """
    layer = policy.head.layer
    weight, bias = layer.weight.at[:2].set(0), layer.bias.at[:2].set(jnp.asarray(nominal))
    return eqx.tree_at(lambda one: (one.head.layer.weight, one.head.layer.bias), policy, (weight, bias))


def few(values, count=1):
    """Parameters of a test: `make test` tries the first ones, `make test-wide` the others."""
    values = list(values)
    return [*values[:count], *(pytest.param(one, marks=pytest.mark.wide) for one in values[count:])]


def after(count):
    """Says stop once it has been asked this many times."""
    asked = iter(range(count))
    return lambda: next(asked, None) is None


def numbers(state):
    """Everything that decides how a training goes on, by name: all but the seconds it took."""
    for path, leaf in jax.tree_util.tree_flatten_with_path(state._replace(seconds=0.0))[0]:
        is_key = isinstance(leaf, jax.Array) and jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        yield jax.tree_util.keystr(path), np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def checked(config, **fields):
    """What a configuration's own checks say of these fields: while tests run, types refuse many of them first."""
    other = copy.copy(config)
    for name, value in fields.items():
        object.__setattr__(other, name, value)
    other.__post_init__()
    return other
