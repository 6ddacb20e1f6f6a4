"""Means over devices; `axis` names the mesh axis along which a computation is spread (None: one device)."""

from typing import TypeVar

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

Tree = TypeVar("Tree")


def mean_over_devices(tree: Tree, axis: str | None) -> Tree:
    """The mean of every array over the devices along `axis`, inside `shard_map`; without an axis, `tree` itself."""
    if axis is None:
        return tree
    joined, separate = ravel_pytree(tree)  # one message instead of one per array
    return separate(jax.lax.pmean(joined, axis))


def moments(values: Float[Array, "..."], axis: str | None, keep: int = 0) -> tuple[Array, Array]:
    """Mean and variance over all but the first `keep` axes, and over the devices along `axis`."""
    over = tuple(range(keep, values.ndim))
    mean = mean_over_devices(jnp.mean(values, axis=over, keepdims=True), axis)
    variance = mean_over_devices(jnp.mean((values - mean) ** 2, axis=over), axis)
    return mean.reshape(variance.shape), variance
