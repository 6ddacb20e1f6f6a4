"""Diagonal Gaussian actions in units of the actuator box, and the head of plain PPO."""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from safepursuit import robot as motion
from safepursuit import shield as safety
from safepursuit.policy.config import PolicyConfig
from safepursuit.policy.head import Head, Situation
from safepursuit.policy.network import dense, orthogonal
from safepursuit.robot import Unicycle
from safepursuit.shapes import Control, Flag, Keys, Scalar
from safepursuit.shield import Shield, Shielded


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


def _column(std: Float[Array, "2"], like: Float[Array, "2 *batch"]) -> Array:
    return std.reshape((2,) + (1,) * (like.ndim - 1))


class BoundedStd(eqx.Module):
    """A learned, state-independent standard deviation that cannot leave (low, high)."""

    logit: Float[Array, "2"]
    low: float = eqx.field(static=True)
    high: float = eqx.field(static=True)

    @classmethod
    def create(cls, config: PolicyConfig) -> "BoundedStd":
        low, initial, high = config.min_std, config.initial_std, config.max_std
        share = math.log(initial / low) / math.log(high / low)
        return cls(jnp.full(2, math.log(share / (1 - share)), jnp.float32), low, high)

    def __call__(self) -> Float[Array, "2"]:
        return self.low * (self.high / self.low) ** jax.nn.sigmoid(self.logit)


class GaussianHead(Head):
    """Plain PPO: a Gaussian about the network's output, cut off at the actuator limits. No safety layer.

    Convention: the log-probability is that of the sample before it is cut off.
    """

    layer: eqx.nn.Linear
    spread: BoundedStd
    robot: Unicycle = eqx.field(static=True)
    shield: Shield = eqx.field(static=True)

    @classmethod
    def create(
        cls, key: Key[Array, ""], features: int, config: PolicyConfig, robot: Unicycle, shield: Shield
    ) -> "GaussianHead":
        return cls(orthogonal(key, features, 2, 0.01), BoundedStd.create(config), robot, shield)

    def distribution(self, features: Float[Array, "features *batch"], situation: Situation) -> Gaussian:
        return Gaussian(dense(self.layer, features), self.spread())

    def sample(self, key: Keys, distribution: Gaussian) -> Float[Array, "2 *batch"]:
        return sample(key, distribution)

    def log_prob(self, distribution: Gaussian, action: Float[Array, "2 *batch"]) -> Scalar:
        return log_prob(distribution, action)

    def entropy(self, distribution: Gaussian) -> Scalar:
        return entropy(distribution)

    def std(self) -> Float[Array, "2"]:
        return self.spread()

    def execute(self, distribution: Gaussian, action: Float[Array, "2 *batch"], situation: Situation) -> Shielded:
        return self.project(motion.from_unit_box(self.robot, action), situation)

    def project(self, nominal: Control, situation: Situation) -> Shielded:
        return safety.unfiltered(nominal, situation.around, robot=self.robot)

    def deploy(self, distribution: Gaussian, situation: Situation) -> Shielded:
        return self.project(self.nominal(distribution), situation)

    def nominal(self, distribution: Gaussian) -> Control:
        return motion.from_unit_box(self.robot, distribution.mean)

    def auxiliary_loss(self, distribution: Gaussian) -> Scalar:
        return jnp.zeros(distribution.mean.shape[1:], distribution.mean.dtype)

    def lost_gradient(self, distribution: Gaussian) -> Flag:
        return jnp.zeros(distribution.mean.shape[1:], bool)
