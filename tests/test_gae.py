"""Generalised advantage estimation against its definition, and constants worked out by hand."""

from functools import partial

import jax
import numpy as np
import pytest

from safepursuit.learn.gae import gae

pytestmark = pytest.mark.usefixtures("float64")


@pytest.fixture(scope="module")
def estimate():
    jitted = jax.jit(partial(gae), static_argnames=("discount", "trace"))

    def call(*arrays, discount, trace):
        return jitted(*(np.asarray(array) for array in arrays), discount=discount, trace=trace)

    return call


def by_definition(reward, value, next_value, terminated, truncated, discount, trace):
    """Â_t = Σ_{n ≥ 1} (1 − λ)λ^{n−1} (R_t^{(n)} − V_t) for one game, R^{(n)} the n-step return, until the episode ends;
    the last return, that of all remaining steps, takes all the weight that is left."""
    steps = len(reward)
    advantage = np.zeros(steps)
    for t in range(steps):
        rewards, weight = 0.0, 1.0
        for n in range(1, steps - t + 1):
            k = t + n - 1
            rewards += discount ** (n - 1) * reward[k]
            to_come = 0.0 if terminated[k] else discount**n * next_value[k]
            last = terminated[k] or truncated[k] or k == steps - 1
            share = weight if last else weight * (1 - trace)
            advantage[t] += share * (rewards + to_come - value[t])
            weight *= trace
            if last:
                break
    return advantage


@pytest.mark.parametrize(("discount", "trace"), [(0.9, 0.7), (0.995, 0.98), (1.0, 1.0), (0.5, 0.0), (0.0, 0.5)])
def test_it_is_the_weighted_sum_of_n_step_returns(estimate, discount, trace):
    rng = np.random.default_rng(4)
    steps, games = 40, 60
    reward, value, next_value = rng.normal(size=(3, steps, games))
    terminated = rng.random((steps, games)) < 0.1
    truncated = (rng.random((steps, games)) < 0.1) & ~terminated
    # Within an episode the value of what follows is the next step's value, as in a rollout.
    inside = ~(terminated | truncated)[:-1]
    next_value[:-1][inside] = value[1:][inside]
    found = estimate(reward, value, next_value, terminated, truncated, discount=discount, trace=trace)
    expected = np.stack(
        [
            by_definition(*(part[:, g] for part in (reward, value, next_value, terminated, truncated)), discount, trace)
            for g in range(games)
        ],
        axis=1,
    )
    assert terminated.sum() > 100
    assert truncated.sum() > 100
    np.testing.assert_allclose(found.advantage, expected, atol=1e-11)
    np.testing.assert_allclose(found.target, expected + value, atol=1e-11)


def test_by_hand(estimate):
    """γ = 0.5, λ = 0.5. Rewards 1, 2, 4; values 8, 4, 2; the last step leads to a state worth 16.

    δ₂ = 4 + 0.5 · 16 − 2 = 10; δ₁ = 2 + 0.5 · 2 − 4 = −1; δ₀ = 1 + 0.5 · 4 − 8 = −5.
    Â₂ = 10, Â₁ = −1 + 10/4 = 1.5, Â₀ = −5 + 1.5/4 = −4.625.
    """
    reward, value, following = [1.0, 2.0, 4.0], [8.0, 4.0, 2.0], [4.0, 2.0, 16.0]
    nothing = [False] * 3
    going_on = estimate(reward, value, following, nothing, nothing, discount=0.5, trace=0.5)
    np.testing.assert_allclose(going_on.advantage, [-4.625, 1.5, 10.0])
    np.testing.assert_allclose(going_on.target, [3.375, 5.5, 12.0])

    # A time-out at the last step is worth what would have come: the same.
    timed_out = estimate(reward, value, following, nothing, [False, False, True], discount=0.5, trace=0.5)
    np.testing.assert_allclose(timed_out.advantage, going_on.advantage)

    # A termination is worth the last reward alone: δ₂ = 4 − 2 = 2, Â₁ = −1 + 2/4, Â₀ = −5 − 0.5/4.
    ended = estimate(reward, value, following, [False, False, True], nothing, discount=0.5, trace=0.5)
    np.testing.assert_allclose(ended.advantage, [-5.125, -0.5, 2.0])


def test_what_follows_an_end_belongs_to_another_episode(estimate):
    """Steps after a termination or a time-out may change at will: what came before is worth the same."""
    rng = np.random.default_rng(0)
    reward, value, following = rng.normal(size=(3, 6))
    changed = [np.concatenate([part[:3], 10 + part[3:]]) for part in (reward, value, following)]
    end, nothing = [False, False, True, False, False, False], [False] * 6
    for ends in ((end, nothing), (nothing, end)):
        one = estimate(reward, value, following, *ends, discount=0.9, trace=0.9)
        two = estimate(*changed, *ends, discount=0.9, trace=0.9)
        np.testing.assert_allclose(one.advantage[:3], two.advantage[:3])
        assert not np.allclose(one.advantage[3:], two.advantage[3:])


def test_a_perfect_value_leaves_no_advantage(estimate):
    """One reward a step for ever is worth 1/(1 − γ) = 10 under γ = 0.9, at a time-out too."""
    steps = 7
    one, ten = np.ones(steps), np.full(steps, 10.0)
    nothing, timeouts = [False] * steps, [k % 3 == 2 for k in range(steps)]
    found = estimate(one, ten, ten, nothing, timeouts, discount=0.9, trace=0.95)
    np.testing.assert_allclose(found.advantage, 0, atol=1e-12)
    # Taken for terminations, the same steps look like losses.
    wrong = estimate(one, ten, ten, timeouts, nothing, discount=0.9, trace=0.95)
    assert (np.asarray(wrong.advantage)[:6] < -1).all()


def test_games_run_side_by_side(estimate):
    rng = np.random.default_rng(1)
    arrays = [*rng.normal(size=(3, 9, 2, 3)), *(rng.random((2, 9, 2, 3)) < [[[[0.1]]], [[[0.0]]]])]
    together = estimate(*arrays, discount=0.9, trace=0.8).advantage
    for index in np.ndindex(2, 3):
        alone = estimate(*(part[(slice(None), *index)] for part in arrays), discount=0.9, trace=0.8).advantage
        np.testing.assert_allclose(together[(slice(None), *index)], alone, atol=1e-14)
