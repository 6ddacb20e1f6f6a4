"""Running mean and variance of the observations, a part of the policy."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from safepursuit.game import Observation

_LIMIT = 5.0


class Normaliser(eqx.Module):
    """Standardises the ego features; the discs' features have a fixed scale and pass unchanged.

    Constant during a rollout and its update, so that old and new probabilities are comparable.
    """

    mean: Float[Array, "features"]
    variance: Float[Array, "features"]
    count: Float[Array, ""]

    def __init__(self, features: int) -> None:
        self.mean = jnp.zeros(features, float)
        self.variance = jnp.ones(features, float)
        self.count = jnp.asarray(0.0, float)

    def __call__(self, observation: Observation) -> Observation:
        shape = (-1,) + (1,) * (observation.ego.ndim - 1)
        scale = 1 / jnp.sqrt(self.variance + 1e-4)
        ego = (observation.ego - self.mean.reshape(shape)) * scale.reshape(shape)
        return observation._replace(ego=jnp.clip(ego, -_LIMIT, _LIMIT))

    def updated(
        self, mean: Float[Array, "features"], variance: Float[Array, "features"], size: Float[Array, ""]
    ) -> "Normaliser":
        """With `size` samples of this mean and variance merged in (Chan, Golub & LeVeque 1983)."""
        total = self.count + size
        shift = mean - self.mean
        merged = (self.variance * self.count + variance * size + shift**2 * self.count * size / total) / total
        values = (self.mean + shift * size / total, merged, total)
        return eqx.tree_at(lambda one: (one.mean, one.variance, one.count), self, values)
