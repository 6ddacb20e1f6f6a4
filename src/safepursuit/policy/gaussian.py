"""Diagonal Gaussian actions in units of the actuator box."""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from safepursuit.policy.config import PolicyConfig
from safepursuit.policy.head import Head
from safepursuit.shapes import Keys, Scalar


class Gaussian(NamedTuple):
    """Independent normals; `mean` and `std` in half-widths of the actuator box."""

    mean: Float[Array, "2 *batch"]
    std: Float[Array, "2"]


def sample(key: Keys, distribution: Gaussian) -> Float[Array, "2 *batch"]:
    noise = jax.random.normal(key, distribution.mean.shape, distribution.mean.dtype)
    return distribution.mean + _column(distribution.std, noise) * noise


def log_prob(distribution: Gaussian, action: Float[Array, "2 *batch"]) -> Scalar:
    """Log-density of the action *as sampled*: it is not clipped, squashed or projected first (theory.md §3)."""
    std = _column(distribution.std, action)
    standard = (action - distribution.mean) / std
    return jnp.sum(-0.5 * standard**2 - jnp.log(std) - 0.5 * math.log(2 * math.pi), axis=0)


def entropy(distribution: Gaussian) -> Scalar:
    value = jnp.sum(jnp.log(distribution.std)) + math.log(2 * math.pi * math.e)
    return jnp.broadcast_to(value, distribution.mean.shape[1:])


def std(distribution: Gaussian) -> Float[Array, "2 *batch"]:
    return jnp.broadcast_to(_column(distribution.std, distribution.mean), distribution.mean.shape)


def _column(std: Float[Array, "2"], like: Float[Array, "2 *batch"]) -> Array:
    return std.reshape((2,) + (1,) * (like.ndim - 1))


class GaussianHead(Head):
    """A head that samples and scores the field `gaussian` of its distribution."""

    def sample(self, key: Keys, distribution: Any) -> Float[Array, "2 *batch"]:
        return sample(key, distribution.gaussian)

    def log_prob(self, distribution: Any, action: Float[Array, "2 *batch"]) -> Scalar:
        return log_prob(distribution.gaussian, action)

    def entropy(self, distribution: Any) -> Scalar:
        return entropy(distribution.gaussian)

    def std(self, distribution: Any) -> Float[Array, "2 *batch"]:
        return std(distribution.gaussian)


class BoundedStd(eqx.Module):
    """A learned, state-independent standard deviation that cannot leave (low, high)."""

    logit: Float[Array, "2"]
    low: float = eqx.field(static=True)
    high: float = eqx.field(static=True)

    @classmethod
    def create(cls, config: PolicyConfig) -> "BoundedStd":
        low, initial, high = config.min_std, config.initial_std, config.max_std
        share = math.log(initial / low) / math.log(high / low)
        return cls(jnp.full(2, math.log(share / (1 - share)), float), low, high)

    def __call__(self) -> Float[Array, "2"]:
        return self.low * (self.high / self.low) ** jax.nn.sigmoid(self.logit)
