"""Where the time of a training iteration goes: each part by itself, on the states that the iteration meets.

Every part is a scan over recorded steps (rollout) or over minibatches (update), so that it runs as often and on as many
samples at once as within the iteration. All that a part computes is summed, so that XLA leaves nothing out.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from safepursuit import game as rules
from safepursuit.agents import View
from safepursuit.benchmark.clock import Pace, Report, spread
from safepursuit.benchmark.tables import Table, share
from safepursuit.benchmark.training import PLAIN, unstopped
from safepursuit.experiment import TrainConfig, opponent
from safepursuit.game import Game, GameState, Observation, RobotState
from safepursuit.learn import BarrierNetTrainer
from safepursuit.learn.rollout import Rollout
from safepursuit.learn.update import trainable
from safepursuit.policy import HEADS, Policy, Situation, situation
from turns import alternate

PARTS = {
    "rollout_game": "rollout: game",
    "rollout_network": "network",
    "rollout_survey": "survey",
    "rollout_head": "head",
    "rollout_evader": "evader",
    "rollout_other": "other",
    "update_network": "update: network",
    "update_head": "head",
    "update_other": "other",
}
"""The parts, and the heads of their columns."""


def measure(pace: Pace, report: Report) -> dict[str, Any]:
    """Of every method, on one device."""
    return {
        name: iteration_parts(
            BarrierNetTrainer(unstopped(name)), pace, lambda text, name=name: report(f"{name}, {text}")
        )
        for name in (("barriernet", PLAIN) if pace.quick else HEADS)
    }


def tables(found: dict[str, Any]) -> list[Table]:
    rows = [
        (name, f"{1e3 * row['iteration']['median']:.1f}", *(share(row["shares"][part]) for part in PARTS))
        for name, row in found.items()
    ]
    text = (
        "On one device. Each part is run by itself on the same states as in the iteration, as often, in one compiled "
        "scan, in alternation with the whole; the rest (random numbers, records, restarts, dealing of minibatches, "
        "advantages, optimiser; less the time that XLA saves by fusing the parts) is *other*. *Head*: distribution, "
        "sample, log-probability, and all of the safety layer but the survey."
    )
    return [Table("Shares of a training iteration", ("method", "iteration, ms", *PARTS.values()), rows, text)]


def iteration_parts(trainer: BarrierNetTrainer, pace: Pace, report: Report) -> dict[str, Any]:
    """Seconds per iteration and per part, as medians with quartiles, and the parts' shares of the median.

    The state of the trainer is restored.
    """
    config, policy = trainer.config, trainer.policy
    rollout, _ = _unchanged(trainer, trainer.collect_rollout)
    states = recorded_states(rollout)
    keys = jax.random.split(jax.random.key(0), config.rollout_length)
    features = jax.jit(jax.vmap(policy.features))(rollout.observation)
    samples = Samples(features, rollout.observation, rollout.situation, rollout.action)
    batches = _cut(samples, config.ppo.minibatches)
    calls: dict[str, Callable[[], Any]] = {
        "rollout_game": partial(_game, states, rollout.action, config.rules),
        "rollout_network": partial(_network, policy, rollout.observation),
        "rollout_survey": partial(_survey, states, config),
        "rollout_head": partial(_head, policy, samples, keys),
        "rollout_evader": partial(_evader, states, keys, config),
        "update_network": partial(_network_gradient, policy, batches),
        "update_head": partial(_head_gradient, policy, batches),
        "rollout": partial(_unchanged, trainer, trainer.collect_rollout),
        "update": partial(_unchanged, trainer, partial(trainer.update, rollout)),
    }
    times = alternate(calls, pace, report)
    for name in ("update_network", "update_head"):  # one pass is timed, an update makes several
        times[name] = [config.ppo.epochs * one for one in times[name]]
    seconds = {name: spread(values) for name, values in times.items()}
    iteration = spread([a + b for a, b in zip(times["rollout"], times["update"], strict=True)])
    shares = {name: one.median / iteration.median for name, one in seconds.items()}
    for phase in ("rollout", "update"):
        known = sum(value for name, value in shares.items() if name.startswith(f"{phase}_"))
        shares[f"{phase}_other"] = shares[phase] - known
    return {
        "iteration": iteration._asdict(),
        "seconds": {name: one._asdict() for name, one in seconds.items()},
        "shares": shares,
    }


class Samples(NamedTuple):
    """Inputs of the parts; axes (time, …, games) or (minibatches, …, samples)."""

    features: Float[Array, "steps features samples"]
    observation: Observation
    situation: Situation
    action: Float[Array, "steps 2 samples"]


def recorded_states(rollout: Rollout) -> GameState:
    """The games' states (time, …, games) as far as a rollout holds them; at rest, since it holds no controls."""
    where = rollout.situation
    rest = jnp.zeros_like(where.pose[:, :2])
    age = jnp.zeros(where.pose.shape[::2], jnp.int32)
    return GameState((RobotState(where.pose, rest), RobotState(where.opponent, rest)), where.scene, age)


