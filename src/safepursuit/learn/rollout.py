"""Playing: many games side by side, each step recorded as the learner needs it."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from safepursuit import game as rules
from safepursuit.compiling import ONCE, Program
from safepursuit.experiment import TrainConfig
from safepursuit.game import Contact, GameState, Observation
from safepursuit.learn.opponent import evader_control
from safepursuit.policy import Policy, Situation, situation

_FEW = 4096
"""Games up to which the critics look at all steps of a rollout at once."""


class Players(NamedTuple):
    """The games in progress, and what has been scored in their current episodes."""

    state: GameState
    episode_return: Float[Array, "games"]
    episode_cost: Float[Array, "games"]
    episode_steps: Int[Array, "games"]


class Rollout(NamedTuple):
    """One record a step; axes (time, …, games)."""

    observation: Observation
    situation: Situation
    action: Float[Array, "time 2 games"]
    log_prob: Float[Array, "time games"]
    value: Float[Array, "time games"]
    next_value: Float[Array, "time games"]
    """Of the true next observation, also at a time-out; 0 after a termination, where nothing follows."""
    reward: Float[Array, "time games"]
    cost: Float[Array, "time games"]
    """1 where the pursuer collided by its own motion, else 0."""
    cost_value: Float[Array, "time games"] | None
    """Of a constrained policy, as is `next_cost_value`."""
    next_cost_value: Float[Array, "time games"] | None
    terminated: Bool[Array, "time games"]
    truncated: Bool[Array, "time games"]
    captured: Bool[Array, "time games"]
    contact: Contact
    intervened: Bool[Array, "time games"]
    correction: Float[Array, "time games"]
    feasible: Bool[Array, "time games"]
    residual: Float[Array, "time games"]
    clearance: Float[Array, "time games"]
    lost_gradient: Bool[Array, "time games"]
    std: Float[Array, "time 2"]
    """Exploration noise of speed and turn rate in half-widths, mean over the games."""
    final_return: Float[Array, "time games"]
    """Undiscounted return of the episode that ended in this step; 0 elsewhere."""
    final_cost: Float[Array, "time games"]
    """Its cost; 0 elsewhere."""
    final_length: Int[Array, "time games"]
    """Its length in steps; 0 elsewhere."""


def join_games(key: Key[Array, ""], config: TrainConfig) -> Players:
    """The games as a training finds them: each at a random age, so that their time-outs do not fall together."""
    start_key, age_key = jax.random.split(key)
    # As many are drawn as for a rollout, so that one program does for both; the first of them are the same.
    drawn = rules.initial(start_key, config.game, max(config.num_envs, pool_size(config)))
    return _joined(drawn, age_key, config)


@partial(Program, effort=ONCE, static_argnames="config")
def _joined(drawn: GameState, key: Key[Array, ""], config: TrainConfig) -> Players:
    states = jax.tree.map(lambda leaf: leaf[..., : config.num_envs], drawn)
    age = jax.random.randint(key, (config.num_envs,), 0, config.game.horizon)
    nothing = jnp.zeros(config.num_envs)
    return Players(states._replace(step=age), nothing, nothing, jnp.zeros(config.num_envs, jnp.int32))


def fresh_starts(key: Key[Array, ""], config: TrainConfig) -> GameState:
    """The starts a rollout may need, drawn at once: random numbers for a layout are too dear to draw at every step."""
    return rules.initial(key, config.game, pool_size(config))


def pool_size(config: TrainConfig) -> int:
    """How many starts are drawn at a time: a multiple of the devices."""
    number = max(64, config.num_envs * config.rollout_length // 32)
    return number + -number % config.shares


@partial(jax.jit, static_argnames="config")
def play(policy: Policy, players: Players, starts: GameState, key: Key[Array, ""], config: TrainConfig):
    """Advance every game by `config.rollout_length` steps; returns the games and the `Rollout`.

    A game that ends goes on from the next of `starts` (used in turn).
    """
    pool = starts.step.shape[-1]
    game, evaders = config.rules, config.lineup
    evader_shield = config.shield if config.evader_shielded else None
    unknown = jnp.zeros(0)

    def advance(carry, step_key):
        players, used, observation = carry
        action_key, evader_key = jax.random.split(step_key)
        state = players.state
        where = situation(state, game.robot, config.shield)
        distribution = policy.head.distribution(policy.features(observation), where)
        action = policy.head.sample(action_key, distribution)
        done = policy.head.execute(distribution, action, where)
        fled = evader_control(evaders, evader_key, state, game, evader_shield)
        outcome = rules.transition(state, done.control, fled, game)
        reward = rules.reward(state, outcome, game)
        cost = rules.collided(outcome.pursuer_contact).astype(reward.dtype)
        over = outcome.terminated | outcome.truncated
        total = players.episode_return + reward
        total_cost = players.episode_cost + cost
        steps = players.episode_steps + 1
        record = Rollout(
            observation=observation,
            situation=where,
            action=action,
            log_prob=policy.head.log_prob(distribution, action),
            value=unknown,  # the critics look at all steps together, below
            next_value=unknown,
            reward=reward,
            cost=cost,
            cost_value=None,
            next_cost_value=None,
            terminated=outcome.terminated,
            truncated=outcome.truncated,
            captured=outcome.captured,
            contact=outcome.pursuer_contact,
            intervened=done.intervened,
            correction=done.correction,
            feasible=done.feasible,
            residual=done.residual,
            clearance=done.clearance,
            lost_gradient=policy.head.lost_gradient(distribution),
            std=jnp.mean(policy.head.std(distribution), axis=-1),
            final_return=jnp.where(over, total, 0),
            final_cost=jnp.where(over, total_cost, 0),
            final_length=jnp.where(over, steps, 0),
        )
        index = (used + jnp.cumsum(over) - 1) % pool
        following = jax.tree.map(lambda new, old: jnp.where(over, new[..., index], old), starts, outcome.state)
        sums = (jnp.where(over, 0, value) for value in (total, total_cost, steps))
        # Time-outs are rare; at all other steps the next value is that of the next step's observation.
        at_time_out = jax.lax.cond(
            jnp.any(outcome.truncated),
            lambda: _values(policy, rules.observe(outcome.state, game)),
            lambda: jax.tree.map(lambda one: jnp.zeros(one.shape, one.dtype), values),
        )
        carry = (Players(following, *sums), used + jnp.sum(over), rules.observe(following, game))
        return carry, (record, at_time_out)

    observation = rules.observe(players.state, game)
    values = jax.eval_shape(_values, policy, observation)
    keys = jax.random.split(key, config.rollout_length)
    (players, _, observation), (rollout, at_time_out) = jax.lax.scan(
        advance, (players, jnp.asarray(0), observation), keys
    )
    return players, _judged(policy, rollout, observation, at_time_out)


class _Values(NamedTuple):
    """What the critics of a policy say; the second only of a constrained one."""

    value: Float[Array, "*batch"]
    cost_value: Float[Array, "*batch"] | None


def _values(policy: Policy, observation: Observation) -> _Values:
    return _Values(policy.value(observation), policy.cost_value(observation))


def _judged(policy: Policy, rollout: Rollout, last: Observation, at_time_out: _Values) -> Rollout:
    """The rollout with its values: one pass over all its steps, which is quicker than a small one at each.

    Where a step is large by itself, one after the other takes less memory and no longer. `last` is the observation that
    a further step would start from.
    """
    every = jax.tree.map(lambda steps, one: jnp.concatenate([steps, one[None]]), rollout.observation, last)
    if rollout.reward.shape[-1] <= _FEW:
        every = _values(policy, jax.tree.map(lambda steps: jnp.moveaxis(steps, 0, -2), every))
    else:
        every = jax.lax.map(partial(_values, policy), every)

    def following(value, timed_out):
        return jnp.where(rollout.terminated, 0, jnp.where(rollout.truncated, timed_out, value[1:]))

    now, then = jax.tree.map(lambda value: value[:-1], every), jax.tree.map(following, every, at_time_out)
    return rollout._replace(
        value=now.value, next_value=then.value, cost_value=now.cost_value, next_cost_value=then.cost_value
    )
