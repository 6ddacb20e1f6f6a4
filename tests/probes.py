"""Tiny worlds whose values and best actions are known, played in place of the pursuit game.

A probe is a ring of a few states. Each step the policy sees which state it is in, acts, is rewarded, and moves on to
the next state, whether an episode ends there or not. What is learned from is a `Rollout` like any other, and it is
learned by `update`, as in a training.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from safepursuit.experiment import PPOConfig
from safepursuit.game import Contact, Game, Observation
from safepursuit.learn import lagrangian
from safepursuit.learn.lagrangian import Multiplier
from safepursuit.learn.rollout import Rollout
from safepursuit.learn.update import optimiser, trainable, update
from safepursuit.policy import Policy, PolicyConfig, Situation, build_policy
from safepursuit.robot import Unicycle
from safepursuit.scene import Scene
from safepursuit.shield import Shield

STEPS, WORLDS = 8, 32
HALF = 3.0
"""The arena's half-width [m]; a probe's robot stands in it and does not move."""

CONFIG = PPOConfig(discount=0.9, trace=0.95, minibatches=4, entropy=0.0, target_kl=0.0)
RATE = 1e-2

Reward = Callable[[jax.Array, jax.Array], jax.Array]


def free(state: jax.Array, control: jax.Array) -> jax.Array:
    return jnp.zeros(state.shape)


@dataclass(frozen=True)
class Probe:
    reward: Reward
    """(state, executed control) → reward of the step."""
    states: int
    terminated: tuple[bool, ...]
    """Whether an episode ends with the step from each state."""
    truncated: tuple[bool, ...]
    pose: tuple[float, float, float] = (0.0, 0.0, 0.0)
    cost: Reward = free
    """(state, executed control) → cost of the step; only for episodes of one step, whose cost it is."""


def observation(state: jax.Array) -> Observation:
    """One feature for each state; no discs."""
    ego = jax.nn.one_hot(state, 16, axis=0)
    return Observation(ego, jnp.zeros((5, 1, *state.shape)), jnp.zeros((1, *state.shape), bool))


def situation(probe: Probe, worlds: int) -> Situation:
    def wide(values):
        values = jnp.asarray(values, float)
        return jnp.broadcast_to(values[..., None], (*values.shape, worlds))

    scene = Scene(wide([HALF, HALF]), wide([[0.0], [0.0]]), wide([1.0]), jnp.zeros((1, worlds), bool))
    return Situation.survey(Shield(), Unicycle(), wide(probe.pose), wide([-2.0, -2.0, 0.0]), scene)


@partial(jax.jit, static_argnames="probe")
def play(policy: Policy, state: jax.Array, key: jax.Array, probe: Probe) -> tuple[jax.Array, Rollout]:
    """STEPS steps of all worlds."""
    terminated, truncated = jnp.asarray(probe.terminated), jnp.asarray(probe.truncated)
    where = situation(probe, state.shape[-1])
    false, zero = jnp.zeros(state.shape, bool), jnp.zeros(state.shape)

    def advance(state, key):
        seen, following = observation(state), (state + 1) % probe.states
        distribution = policy.head.distribution(policy.features(seen), where)
        action = policy.head.sample(key, distribution)
        done = policy.head.execute(distribution, action, where)
        cost = probe.cost(state, done.control)
        record = Rollout(
            observation=seen,
            situation=where,
            action=action,
            log_prob=policy.head.log_prob(distribution, action),
            value=policy.value(seen),
            next_value=policy.value(observation(following)),
            reward=probe.reward(state, done.control),
            cost=cost,
            cost_value=policy.cost_value(seen),
            next_cost_value=policy.cost_value(observation(following)),
            terminated=terminated[state],
            truncated=truncated[state],
            captured=false,
            invalid=false,
            contact=Contact(false, false, false),
            intervened=done.intervened,
            correction=done.correction,
            governed=done.governed,
            stopped=done.stopped,
            feasible=done.feasible,
            residual=done.residual,
            clearance=done.clearance,
            lost_gradient=policy.head.lost_gradient(distribution),
            std=jnp.mean(policy.head.std(distribution), axis=-1),
            final_return=zero,
            final_cost=jnp.where(terminated[state] | truncated[state], cost, 0),
            final_length=jnp.zeros(state.shape, jnp.int32),
        )
        return following, record

    return jax.lax.scan(advance, state, jax.random.split(key, STEPS))


def fresh_policy(method: str = "ppo", **changes) -> Policy:
    config = PolicyConfig(hidden=(16,), disc_width=2, **changes)
    return build_policy(jax.random.key(0), method, config, Game(robot=Unicycle()), Shield())


class Lesson(NamedTuple):
    """Where a training stands after an update, and the rollout that the update was made from."""

    policy: Policy
    multiplier: Multiplier | None
    rollout: Rollout


def lessons(
    policy: Policy,
    probe: Probe,
    updates: int,
    seed: int = 0,
    config: PPOConfig = CONFIG,
    rewrite: Callable[[Rollout], Rollout] = lambda one: one,
) -> Iterator[Lesson]:
    """One update after another, at a rate that falls linearly; `rewrite` may tamper with the rollouts."""
    state = jnp.arange(WORLDS) % probe.states
    adam = optimiser(config).init(eqx.filter(policy, trainable(policy)))
    multiplier = lagrangian.initial(config) if policy.head.constrained else None
    for number in range(updates):
        play_key, update_key = jax.random.split(jax.random.fold_in(jax.random.key(seed), number))
        state, rollout = play(policy, state, play_key, probe)
        rate = jnp.asarray(RATE * (1 - number / updates), jnp.float32)
        policy, adam, multiplier, _ = update(policy, adam, rewrite(rollout), multiplier, update_key, rate, None, config)
        yield Lesson(policy, multiplier, rollout)


def learn(policy: Policy, probe: Probe, updates: int, **settings) -> Policy:
    """The policy after this many updates."""
    for lesson in lessons(policy, probe, updates, **settings):
        policy = lesson.policy
    return policy


@partial(jax.jit, static_argnames="states")
def values(policy: Policy, states: int) -> jax.Array:
    """What the policy thinks each state is worth."""
    return policy.value(observation(jnp.arange(states)))


@partial(jax.jit, static_argnames="probe")
def deployed(policy: Policy, probe: Probe) -> jax.Array:
    """The deterministic control (2, states) in each state."""
    where = situation(probe, probe.states)
    distribution = policy.head.distribution(policy.features(observation(jnp.arange(probe.states))), where)
    return policy.head.deploy(distribution, where).control
