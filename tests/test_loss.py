"""The loss: its gradient passes through the quadratic program, and its terms are what their names say."""

import math
from dataclasses import replace
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy import stats

import reference
from safepursuit import shield as safety
from safepursuit.experiment import PPOConfig
from safepursuit.game import Game, Observation
from safepursuit.learn import ppo_loss
from safepursuit.learn.loss import Batch
from safepursuit.learn.update import trainable
from safepursuit.policy import HEADS, Situation, build_policy, gaussian
from safepursuit.policy.gaussian import BoundedStd, Gaussian
from safepursuit.scene import Scene
from safepursuit.shield import Shield
from tiny import TINY, aimed, few, outspoken

pytestmark = pytest.mark.usefixtures("float64")

ROBOT, SHIELD = TINY.game.robot, Shield()
CONFIG = PPOConfig(entropy=0.01)
PENALTY = 0.3


def build(method="barriernet", seed=0, penalty=PENALTY, **changes):
    """A policy in double precision, its output layer large enough to matter."""
    config = replace(TINY.policy, penalty=penalty, **changes)
    policy = build_policy(jax.random.key(seed), method, config, Game(robot=ROBOT), SHIELD)
    policy = outspoken(policy, 0.15, seed + 1)
    return jax.tree.map(lambda leaf: leaf.astype(float) if eqx.is_inexact_array(leaf) else leaf, policy)


def observations(count, seed=3):
    rng = np.random.default_rng(seed)
    ego, discs = rng.uniform(-1, 1, (16, count)), rng.uniform(-1, 1, (5, 1, count))
    return Observation(jnp.asarray(ego), jnp.asarray(discs), jnp.ones((1, count), bool))


survey = jax.jit(partial(Situation.survey, SHIELD, ROBOT))


def situations(x, heading):
    """At (x, 0) in an arena of 6 m × 6 m: the wall ahead, at x = 3, is the only thing that can matter."""
    x, heading = np.broadcast_arrays(np.asarray(x, float), heading)
    count = x.shape[0]
    pose = jnp.asarray(np.stack([x, np.zeros(count), heading]))
    scene = Scene(
        jnp.full((2, count), 3.0), jnp.full((2, 1, count), -2.0), jnp.full((1, count), 0.3), jnp.ones((1, count), bool)
    )
    return survey(pose, -pose, scene)


AHEAD = np.array([0.25, -0.35, 0.5, -0.6])
"""Oblique headings, so that the wall's row has a turn in it too."""


def at_the_wall():
    """The virtual control point, 0.1 m ahead, is 10 to 20 mm short of where theorem 2 stops it: half speed (25 mm a
    step) is too fast for any gain."""
    return situations(3.0 - 0.15 - 0.1 * np.cos(AHEAD) - np.array([0.010, 0.015, 0.020, 0.012]), AHEAD)


def in_the_open():
    return situations([0.0, 0.5, 1.0, 1.5], AHEAD)


def first(where, count=1):
    return jax.tree.map(lambda leaf: leaf[..., :count], where)


@eqx.filter_jit
def distribute(policy, seen, where):
    return policy.head.distribution(policy.features(seen), where)


def batch(policy, where, seed=5):
    """Samples of a slightly different policy, so that ratios are near but not at 1."""
    rng = np.random.default_rng(seed)
    seen = observations(4)
    distribution = distribute(policy, seen, where)
    action = distribution.gaussian.mean + 0.4 * jnp.asarray(rng.normal(size=(2, 4)))
    log_prob = policy.head.log_prob(distribution, action) + jnp.asarray(rng.uniform(-0.1, 0.1, 4))
    advantage, target = jnp.asarray([1.5, -0.5, 0.7, -1.2]), jnp.asarray(rng.normal(size=4))
    return Batch(seen, where, action, log_prob, advantage, target, None)


