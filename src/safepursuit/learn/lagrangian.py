"""A limit on collisions by a Lagrange multiplier (Altman 1999; PPO-Lagrangian: Ray, Achiam & Amodei 2019).

    max_π min_{λ ≥ 0}  J(π) − λ (J_C(π) − d)

The policy ascends the advantage of r − λc; the multiplier rises while an episode costs more than d = `cost_limit` on
average and falls while it costs less, never below 0. The cost of a step is 1 where the pursuer collides by its own
motion, else 0. The limit holds in expectation, if the training converges; it bounds no single step.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from safepursuit.experiment import PPOConfig


class Multiplier(NamedTuple):
    value: Float[Array, ""]
    """λ ≥ 0, in units of return per unit of cost."""
    moments: Any
    """Adam's."""


def initial(config: PPOConfig) -> Multiplier:
    value = jnp.asarray(config.multiplier, float)
    return Multiplier(value, optax.scale_by_adam().init(value))


def adjusted(multiplier: Multiplier, episode_cost: Float[Array, ""], config: PPOConfig) -> Multiplier:
    """One step of Adam along J_C − d, cut off at 0. NaN (no episode ended) changes nothing."""
    known = jnp.isfinite(episode_cost)
    slope = (jnp.where(known, episode_cost, 0) - config.cost_limit).astype(multiplier.value.dtype)
    step, moments = optax.scale_by_adam().update(slope, multiplier.moments)
    value = jnp.maximum(multiplier.value + config.multiplier_rate * step, 0)
    moved = Multiplier(value, moments)
    return Multiplier(*optax.tree.where(known, moved, multiplier))


def combined(
    advantage: Float[Array, "*shape"], cost_advantage: Float[Array, "*shape"], multiplier: Multiplier
) -> Float[Array, "*shape"]:
    """Advantage of r − λc, divided by 1 + λ so that its size stays about the same."""
    return (advantage - multiplier.value * cost_advantage) / (1 + multiplier.value)
