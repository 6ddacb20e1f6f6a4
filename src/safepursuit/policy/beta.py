"""Independent Beta distributions on the unit square, both parameters above 1: one mode, density zero at the rim."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import betaln, digamma
from jaxtyping import Array, Float

from safepursuit.shapes import Keys, Scalar

_MOST = 100.0
"""Bound of α − 1 and β − 1: the standard deviation stays above about 0.01 at a corner, 0.035 in the middle."""

_RIM = 1e-6
"""Least distance of samples from 0 and 1, for finite logarithms."""


class Beta(NamedTuple):
    """α = 1 + a, β = 1 + b with a, b > 0."""

    a: Float[Array, "2 *batch"]
    b: Float[Array, "2 *batch"]


def from_outputs(outputs: Float[Array, "4 *batch"]) -> Beta:
    """Unbounded network outputs → parameters: a softplus that saturates at `_MOST`."""
    soft = jax.nn.softplus(outputs)
    parameters = _MOST * -jnp.expm1(-soft / _MOST) + _RIM
    return Beta(parameters[:2], parameters[2:])


def sample(key: Keys, distribution: Beta) -> Float[Array, "2 *batch"]:
    drawn = jax.random.beta(key, 1 + distribution.a, 1 + distribution.b, dtype=distribution.a.dtype)
    return jnp.clip(drawn, _RIM, 1 - _RIM)


def log_prob(distribution: Beta, action: Float[Array, "2 *batch"]) -> Scalar:
    a, b = distribution
    return jnp.sum(a * jnp.log(action) + b * jnp.log1p(-action) - betaln(1 + a, 1 + b), axis=0)


def entropy(distribution: Beta) -> Scalar:
    """Joint entropy; finite for all parameters from `from_outputs`."""
    a, b = distribution
    each = betaln(1 + a, 1 + b) - a * digamma(1 + a) - b * digamma(1 + b) + (a + b) * digamma(2 + a + b)
    return jnp.sum(each, axis=0)


def mode(distribution: Beta) -> Float[Array, "2 *batch"]:
    return distribution.a / (distribution.a + distribution.b)


def std(distribution: Beta) -> Float[Array, "2 *batch"]:
    alpha, beta = 1 + distribution.a, 1 + distribution.b
    total = alpha + beta
    return jnp.sqrt(alpha * beta / (total + 1)) / total
