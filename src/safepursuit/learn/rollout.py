"""Rollouts: many games side by side, each step recorded for the update."""

from functools import partial
from typing import Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from safepursuit.agents import Agent, Imprecise, Scripted, View
from safepursuit.compiling import ONCE, Program
from safepursuit.experiment import TrainConfig, opponent
from safepursuit.game import ROLES, Contact, GameState, Observation, collided, initial, observe, reward
from safepursuit.play import Step, play
from safepursuit.policy import Policy, Situation
from safepursuit.shapes import Control, Flag, Keys
from safepursuit.shield import Shield, Shielded

_FEW = 4096
"""Games up to which the critics evaluate all steps of a rollout in one pass."""


class Games(NamedTuple):
    """Games in progress, with return, cost and length of their current episodes."""

    state: GameState
    episode_return: Float[Array, "games"]
    episode_cost: Float[Array, "games"]
    episode_steps: Int[Array, "games"]


class Rollout(NamedTuple):
    """One record per step; axes (time, …, games)."""

    observation: Observation
    situation: Situation
    action: Float[Array, "time 2 games"]
    log_prob: Float[Array, "time games"]
    value: Float[Array, "time games"]
    next_value: Float[Array, "time games"]
    """Of the true next observation, also at a time-out; 0 after a termination."""
    reward: Float[Array, "time games"]
    cost: Float[Array, "time games"]
    """1 where the learner collided by its own motion, else 0."""
    cost_value: Float[Array, "time games"] | None
    """Of a constrained policy, as is `next_cost_value`."""
    next_cost_value: Float[Array, "time games"] | None
    terminated: Bool[Array, "time games"]
    truncated: Bool[Array, "time games"]
    captured: Bool[Array, "time games"]
    invalid: Bool[Array, "time games"]
    contact: Contact
    intervened: Bool[Array, "time games"]
    correction: Float[Array, "time games"]
    governed: Bool[Array, "time games"]
    stopped: Bool[Array, "time games"]
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
    advice: Float[Array, "time 2 games"] | None = None
    """The teacher's nominal control, where there is a teacher."""


def join_games(key: Key[Array, ""], config: TrainConfig) -> Games:
    """The games at the start of a training, each at a random age, so that their time-outs are spread."""
    start_key, age_key = jax.random.split(key)
    # As many as for a rollout, so that one program draws both; the first of them do not depend on the number.
    drawn = initial(start_key, config.game, max(config.num_envs, pool_size(config)))
    return _joined(drawn, age_key, config.num_envs, config.game.horizon)


@partial(Program, effort=ONCE, static_argnames=("count", "horizon"))
def _joined(drawn: GameState, key: Key[Array, ""], count: int, horizon: int) -> Games:
    states = jax.tree.map(lambda leaf: leaf[..., :count], drawn)
    age = jax.random.randint(key, (count,), 0, horizon)
    nothing = jnp.zeros(count)
    return Games(states._replace(step=age), nothing, nothing, jnp.zeros(count, jnp.int32))


def fresh_starts(key: Key[Array, ""], config: TrainConfig) -> GameState:
    """The starts of a rollout, drawn at once: drawing layouts at every step is too slow."""
    return initial(key, config.game, pool_size(config))