@eqx.filter_jit
def loss_and_gradient(policy, samples):
    learned, fixed = eqx.partition(policy, trainable(policy))

    def loss(learned):
        return ppo_loss(eqx.combine(learned, fixed), samples, CONFIG)[0]

    return jax.value_and_grad(loss)(learned)


def test_a_teacher_pulls_by_the_squared_distance_of_the_nominal_controls():
    policy, where = build(), at_the_wall()
    samples = batch(policy, where)
    advice = jnp.asarray([[0.2, 1.0, 0.0, 0.7], [1.0, -2.84, 0.0, 0.3]])
    own = np.asarray(policy.head.nominal(distribute(policy, samples.observation, where)))
    away = (own - np.asarray(advice)) / np.array([[ROBOT.max_speed / 2], [ROBOT.max_turn_rate]])
    alone, _ = ppo_loss(policy, samples, CONFIG)
    taught, terms = ppo_loss(policy, samples._replace(advice=advice), CONFIG, imitation=jnp.asarray(0.7))
    assert float(terms.imitation) == pytest.approx(np.mean(np.sum(away**2, axis=0)))
    assert float(taught - alone) == pytest.approx(0.7 * float(terms.imitation))


@pytest.fixture(scope="module")
def close():
    """Without the penalty, which holds the projection constant on purpose: it has tests of its own."""
    policy = build(penalty=0.0)
    samples = batch(policy, at_the_wall())
    mean = distribute(policy, samples.observation, at_the_wall()).mean
    # A barrier holds every mean, and moves both speed and turn rate; no sample sits at a kink.
    assert np.asarray(mean.intervened).all()
    assert not np.asarray(mean.governed).any()
    assert np.asarray(mean.active.sum(axis=0) == 1).all()
    moved = np.abs(np.asarray(mean.control - mean.nominal))
    assert moved.min() > 1e-3
    return policy, samples


@pytest.fixture(scope="module")
def slopes(close):
    """Finite differences of the loss with respect to every trained number, by its place in the policy."""
    policy, samples = close
    learned, fixed = eqx.partition(policy, trainable(policy))
    flat, unravel = ravel_pytree(learned)
    value = jax.jit(lambda flat: ppo_loss(eqx.combine(unravel(flat), fixed), samples, CONFIG)[0])
    return unravel(jnp.asarray(reference.central_difference(value, flat, 1e-6)))


def of_mean(gradient):
    return gradient.head.layer.weight[:2]


def of_discs(gradient):
    """The terms of the discs' gains."""
    return gradient.head.layer.weight[2:7]


def of_walls(gradient):
    return gradient.head.layer.weight[7:12]


def size(tree):
    return float(jnp.linalg.norm(ravel_pytree(tree)[0]))


def difference(one, two):
    return float(jnp.linalg.norm(ravel_pytree(one)[0] - ravel_pytree(two)[0]))


@pytest.mark.wide
def test_the_gradient_passes_through_the_quadratic_program(close, slopes):
    _, gradient = loss_and_gradient(*close)
    for one, two in zip(jax.tree.leaves(gradient), jax.tree.leaves(slopes), strict=True):
        np.testing.assert_allclose(one, two, atol=2e-8, rtol=1e-6)
    for part in (gradient.actor, gradient.critic, of_mean(gradient), of_walls(gradient)):
        assert size(part) > 1e-3


def test_a_gradient_past_the_program_is_another_one(close, slopes):
    """The control to the test above: with the projection detached the loss is the same, and its gradient wrong."""
    policy, samples = close
    detached = build(penalty=0.0, qp_gradient=False)
    for one, two in zip(jax.tree.leaves(policy), jax.tree.leaves(detached), strict=True):
        np.testing.assert_array_equal(one, two)
    value, _ = loss_and_gradient(policy, samples)
    same, wrong = loss_and_gradient(detached, samples)
    assert float(value) == pytest.approx(float(same), abs=1e-12)
    assert difference(wrong.actor, slopes.actor) > 0.3 * size(slopes.actor)
    assert difference(of_mean(wrong), of_mean(slopes)) > 0.3 * size(of_mean(slopes))
    # Only the projection was detached: the critic learns the same.
    assert difference(wrong.critic, slopes.critic) < 1e-6
    # And the gains learn nothing.
    assert size((of_walls(wrong), of_discs(wrong))) == 0


