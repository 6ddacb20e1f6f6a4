"""The update: several passes of minibatches over one rollout."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from safepursuit.compiling import ONCE, Program
from safepursuit.experiment import PPOConfig, TrainConfig
from safepursuit.learn.devices import mean_over_devices, moments
from safepursuit.learn.gae import Advantages, gae
from safepursuit.learn.lagrangian import Multiplier, adjusted, combined, initial
from safepursuit.learn.loss import Batch, LossTerms, ppo_loss
from safepursuit.learn.rollout import Rollout
from safepursuit.policy import Policy, build_policy


class UpdateReport(NamedTuple):
    """Means over the gradient steps that were taken."""

    terms: LossTerms
    grad_norm: Float[Array, ""]
    """Before clipping."""
    explained_variance: Float[Array, ""]
    """1 − Var(target − value)/Var(target), before the update."""
    gradient_steps: Float[Array, ""]


def optimiser(config: PPOConfig) -> optax.GradientTransformation:
    """Adam on gradients clipped by their global norm; the learning rate multiplies its output (see `learning_rate`)."""
    return optax.flatten(optax.chain(optax.clip_by_global_norm(config.max_grad_norm), optax.scale_by_adam(eps=1e-5)))


# One program: op by op, the shapes of each layer are compiled separately.
@partial(Program, effort=ONCE, static_argnames="config")
def fresh_learner(key: Key[Array, ""], config: TrainConfig) -> tuple[Policy, Any, Multiplier | None]:
    """Policy, optimiser state and multiplier at the start of a training."""
    policy = build_policy(key, config.method, config.policy, config.game, config.shield, config.role)
    moments = optimiser(config.ppo).init(eqx.filter(policy, trainable(policy)))
    return policy, moments, initial(config.ppo) if policy.head.constrained else None


def learning_rate(config: PPOConfig, progress: float) -> float:
    """The rate at a share 0 ≤ progress < 1 of the training: linear warm-up, then constant or linear decay to 0."""
    if progress < config.warmup:
        return config.learning_rate * progress / config.warmup
    left = (1 - progress) / (1 - config.warmup) if config.decay and config.warmup < 1 else 1.0
    return config.learning_rate * left


def imitation_weight(config: PPOConfig, progress: float) -> float:
    """The weight of the teacher's advice at a share of the training: it falls linearly to 0."""
    return config.imitation * max(0.0, 1 - progress / config.imitation_share)


def as_batch(rollout: Rollout, config: PPOConfig, multiplier: Multiplier | None = None) -> Batch:
    """The rollout with advantages and value targets; the axes stay (time, …, games).

    With a multiplier (and the rollout of a constrained policy) the advantage is that of reward less weighted cost.
    """

    estimate: Callable[..., Advantages] = partial(
        gae, terminated=rollout.terminated, truncated=rollout.truncated, discount=config.discount, trace=config.trace
    )

    advantage, target = estimate(rollout.reward, rollout.value, rollout.next_value)
    cost_target = None
    if multiplier is not None:
        cost_advantage, cost_target = estimate(rollout.cost, rollout.cost_value, rollout.next_cost_value)
        advantage = combined(advantage, cost_advantage, multiplier)
    return Batch(
        rollout.observation,
        rollout.situation,
        rollout.action,
        rollout.log_prob,
        advantage,
        target,
        cost_target,
        rollout.advice,
    )


def minibatches(key: Key[Array, ""], batch: Batch, count: int) -> Batch:
    """Cut a batch into `count` random minibatches of whole time steps, on a new leading axis.

    (time, …, games) → (count, …, time/count · games). Every sample is in exactly one minibatch, every game in each.
    Whole steps are dealt, because contiguous rows of games copy faster than single samples.
    """
    order = jax.random.permutation(key, batch.log_prob.shape[0]).reshape(count, -1)

    def deal(leaf):
        dealt = jnp.moveaxis(leaf[order], 1, -2)  # (count, …, time/count, games)
        return dealt.reshape(*dealt.shape[:-2], dealt.shape[-2] * dealt.shape[-1])

    return jax.tree.map(deal, batch)


