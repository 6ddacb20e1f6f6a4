"""A network of one's own: residual layers on the vector and the sum over the discs.

safepursuit train --plugin examples/plugins/network.py --network residual
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from safepursuit.plugins import network
from safepursuit.policy.network import dense, orthogonal


@network("residual")
class Residual(eqx.Module):
    """As the trunk, with a connection past every layer; all layers are as wide as the last one."""

    disc: eqx.nn.Linear
    first: eqx.nn.Linear
    layers: list

    def __init__(self, key, observation, config):
        keys, width = jax.random.split(key, len(config.hidden) + 2), config.hidden[-1]
        self.disc = orthogonal(keys[0], len(observation.discs), config.disc_width, 1.4)
        self.first = orthogonal(keys[1], len(observation.ego) + config.disc_width, width, 1.4)
        self.layers = [orthogonal(one, width, width, 1.4) for one in keys[2:]]

    def __call__(self, observation):
        each = jnp.tanh(dense(self.disc, observation.discs))
        discs = jnp.sum(jnp.where(observation.present, each, 0), axis=1)
        x = jnp.tanh(dense(self.first, jnp.concatenate([observation.ego, discs])))
        for layer in self.layers:
            x = x + jnp.tanh(dense(layer, x))
        return x