def test_gains_learn_where_their_barrier_holds_and_only_there(close):
    policy, _ = close
    _, held = loss_and_gradient(policy, batch(policy, at_the_wall()))
    assert size(of_walls(held)) > 1e-3
    assert size(of_discs(held)) == 0  # the disc is metres away
    _, free = loss_and_gradient(policy, batch(policy, in_the_open()))
    assert size((of_walls(free), of_discs(free))) == 0
    assert size(of_mean(free)) > 1e-3


@eqx.filter_jit
def penalty(nominal, policy, where):
    """The head's own loss in the first of the situations, as a function of what the network asks for."""
    policy = aimed(policy, nominal)
    return policy.head.auxiliary_loss(policy.head.distribution(policy.features(observations(4)), where))[0]


penalty_and_slope = eqx.filter_jit(jax.value_and_grad(penalty))


@pytest.mark.parametrize("nominal", [(0.9, 0.05), (0.5, -0.5), (1.3, 0.2), (0.2, 0.8)])
def test_the_penalty_pulls_towards_the_safe_set(nominal):
    """λ times the squared distance to the polygon, by enumeration of active sets: its slope is 2λW(μ − Π(μ))."""
    where, policy = at_the_wall(), aimed(build(), nominal)
    gains = distribute(policy, observations(4), where).gains
    rows = safety.problem(SHIELD, ROBOT, where.around, gains)
    A, b = np.asarray(rows.A)[..., :1], np.asarray(rows.b)[..., :1]
    weights = np.array([[1.0], [4.0]])  # 1 and (d/Δ)² = (0.1/0.05)²

    def squared_distance(nominal):
        v, swing = 0.5 * (nominal[0] + 1), math.sin(2.84 * nominal[1] * 0.05)
        point = np.array([[v], [swing]])
        nearest, found = reference.project(point, A, b, weights)
        assert found.all()
        return float((weights * (point - nearest) ** 2).sum())  # relative to a full speed of 1 m/s

    assert squared_distance(nominal) > 1e-4
    value, slope = penalty_and_slope(jnp.asarray(nominal), policy, where)
    assert float(value) == pytest.approx(PENALTY * squared_distance(nominal), rel=1e-9)
    expected = PENALTY * reference.central_difference(squared_distance, nominal)
    np.testing.assert_allclose(slope, expected, rtol=1e-6, atol=1e-9)


def test_the_penalty_leaves_the_gains_alone(close):
    """It pulls the network's mean towards the safe set, not the safe set towards the mean: with λ or without, the gains
    have the same slope."""
    policy, samples = close
    _, without = loss_and_gradient(policy, samples)
    _, with_penalty = loss_and_gradient(build(), samples)
    assert difference(of_walls(without), of_walls(with_penalty)) < 1e-12
    assert difference(of_mean(without), of_mean(with_penalty)) > 1e-3


def test_the_penalty_is_nothing_inside_the_safe_set():
    value, slope = penalty_and_slope(jnp.array([0.3, -0.4]), build(), in_the_open())
    assert float(value) == 0
    assert not np.asarray(slope).any()


def test_the_penalty_is_lambda_at_full_speed_too_much():
    """One half-width (half of full speed) beyond the limit of full speed: (½)² λ."""
    value, _ = penalty_and_slope(jnp.array([2.0, 0.0]), build(), in_the_open())
    assert float(value) == pytest.approx(0.25 * PENALTY)


