"""PPO's loss for any head."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from safepursuit.experiment import PPOConfig
from safepursuit.game import Observation
from safepursuit.learn.devices import mean_over_devices
from safepursuit.policy import Policy, Situation
from safepursuit.shapes import Control, Scalar


class Batch(NamedTuple):
    """Training samples; batch on trailing axes."""

    observation: Observation
    situation: Situation
    action: Float[Array, "2 *batch"]
    """As sampled."""
    log_prob: Scalar
    """Of `action`, under the policy that sampled it."""
    advantage: Scalar
    target: Scalar
    cost_target: Scalar | None
    """For a constrained policy's cost critic."""
    advice: Control | None = None
    """The teacher's nominal control."""


class LossTerms(NamedTuple):
    policy_loss: Float[Array, ""]
    value_loss: Float[Array, ""]
    cost_value_loss: Float[Array, ""]
    """Of a constrained policy's cost critic; else 0."""
    entropy: Float[Array, ""]
    penalty: Float[Array, ""]
    """The head's auxiliary loss."""
    imitation: Float[Array, ""]
    """Squared distance from the teacher's control in half-widths of the actuator box; 0 without a teacher."""
    kl: Float[Array, ""]
    """Estimate of KL(old ‖ new), mean of r − 1 − log r (Schulman 2020)."""
    clip_fraction: Float[Array, ""]


def ppo_loss(
    policy: Policy,
    batch: Batch,
    config: PPOConfig,
    axis: str | None = None,
    imitation: Float[Array, ""] | None = None,
) -> tuple[Float[Array, ""], LossTerms]:
    """The loss to minimise, and its parts.

    −E[min(ρÂ, clip(ρ, 1 ± ε)Â)] + c_v ½E[(V − target)²] − c_e E[entropy] + E[auxiliary] + w E[‖μ − teacher‖²]

    Advantages are standardised over the batch (with `axis`, over the batches of all devices along it; the loss stays
    this device's). w = `imitation`, with the nominal control μ and the teacher's in half-widths of the actuator box:
    kickstarting (Schmitt et al. 2018), with a distance in place of the cross-entropy. The cost critic of a constrained
    policy has the critic's loss. The head that sampled rebuilds the distribution, so that
    BarrierNet's gradient passes through the quadratic program.
    """
    distribution = policy.head.distribution(policy.features(batch.observation), batch.situation)
    log_ratio = policy.head.log_prob(distribution, batch.action) - batch.log_prob
    ratio = jnp.exp(log_ratio)
    centred = batch.advantage - mean_over_devices(jnp.mean(batch.advantage), axis)
    advantage = centred / (jnp.sqrt(mean_over_devices(jnp.mean(centred**2), axis)) + 1e-8)
    clipped = jnp.clip(ratio, 1 - config.clip, 1 + config.clip)
    policy_loss = -jnp.mean(jnp.minimum(ratio * advantage, clipped * advantage))
    value_loss = 0.5 * jnp.mean((policy.value(batch.observation) - batch.target) ** 2)
    cost_value = policy.cost_value(batch.observation)
    cost_value_loss = jnp.zeros_like(value_loss)
    if cost_value is not None and batch.cost_target is not None:
        cost_value_loss = 0.5 * jnp.mean((cost_value - batch.cost_target) ** 2)
    entropy = jnp.mean(policy.head.entropy(distribution))
    penalty = jnp.mean(policy.head.auxiliary_loss(distribution))
    apart = jnp.zeros_like(value_loss)
    if batch.advice is not None:
        robot, velocity = policy.head.robot, batch.situation.around.velocity
        own, advised = (robot.to_unit_box(one, velocity) for one in (policy.head.nominal(distribution), batch.advice))
        apart = jnp.mean(jnp.sum((own - advised) ** 2, axis=0))
    terms = LossTerms(
        policy_loss=policy_loss,
        value_loss=value_loss,
        cost_value_loss=cost_value_loss,
        entropy=entropy,
        penalty=penalty,
        imitation=apart,
        kl=jnp.mean(ratio - 1 - log_ratio),
        clip_fraction=jnp.mean((jnp.abs(ratio - 1) > config.clip).astype(ratio.dtype)),
    )
    critics = config.value * (value_loss + cost_value_loss)
    loss = policy_loss + critics - config.entropy * entropy + penalty
    return loss if imitation is None else loss + imitation * apart, terms
