"""The neural networks: an encoder for any number of discs, and the trunk behind it."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from safepursuit.game import DISC_FEATURES, EGO_FEATURES, Observation


def dense(layer: eqx.nn.Linear, x: Float[Array, "inputs *shape"], skip: int = 0) -> Float[Array, "outputs *shape"]:
    """The layer applied to the leading axis, whatever batch follows it; without its first `skip` inputs if so asked."""
    y = jnp.tensordot(layer.weight[:, skip:], x, axes=1)
    return y if layer.bias is None else y + layer.bias.reshape((-1,) + (1,) * (x.ndim - 1))


def orthogonal(key: Key[Array, ""], inputs: int, outputs: int, scale: float) -> eqx.nn.Linear:
    """A linear layer with orthogonal weights times `scale` and zero bias (usual for PPO; Huang et al. 2022)."""
    weight_key, layer_key = jax.random.split(key)
    weight = jax.nn.initializers.orthogonal(scale)(weight_key, (outputs, inputs), jnp.float32)
    layer = eqx.nn.Linear(inputs, outputs, key=layer_key, dtype=jnp.float32)
    return eqx.tree_at(lambda one: (one.weight, one.bias), layer, (weight, jnp.zeros(outputs, jnp.float32)))


class Trunk(eqx.Module):
    """Observation → features: each disc through a shared layer, summed over the discs, then a tanh network.

    The sum makes the result independent of the discs' order and of their number, so that a policy trained with two
    discs can be asked about six.
    """

    disc: eqx.nn.Linear
    layers: list[eqx.nn.Linear]

    def __init__(self, key: Key[Array, ""], hidden: tuple[int, ...], disc_width: int) -> None:
        keys = jax.random.split(key, len(hidden) + 1)
        self.disc = orthogonal(keys[0], DISC_FEATURES, disc_width, 2**0.5)
        widths = (EGO_FEATURES + disc_width, *hidden)
        self.layers = [
            orthogonal(one, inputs, outputs, 2**0.5)
            for one, inputs, outputs in zip(keys[1:], widths[:-1], widths[1:], strict=True)
        ]

    def __call__(self, observation: Observation) -> Float[Array, "features *batch"]:
        each = jnp.tanh(dense(self.disc, observation.discs))
        discs = jnp.sum(jnp.where(observation.present, each, 0), axis=1)
        # The first layer in two parts: the ego features need no gradient, and are not copied to stand beside the discs.
        first, *others = self.layers
        x = jnp.tanh(
            dense(first, discs, EGO_FEATURES) + jnp.tensordot(first.weight[:, :EGO_FEATURES], observation.ego, axes=1)
        )
        for layer in others:
            x = jnp.tanh(dense(layer, x))
        return x
