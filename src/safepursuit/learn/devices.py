"""Means over the devices that share a computation, by the name of the axis along which it is spread (None: one)."""

from typing import TypeVar

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

Tree = TypeVar("Tree")


def devices(axis: str | None) -> int:
    """How many devices share the work along the axis, inside `shard_map`; one without it."""
    return 1 if axis is None else jax.lax.axis_size(axis)


def mean_over_devices(tree: Tree, axis: str | None) -> Tree:
    """The mean of every array over the devices along the axis, inside `shard_map`; the same tree without it."""
    if axis is None:
        return tree
    joined, separate = ravel_pytree(tree)  # one message instead of one for each array
    return separate(jax.lax.pmean(joined, axis))


def moments(values: Float[Array, "..."], axis: str | None, keep: int = 0) -> tuple[Array, Array]:
    """Mean and variance over all but the first `keep` axes, and over the devices along `axis`."""
    over = tuple(range(keep, values.ndim))
    mean = mean_over_devices(jnp.mean(values, axis=over, keepdims=True), axis)
    variance = mean_over_devices(jnp.mean((values - mean) ** 2, axis=over), axis)
    return mean.reshape(variance.shape), variance
