"""The update: every transition once a pass, no step too far, and only the parameters that are meant to learn."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from safepursuit.experiment import PPOConfig
from safepursuit.learn import ppo_loss
from safepursuit.learn.loss import Batch
from safepursuit.learn.rollout import collect, fresh_starts, join_games
from safepursuit.learn.update import as_batch, learning_rate, minibatches, optimiser, trainable, update
from safepursuit.policy import build_policy
from tiny import GAMES, STEPS, TINY, few


@pytest.fixture(scope="module")
def policy():
    return build_policy(jax.random.key(0), TINY.method, TINY.policy, TINY.game, TINY.shield)


@pytest.fixture(scope="module")
def rollout(policy):
    players = join_games(jax.random.key(1), TINY)
    return collect(policy, players, fresh_starts(jax.random.key(2), TINY), jax.random.key(3), TINY)[1]


def learn(policy, rollout, config=TINY.ppo, key=0, rate=1e-3):
    start = optimiser(config).init(eqx.filter(policy, trainable(policy)))
    key, rate = jax.random.key(key), jnp.asarray(rate, jnp.float32)
    learned, state, _, report = update(policy, start, rollout, None, key, rate, None, config)
    return learned, state, report


def identifiable(rollout):
    """A batch in which every number says which transition it belongs to."""
    number = jnp.arange(STEPS * GAMES, dtype=jnp.float32).reshape(STEPS, GAMES)

    def marked(leaf):
        middle = leaf.shape[1:-1]
        return jnp.broadcast_to(number.reshape(STEPS, *(1,) * len(middle), GAMES), leaf.shape)

    return jax.tree.map(marked, as_batch(rollout, TINY.ppo))


@pytest.mark.parametrize("count", few([4, 1, 2, 8]))
def test_minibatches_deal_every_transition_once(rollout, count):
    cut = minibatches(jax.random.key(5), identifiable(rollout), count)
    for leaf in jax.tree.leaves(cut):
        dealt = np.asarray(leaf)
        assert dealt.shape[0] == count
        assert dealt.shape[-1] == STEPS * GAMES // count
        # Whatever the components, the same number everywhere: nothing was mixed up.
        flat = dealt.reshape(count, -1, dealt.shape[-1])
        assert (flat == flat[:, :1]).all()
        np.testing.assert_array_equal(flat[:, 0], np.asarray(cut.log_prob))
    numbers = np.asarray(cut.log_prob)
    assert sorted(numbers.ravel()) == list(range(STEPS * GAMES))
    for one in numbers:  # whole steps: every game in every minibatch, equally often
        assert (np.bincount(one.astype(int) % GAMES) == STEPS // count).all()


def test_minibatches_are_dealt_anew_with_every_key(rollout):
    batch = identifiable(rollout)
    one, two = (np.asarray(minibatches(jax.random.key(key), batch, 4).log_prob) for key in (0, 1))
    assert (one != two).any()
    assert (one.ravel() != np.arange(STEPS * GAMES)).any()


def test_the_batch_holds_the_rollout_unchanged(rollout):
    batch = as_batch(rollout, TINY.ppo)
    assert isinstance(batch, Batch)
    np.testing.assert_array_equal(batch.action, rollout.action)
    np.testing.assert_array_equal(batch.log_prob, rollout.log_prob)
    np.testing.assert_array_equal(batch.situation.pose, rollout.situation.pose)
    np.testing.assert_allclose(batch.target - batch.advantage, rollout.value, atol=1e-5)


def test_every_part_learns_but_the_normaliser(policy, rollout):
    learned, _, report = learn(policy, rollout)
    assert float(report.gradient_steps) == TINY.ppo.epochs * TINY.ppo.minibatches
    for part in ("actor", "critic", "value_layer"):
        for before, after in zip(
            jax.tree.leaves(getattr(policy, part)), jax.tree.leaves(getattr(learned, part)), strict=True
        ):
            assert not np.array_equal(before, after)
    assert not np.array_equal(policy.head.layer.weight, learned.head.layer.weight)
    assert not np.array_equal(policy.head.spread.logit, learned.head.spread.logit)
    # The normaliser is not learned but counted.
    ego = np.moveaxis(np.asarray(rollout.observation.ego), 1, 0).reshape(16, -1)
    assert float(learned.normaliser.count) == STEPS * GAMES
    np.testing.assert_allclose(learned.normaliser.mean, ego.mean(axis=1), atol=1e-5)
    np.testing.assert_allclose(learned.normaliser.variance, ego.var(axis=1), atol=1e-5)


def test_the_mask_holds_all_parameters_but_the_normalisers(policy):
    mask = trainable(policy)
    assert not any(jax.tree.leaves(mask.normaliser))
    for part in (mask.actor, mask.critic, mask.value_layer, mask.head):
        marked = [flag for flag in jax.tree.leaves(part) if isinstance(flag, bool)]
        assert marked
        assert all(marked)


def test_the_same_key_learns_the_same_bits(policy, rollout):
    one, two, other = learn(policy, rollout)[0], learn(policy, rollout)[0], learn(policy, rollout, key=1)[0]
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one.value_layer.weight, other.value_layer.weight)


def plain(**changes):
    """Plain PPO, which compiles faster and learns from any rollout."""
    config = replace(TINY.policy, **changes)
    return build_policy(jax.random.key(0), "ppo", config, TINY.game, TINY.shield)


def test_learning_stops_once_the_policy_has_moved_too_far(rollout):
    """A divergence that no step can avoid: the first step is taken, the others are not, and change nothing."""
    policy, strict = plain(), replace(TINY.ppo, target_kl=1e-9)
    stopped, _, report = learn(policy, rollout, strict, rate=0.01)
    assert float(report.gradient_steps) == 1  # the rollout is another policy's: too far from the start
    assert float(report.terms.kl) > 1e-6
    assert np.isfinite(float(report.terms.policy_loss))
    # Adam's first step is as long as the rate for every parameter; further steps would have added to it.
    change = np.abs(np.asarray(stopped.actor.layers[0].weight - policy.actor.layers[0].weight))
    assert 0 < change.max() <= 0.01 * (1 + 1e-4)


def test_a_rate_of_zero_learns_nothing_but_still_counts(policy, rollout):
    learned, _, report = learn(policy, rollout, rate=0.0)
    np.testing.assert_array_equal(learned.actor.layers[0].weight, policy.actor.layers[0].weight)
    assert float(report.terms.kl) == pytest.approx(0, abs=1e-6)
    assert float(report.grad_norm) > 0
    assert float(learned.normaliser.count) == STEPS * GAMES


def test_explained_variance_of_a_perfect_and_of_a_constant_value(policy, rollout):
    zero = jnp.zeros_like(rollout.value)
    ends = jnp.ones_like(rollout.terminated)
    single = rollout._replace(terminated=ends, truncated=~ends, next_value=zero)
    perfect = learn(policy, single._replace(value=single.reward), rate=0.0)[2]
    constant = learn(policy, single._replace(value=zero + 3), rate=0.0)[2]
    assert float(perfect.explained_variance) == pytest.approx(1, abs=1e-5)
    assert float(constant.explained_variance) == pytest.approx(0, abs=1e-4)


def test_gradients_are_clipped_by_their_common_norm():
    """Beyond the limit only the direction counts: a gradient of norm 100 and one of norm 0.5 leave the same memory
    behind, so that the next, small one moves the parameters equally. Without clipping it would not."""
    weights = {"a": jnp.zeros(3), "b": jnp.zeros(2)}
    direction = {"a": jnp.array([2.0, -1.0, 4.0]), "b": jnp.array([2.0, 0.0])}  # of length 5
    small = {"a": jnp.array([0.01, 0.02, -0.03]), "b": jnp.array([-0.01, 0.01])}

    def second_step(transform, scale):
        state = transform.init(weights)
        _, state = transform.update(jax.tree.map(lambda part: scale * part, direction), state)
        return np.concatenate(jax.tree.leaves(transform.update(small, state)[0]))

    clipped = optimiser(PPOConfig(max_grad_norm=0.5))
    np.testing.assert_allclose(second_step(clipped, 20.0), second_step(clipped, 0.1), rtol=1e-5)
    loose = optimiser(PPOConfig(max_grad_norm=1e9))
    np.testing.assert_allclose(second_step(loose, 0.1), second_step(clipped, 0.1), rtol=1e-5)
    assert not np.allclose(second_step(loose, 20.0), second_step(clipped, 20.0), rtol=0.1)


@pytest.mark.wide
def test_a_step_is_that_of_adam_and_leaves_the_normaliser_alone(rollout):
    """One minibatch, one epoch, no clipping: optax.adam on the gradient of the same loss, asked for independently. With
    normalisation off, nothing touches the normaliser."""
    config = replace(TINY.ppo, epochs=1, minibatches=1, max_grad_norm=1e9, target_kl=0.0)
    policy = plain(normalise=False)
    learned, _, _ = learn(policy, rollout, config, rate=1e-2)
    batch = jax.tree.map(lambda leaf: leaf[0], minibatches(jax.random.key(0), as_batch(rollout, config), 1))
    weights, fixed = eqx.partition(policy, trainable(policy))
    gradient = eqx.filter_jit(jax.grad(lambda w: ppo_loss(eqx.combine(w, fixed), batch, config)[0]))(weights)
    adam = optax.adam(1e-2, eps=1e-5)
    step, _ = adam.update(gradient, adam.init(weights))
    expected = eqx.combine(optax.apply_updates(weights, step), fixed)
    for one, two in zip(jax.tree.leaves(learned), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, two, atol=2e-5)
    assert np.abs(np.asarray(learned.critic.layers[0].weight - policy.critic.layers[0].weight)).min() > 1e-4


@pytest.mark.parametrize(
    ("settings", "progress", "share"),
    [
        # No warm-up: falls linearly from the start.
        ({}, 0.0, 1.0),
        ({}, 0.75, 0.25),
        # A fifth of the training to warm up; then 0.8 of it to fall.
        ({"warmup": 0.2}, 0.0, 0.0),
        ({"warmup": 0.2}, 0.1, 0.5),
        ({"warmup": 0.2}, 0.2, 1.0),
        ({"warmup": 0.2}, 0.6, 0.5),
        # Constant after the warm-up.
        ({"warmup": 0.2, "decay": False}, 0.1, 0.5),
        ({"warmup": 0.2, "decay": False}, 0.9, 1.0),
        ({"decay": False}, 0.0, 1.0),
        # Nothing but warm-up.
        ({"warmup": 1.0}, 0.5, 0.5),
    ],
)
def test_learning_rate_by_hand(settings, progress, share):
    assert learning_rate(PPOConfig(learning_rate=2e-3, **settings), progress) == pytest.approx(share * 2e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"clip": -0.1}, "clip must be positive"),
        ({"discount": 1.1}, r"discount must lie in \[0, 1\]"),
        ({"warmup": -0.5}, r"warmup must lie in \[0, 1\]"),
        ({"epochs": 0}, "epochs must be at least 1"),
    ],
)
def test_learning_parameters_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        PPOConfig(**changes)