@partial(jax.jit, static_argnames=("config", "axis"))
def update(
    policy: Policy,
    optimiser_state: Any,
    rollout: Rollout,
    multiplier: Multiplier | None,
    key: Key[Array, ""],
    rate: Float[Array, ""],
    imitation: Float[Array, ""] | None,
    config: PPOConfig,
    axis: str | None = None,
) -> tuple[Policy, Any, Multiplier | None, UpdateReport]:
    """Learn from one rollout; stops early once the KL divergence exceeds `config.target_kl`.

    The multiplier, None for a policy that is not constrained, moves last, by the cost of the episodes that ended. Under
    `shard_map`, with the games spread along its `axis`, all devices return the same policy.
    """
    batch = as_batch(rollout, config, multiplier)
    transform = optimiser(config)
    learned, fixed = eqx.partition(policy, trainable(policy))

    def loss(learned, sample):
        return ppo_loss(eqx.combine(learned, fixed), sample, config, axis, imitation)

    def descend(carry, sample):
        learned, optimiser_state = carry
        (_, terms), gradient = jax.value_and_grad(loss, has_aux=True)(learned, sample)
        terms, gradient = mean_over_devices((terms, gradient), axis)
        norm = optax.tree.norm(gradient)
        step, optimiser_state = transform.update(gradient, optimiser_state)
        learned = jax.tree.map(lambda value, change: value - rate * change, learned, step)
        return (learned, optimiser_state), (terms, norm)

    def turn(carry, sample):
        state, stopped, sums, taken = carry

        def unchanged(state):
            return state, jax.tree.map(jnp.zeros_like, sums)

        state, report = jax.lax.cond(stopped, unchanged, lambda state: descend(state, sample), state)
        taken = taken + jnp.where(stopped, 0, 1)
        sums = jax.tree.map(jnp.add, sums, report)
        if config.target_kl > 0:
            stopped = stopped | (report[0].kl > config.target_kl)
        return (state, stopped, sums, taken), None

    def epoch(carry, epoch_key):
        return jax.lax.scan(turn, carry, minibatches(epoch_key, batch, config.minibatches))

    zero = jnp.zeros((), batch.log_prob.dtype)
    nothing = LossTerms(*[zero] * len(LossTerms._fields)), zero
    start = (learned, optimiser_state), jnp.asarray(False), nothing, zero
    keys = jax.random.split(key, config.epochs)
    ((learned, optimiser_state), _, sums, taken), _ = jax.lax.scan(epoch, start, keys)
    terms, norm = jax.tree.map(lambda total: total / taken, sums)
    (_, residual), (_, spread) = moments(batch.target - rollout.value, axis), moments(batch.target, axis)
    report = UpdateReport(terms, norm, 1 - residual / jnp.maximum(spread, 1e-8), taken)
    policy = eqx.combine(learned, fixed)
    if policy.normalise:
        ego = jnp.moveaxis(rollout.observation.ego, 0, -1)
        devices = 1 if axis is None else jax.lax.axis_size(axis)
        samples = jnp.asarray(ego[0].size * devices, policy.normaliser.count.dtype)
        normaliser = policy.normaliser.updated(*moments(ego, axis, keep=1), samples)
        policy = eqx.tree_at(lambda one: one.normaliser, policy, normaliser)
    if multiplier is not None:
        over = (rollout.terminated | rollout.truncated).astype(batch.log_prob.dtype)
        cost, episodes = mean_over_devices((jnp.mean(rollout.final_cost), jnp.mean(over)), axis)
        multiplier = adjusted(multiplier, cost / episodes, config)
    return policy, optimiser_state, multiplier, report


def trainable(policy: Policy) -> Policy:
    """A mask of the policy's parameters: every array but the normaliser's."""
    mask = jax.tree.map(eqx.is_inexact_array, policy)
    return eqx.tree_at(lambda one: one.normaliser, mask, jax.tree.map(lambda _: False, policy.normaliser))