def _unchanged(trainer: BarrierNetTrainer, do: Callable[[], Any]) -> tuple[Any, Policy]:
    """The result of `do`, and the policy after it; the state of the trainer is restored."""
    state = trainer.state
    done = do()
    policy, trainer.state = trainer.policy, state
    return done, policy


def _cut(samples: Samples, count: int) -> Samples:
    """So many minibatches of whole steps."""

    def cut(leaf):
        steps = jnp.moveaxis(leaf.reshape(count, -1, *leaf.shape[1:]), 1, -2)
        return steps.reshape(*steps.shape[:-2], -1)

    return jax.tree.map(cut, samples)


def _total(tree: Any) -> Float[Array, ""]:
    """The sum of all numbers and flags in it."""
    arrays = [leaf for leaf in jax.tree.leaves(tree) if eqx.is_array(leaf)]
    return sum((jnp.sum(leaf.astype(jnp.float32)) for leaf in arrays), jnp.zeros(()))


def _scanned(step: Callable[[Any], Any], inputs: Any) -> Float[Array, ""]:
    """The sum over `step` of every entry of the leading axis."""
    return jax.lax.scan(lambda sums, one: (sums + _total(step(one)), None), jnp.zeros(()), inputs)[0]


@partial(jax.jit, static_argnames="game")
def _game(states: GameState, controls: Float[Array, "time 2 games"], game: Game):
    """Transition, reward, and what the pursuer observes before and after."""

    def step(now):
        state, control = now
        outcome = rules.transition(state, (control, control), game)
        seen = rules.observe(state, game), rules.observe(outcome.state, game)
        reached = outcome.state.pursuer, outcome.state.evader
        return seen, reached, outcome.separation, outcome.contacts[0], rules.reward(state, outcome, game)

    return _scanned(step, (states, controls))


@jax.jit
def _network(policy: Policy, observations: Observation):
    """The actor at every step, and the critics in one pass over all of them."""
    every = jax.tree.map(lambda steps: jnp.moveaxis(steps, 0, -2), observations)
    return _scanned(policy.features, observations), policy.value(every), policy.cost_value(every)


@partial(jax.jit, static_argnames="config")
def _survey(states: GameState, config: TrainConfig):
    return _scanned(lambda state: situation(state, config.game, config.shield).around, states)


@jax.jit
def _head(policy: Policy, samples: Samples, keys: Key[Array, "time"]):
    """From features to the executed control, and what a rollout records of it."""
    head = policy.head

    def step(now):
        one, key = now
        distribution = head.distribution(one.features, one.situation)
        action = head.sample(key, distribution)
        done = head.execute(distribution, action, one.situation)
        recorded = done.control, done.intervened, done.correction, done.feasible, done.residual
        return recorded, head.log_prob(distribution, action), head.lost_gradient(distribution), head.std(distribution)

    return _scanned(step, (samples, keys))


@partial(jax.jit, static_argnames="config")
def _evader(states: GameState, keys: Key[Array, "time"], config: TrainConfig):
    evader = opponent(config)
    return _scanned(
        lambda now: evader.act(None, now[1], View(now[0], config.rules, "evader"))[0].control, (states, keys)
    )


@jax.jit
def _network_gradient(policy: Policy, batches: Samples):
    """Forward and backward through actor and critics, one pass over the minibatches."""

    def loss(learned, fixed, observation):
        whole = eqx.combine(learned, fixed)
        squares = whole.features(observation), whole.value(observation), whole.cost_value(observation)
        return _total(jax.tree.map(jnp.square, squares))

    learned, fixed = eqx.partition(policy, trainable(policy))
    return _scanned(lambda one: jax.grad(loss)(learned, fixed, one.observation), batches)


@jax.jit
def _head_gradient(policy: Policy, batches: Samples):
    """Forward and backward from the loss's terms to features and the head's parameters, one pass over the
    minibatches."""

    def loss(learned, fixed, features, one):
        head = eqx.combine(learned, fixed)
        distribution = head.distribution(features, one.situation)
        terms = head.log_prob(distribution, one.action), head.entropy(distribution), head.auxiliary_loss(distribution)
        return _total(terms)

    learned, fixed = eqx.partition(policy.head, eqx.is_inexact_array)
    gradient = jax.grad(loss, argnums=(0, 2))
    return _scanned(lambda one: gradient(learned, fixed, one.features, one), batches)