def pool_size(config: TrainConfig) -> int:
    """Starts per rollout, a multiple of the number of devices."""
    number = max(64, config.num_envs * config.rollout_length // 32)
    return number + -number % config.shares


class Sample(NamedTuple):
    """Inputs, distribution and sampled action of one step."""

    observation: Observation
    situation: Situation
    distribution: Any
    action: Float[Array, "2 *batch"]
    advice: Control | None
    """The teacher's nominal control."""


class Learner(Agent):
    """The policy in training: it samples. Its carry after a step is the `Sample`."""

    policy: Policy
    shield: Shield = eqx.field(static=True)
    teacher: Scripted | None = None

    def act(self, carry: Any, key: Keys, view: View) -> tuple[Shielded, Sample]:
        observation, where = view.observation(), view.situation(self.shield)
        distribution = self.policy.head.distribution(self.policy.features(observation), where)
        action = self.policy.head.sample(key, distribution)
        done = self.policy.head.execute(distribution, action, where)
        advice = None if self.teacher is None else self.teacher.act(None, key, view)[0].nominal
        return done, Sample(observation, where, distribution, action, advice)

    def onward(self, carry: Any, over: Flag) -> None:
        return None


@partial(jax.jit, static_argnames="config")
def collect(
    policy: Policy,
    games: Games,
    starts: GameState,
    key: Key[Array, ""],
    config: TrainConfig,
    rival: Agent | None = None,
):
    """Advance every game by `config.rollout_length` steps; returns the games and the `Rollout`.

    A game that ends continues from the next of `starts`, which are used in turn. `rival` is the opponent, by default
    the configuration's.
    """
    game, head, errors, role = config.rules, policy.head, config.errors, config.role
    me = ROLES.index(role)
    unknown = jnp.zeros(0)
    values = jax.eval_shape(_values, policy, observe(games.state, game, role))

    def keep(sums, step: Step):
        sample = step.carries[me].inner if errors is not None else step.carries[me]
        done, outcome, over = step.done[me], step.outcome, step.ended
        now = reward(step.before, outcome, game, role)
        contact = outcome.contact(role)
        cost = collided(contact).astype(now.dtype)
        total, total_cost, steps = sums[0] + now, sums[1] + cost, sums[2] + 1
        record = Rollout(
            observation=sample.observation,
            situation=sample.situation,
            action=sample.action,
            log_prob=head.log_prob(sample.distribution, sample.action),
            value=unknown,  # evaluated for all steps together, below
            next_value=unknown,
            reward=now,
            cost=cost,
            cost_value=None,
            next_cost_value=None,
            terminated=outcome.terminated,
            truncated=outcome.truncated,
            captured=outcome.captured,
            invalid=outcome.invalid,
            contact=contact,
            intervened=done.intervened,
            correction=done.correction,
            governed=done.governed,
            stopped=done.stopped,
            feasible=done.feasible,
            residual=done.residual,
            clearance=done.clearance,
            lost_gradient=head.lost_gradient(sample.distribution),
            std=jnp.mean(head.std(sample.distribution), axis=-1),
            final_return=jnp.where(over, total, 0),
            final_cost=jnp.where(over, total_cost, 0),
            final_length=jnp.where(over, steps, 0),
            advice=sample.advice,
        )
        # Time-outs are rare; at all other steps the next value is that of the next step's observation.
        at_time_out = jax.lax.cond(
            jnp.any(outcome.truncated),
            lambda: _values(policy, observe(outcome.state, game, role)),
            lambda: jax.tree.map(lambda one: jnp.zeros(one.shape, one.dtype), values),
        )
        return [jnp.where(over, 0, value) for value in (total, total_cost, steps)], (record, at_time_out)

    teacher = None if config.teacher is None else Scripted(config.teacher, None)
    learner: Agent = Learner(policy, config.shield, teacher)
    own = learner if errors is None else Imprecise(learner, errors, known_delay=config.shield.budget.delay)
    against = opponent(config) if rival is None else rival
    agents = (own, against) if role == "pursuer" else (against, own)
    keys = jax.random.split(key, config.rollout_length)
    state, *sums = games
    state, sums, (rollout, at_time_out) = play(agents, state, keys, game, keep, ledger=sums, starts=starts)
    return Games(state, *sums), _judged(policy, rollout, observe(state, game, role), at_time_out)


_Values: TypeAlias = tuple[Float[Array, "*batch"], Float[Array, "*batch"] | None]
"""Of the critic, and of a constrained policy's cost critic."""


def _values(policy: Policy, observation: Observation) -> _Values:
    return policy.value(observation), policy.cost_value(observation)


def _judged(policy: Policy, rollout: Rollout, last: Observation, at_time_out: _Values) -> Rollout:
    """The rollout with its values; `last` is the observation after its last step.

    For few games one pass over all steps is fastest; for many, step by step takes less memory and no more time.
    """
    every = jax.tree.map(lambda steps, one: jnp.concatenate([steps, one[None]]), rollout.observation, last)
    if rollout.reward.shape[-1] <= _FEW:
        every = _values(policy, jax.tree.map(lambda steps: jnp.moveaxis(steps, 0, -2), every))
    else:
        every = jax.lax.map(partial(_values, policy), every)

    def following(value, timed_out):
        return jnp.where(rollout.terminated, 0, jnp.where(rollout.truncated, timed_out, value[1:]))

    value, cost_value = jax.tree.map(lambda value: value[:-1], every)
    next_value, next_cost_value = jax.tree.map(following, every, at_time_out)
    return rollout._replace(value=value, next_value=next_value, cost_value=cost_value, next_cost_value=next_cost_value)
