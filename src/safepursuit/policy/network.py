"""The neural networks: an encoder for any number of discs, and the trunk behind it."""

from collections.abc import Callable
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from safepursuit.game import Observation
from safepursuit.policy.config import PolicyConfig
from safepursuit.registry import Registry


def dense(layer: eqx.nn.Linear, x: Float[Array, "inputs *shape"], skip: int = 0) -> Float[Array, "outputs *shape"]:
    """The layer applied to the leading axis, without its first `skip` inputs."""
    y = jnp.tensordot(layer.weight[:, skip:], x, axes=1)
    return y if layer.bias is None else y + layer.bias.reshape((-1,) + (1,) * (x.ndim - 1))


def orthogonal(key: Key[Array, ""], inputs: int, outputs: int, scale: float) -> eqx.nn.Linear:
    """A linear layer with orthogonal weights times `scale` and zero bias (as usual in PPO; Huang et al. 2022)."""
    weight_key, layer_key = jax.random.split(key)
    weight = jax.nn.initializers.orthogonal(scale)(weight_key, (outputs, inputs), float)
    layer = eqx.nn.Linear(inputs, outputs, key=layer_key, dtype=float)
    return eqx.tree_at(lambda one: (one.weight, one.bias), layer, (weight, jnp.zeros(outputs, float)))


class Trunk(eqx.Module):
    """Each disc through a shared layer, summed over the discs, then a tanh network.

    The sum makes the result independent of the discs' order, and defined for any number of them. Without discs the
    vector alone goes through the tanh network.
    """

    disc: eqx.nn.Linear | None
    layers: list[eqx.nn.Linear]

    def __init__(self, key: Key[Array, ""], observation: Observation, config: PolicyConfig) -> None:
        keys = jax.random.split(key, len(config.hidden) + 1)
        features, disc_features = observation.ego.shape[0], observation.discs.shape[0]
        self.disc = orthogonal(keys[0], disc_features, config.disc_width, 2**0.5) if disc_features else None
        widths = (features + (config.disc_width if disc_features else 0), *config.hidden)
        self.layers = [
            orthogonal(one, inputs, outputs, 2**0.5)
            for one, inputs, outputs in zip(keys[1:], widths[:-1], widths[1:], strict=True)
        ]

    def __call__(self, observation: Observation) -> Float[Array, "features *batch"]:
        first, *others = self.layers
        ego = len(observation.ego)
        # In two parts, without a copy of the ego features, which need no gradient.
        x = jnp.tensordot(first.weight[:, :ego], observation.ego, axes=1)
        if self.disc is not None:
            each = jnp.tanh(dense(self.disc, observation.discs))
            discs = jnp.sum(jnp.where(observation.present, each, 0), axis=1)
            x = dense(first, discs, ego) + x
        else:
            x = x + first.bias.reshape((-1,) + (1,) * (x.ndim - 1))  # type: ignore[union-attr]
        x = jnp.tanh(x)
        for layer in others:
            x = jnp.tanh(dense(layer, x))
        return x


Network: TypeAlias = Callable[[Observation], Float[Array, "features *batch"]]
"""Observation → features; an Equinox module."""

NETWORKS: Registry[Callable[..., Network]] = Registry("network", trunk=Trunk)
"""Constructors of networks by name, called as `Trunk`: (key, observation, config); `observation` holds shapes."""