def test_log_probability_and_entropy_are_those_of_scipy():
    rng = np.random.default_rng(0)
    mean, action, std = rng.normal(size=(2, 50)), 2 * rng.normal(size=(2, 50)), np.array([0.3, 0.9])
    distribution = Gaussian(jnp.asarray(mean), jnp.asarray(std))
    expected = [
        stats.multivariate_normal.logpdf(action[:, i], mean[:, i], np.diag(std**2)) for i in range(action.shape[1])
    ]
    np.testing.assert_allclose(gaussian.log_prob(distribution, jnp.asarray(action)), expected, rtol=1e-12)
    assert gaussian.entropy(distribution).shape == (50,)
    np.testing.assert_allclose(
        gaussian.entropy(distribution), stats.multivariate_normal.entropy(cov=np.diag(std**2)), rtol=1e-12
    )


def test_samples_follow_the_gaussian():
    distribution = Gaussian(jnp.tile(jnp.array([[0.4], [-0.2]]), (1, 5000)), jnp.array([0.3, 0.9]))
    drawn = np.asarray(gaussian.sample(jax.random.key(0), distribution))
    for row, (mean, std) in enumerate([(0.4, 0.3), (-0.2, 0.9)]):
        assert stats.kstest(drawn[row], "norm", (mean, std)).pvalue > 0.01
    assert abs(np.corrcoef(drawn)[0, 1]) < 0.05


def test_the_standard_deviation_starts_as_told_and_stays_in_bounds():
    spread = BoundedStd.create(TINY.policy)
    np.testing.assert_allclose(spread(), TINY.policy.initial_std, rtol=1e-6)
    for logit, limit in ((1e3, TINY.policy.max_std), (-1e3, TINY.policy.min_std)):
        extreme = eqx.tree_at(lambda one: one.logit, spread, jnp.full(2, logit))()
        np.testing.assert_allclose(extreme, limit, rtol=1e-6)


@pytest.mark.parametrize("method", few(HEADS, 2))
def test_nothing_has_changed_at_the_policy_that_sampled(method):
    policy = build(method)
    seen = observations(4)
    distribution = distribute(policy, seen, at_the_wall())
    action = policy.head.sample(jax.random.key(0), distribution)
    log_prob = policy.head.log_prob(distribution, action)
    samples = Batch(seen, at_the_wall(), action, log_prob, jnp.array([3.0, 1.0, -1.0, 2.0]), jnp.zeros(4), None)
    _, terms = eqx.filter_jit(ppo_loss)(policy, samples, CONFIG)
    assert float(terms.kl) == pytest.approx(0, abs=1e-12)
    assert float(terms.clip_fraction) == 0
    assert float(terms.policy_loss) == pytest.approx(0, abs=1e-12)  # minus the mean of standardised advantages


@pytest.mark.parametrize(
    ("advantage", "policy_loss"),
    [
        # Ratios 1.5 and 0.5, ε = 0.2. Good and likelier: no more than 1.2; bad and unlikelier: −0.8, not −0.5.
        ((1.0, -1.0), -(1.2 - 0.8) / 2),
        # Bad and likelier: −1.5 in full; good and unlikelier: 0.5 in full. Nothing is cut.
        ((-1.0, 1.0), -(-1.5 + 0.5) / 2),
        # Only the advantages' order and spacing count: 7 and 3 are +1 and −1 once standardised.
        ((7.0, 3.0), -(1.2 - 0.8) / 2),
    ],
)
def test_the_terms_by_hand(advantage, policy_loss):
    policy = build("ppo")
    policy = eqx.tree_at(
        lambda one: (one.value_layer.weight, one.value_layer.bias), policy, (jnp.zeros((1, 8)), jnp.array([0.5]))
    )
    seen, where = observations(2), first(in_the_open(), 2)
    distribution = distribute(policy, seen, where)
    action = distribution.gaussian.mean + 0.1
    log_prob = policy.head.log_prob(distribution, action) - jnp.log(jnp.array([1.5, 0.5]))
    samples = Batch(seen, where, action, log_prob, jnp.asarray(advantage), jnp.array([1.5, 3.5]), None)
    total, terms = eqx.filter_jit(ppo_loss)(policy, samples, CONFIG)
    assert float(terms.policy_loss) == pytest.approx(policy_loss, abs=1e-7)
    # Value 0.5 against 1.5 and 3.5: half the mean of 1 and 9.
    assert float(terms.value_loss) == pytest.approx(2.5)
    # Two normals of standard deviation ½: ln(2πe/4).
    entropy = math.log(2 * math.pi * math.e / 4)
    assert float(terms.entropy) == pytest.approx(entropy, abs=1e-6)
    # Mean of 1.5 − 1 − ln 1.5 = 0.094535 and 0.5 − 1 − ln 0.5 = 0.193147.
    assert float(terms.kl) == pytest.approx(0.143841, abs=1e-6)
    assert float(terms.clip_fraction) == 1
    assert float(terms.penalty) == 0
    assert float(total) == pytest.approx(policy_loss + 0.5 * 2.5 - 0.01 * entropy, abs=1e-6)


@pytest.mark.parametrize("method", few(["cbf-beta", "ppo-shielded", "ppo-lagrangian"]))
def test_the_gradient_of_other_heads(method):
    """Along random directions in the space of all parameters, against finite differences of the loss."""
    policy, where, rng = build(method), at_the_wall(), np.random.default_rng(6)
    seen = observations(4)
    distribution = distribute(policy, seen, where)
    action = policy.head.sample(jax.random.key(1), distribution)
    log_prob = policy.head.log_prob(distribution, action) + jnp.asarray(rng.uniform(-0.1, 0.1, 4))
    target, cost_target = jnp.asarray(rng.normal(size=(2, 4)))
    advantage = jnp.asarray([1.5, -0.5, 0.7, -1.2])
    constrained = method == "ppo-lagrangian"
    samples = Batch(seen, where, action, log_prob, advantage, target, cost_target if constrained else None)
    learned, fixed = eqx.partition(policy, trainable(policy))
    flat, unravel = ravel_pytree(learned)
    gradient = loss_and_gradient(policy, samples)[1]
    assert size(gradient.actor) > 1e-3
    assert size(gradient.head.layer) > 1e-3
    assert not constrained or size((gradient.cost_critic, gradient.cost_layer)) > 1e-3
    for _ in range(3):
        direction = jnp.asarray(rng.normal(size=flat.shape)) / flat.size**0.5
        ends = [
            float(loss_and_gradient(eqx.combine(unravel(flat + step * direction), fixed), samples)[0])
            for step in (1e-5, -1e-5)
        ]
        slope = float(ravel_pytree(gradient)[0] @ direction)
        assert slope == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6, abs=1e-8)


def test_the_cost_critic_learns_like_the_critic():
    policy = build("ppo-lagrangian")
    layers = (jnp.zeros((1, 8)), jnp.array([0.5])), (jnp.zeros((1, 8)), jnp.array([-1.0]))
    for name, layer in zip(("value_layer", "cost_layer"), layers, strict=True):
        policy = eqx.tree_at(lambda one, name=name: (getattr(one, name).weight, getattr(one, name).bias), policy, layer)
    seen, where, zero = observations(4), in_the_open(), jnp.zeros(4)
    action = distribute(policy, seen, where).gaussian.mean
    targets = jnp.array([1.5, 3.5, 1.5, 3.5]), jnp.array([0.0, 1.0, 0.0, 1.0])
    samples = Batch(seen, where, action, zero, zero, *targets)
    total, terms = eqx.filter_jit(ppo_loss)(policy, samples, CONFIG)
    # 0.5 against 1.5 and 3.5: half the mean of 1 and 9; −1 against 0 and 1: half the mean of 1 and 4.
    assert float(terms.value_loss) == pytest.approx(2.5)
    assert float(terms.cost_value_loss) == pytest.approx(1.25)
    rest = float(terms.policy_loss) - 0.01 * float(terms.entropy) + float(terms.penalty)
    assert float(total) - rest == pytest.approx(0.5 * (2.5 + 1.25))
