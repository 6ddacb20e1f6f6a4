"""The Lagrange multiplier: it moves as the cost says, and in a bandit with a known answer it finds the limit."""

import math
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from probes import CONFIG, Probe, fresh_policy, lessons
from safepursuit.experiment import PPOConfig
from safepursuit.learn.lagrangian import Multiplier, adjusted, combined, initial

RATE = 0.05
SETTINGS = PPOConfig(cost_limit=0.2, multiplier=0.5, multiplier_rate=RATE)


def after(costs, config=SETTINGS):
    """λ after each of these episode costs."""
    multiplier, values = initial(config), []
    for cost in costs:
        multiplier = adjusted(multiplier, jnp.asarray(cost, jnp.float32), config)
        values.append(float(multiplier.value))
    return np.array(values)


def test_it_starts_as_configured():
    assert float(initial(SETTINGS).value) == 0.5


@pytest.mark.parametrize(("cost", "sign"), [(0.21, 1), (3.0, 1), (0.19, -1), (0.0, -1)])
def test_the_first_step_is_as_long_as_the_rate_whatever_the_cost(cost, sign):
    assert after([cost])[0] == pytest.approx(0.5 + sign * RATE, rel=1e-4)


def test_it_rises_while_the_cost_is_above_the_limit_and_falls_below_it():
    values = after([1.0] * 20 + [0.0] * 100)
    assert (np.diff(values[:20]) > 0).all()
    turned = int(values.argmax())
    assert 20 <= turned < 60  # Adam has momentum
    falling = values[turned:]
    assert (np.diff(falling)[falling[1:] > 0] < 0).all()


def test_a_cost_at_the_limit_moves_nothing():
    np.testing.assert_array_equal(after([0.2] * 5), 0.5)


def test_it_is_never_negative_and_comes_back_from_zero():
    values = after([0.0] * 50 + [5.0] * 50)
    assert values.min() == 0
    assert values[-1] > 0


def test_without_an_episode_nothing_changes():
    """Neither the multiplier nor Adam's memory: what follows is as if the rollout had not been."""
    for costs in ([math.nan], [1.0, math.nan, math.nan]):
        known = [cost for cost in costs if not math.isnan(cost)]
        assert after(costs)[-1] == (after(known)[-1] if known else 0.5)
    np.testing.assert_array_equal(after([1.0, math.nan, 0.3, math.nan, 0.1])[[0, 2, 4]], after([1.0, 0.3, 0.1]))


@pytest.mark.parametrize(
    ("multiplier", "expected"),
    [
        (0.0, [2.0, -1.0, 0.5]),  # reward alone
        (1.0, [1.5, -2.0, 0.25]),  # (2 + 1)/2, (−1 − 3)/2, (0.5 − 0)/2
        (3.0, [1.25, -2.5, 0.125]),  # (2 + 3)/4, (−1 − 9)/4, 0.5/4
        (1e6, [1.0, -3.0, 0.0]),  # cost alone
    ],
)
def test_the_combined_advantage_by_hand(multiplier, expected):
    found = combined(jnp.array([2.0, -1.0, 0.5]), jnp.array([-1.0, 3.0, 0.0]), Multiplier(jnp.asarray(multiplier), ()))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["cost_limit", "multiplier"])
def test_negative_settings_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must not be negative"):
        PPOConfig(**{name: -0.1})


# --- a bandit in which speed pays and costs --------------------------------------------------------------------------

THRESHOLD, LIMIT = 0.6, 0.25


def speed(state, control):
    return control[0]


def too_fast(state, control):
    return (control[0] > THRESHOLD).astype(float)


BANDIT = Probe(speed, 1, (True,), (False,), cost=too_fast)
"""One step; reward v, cost 1 if v > 0.6.

v ~ N(m, s) far from the actuator limits: E[v] = m, P(v > 0.6) = Φ((m − 0.6)/s). The best m that keeps the limit is
where that probability is the limit, and there the multiplier balances the slopes: 1 = λ dP/dm.
"""

TAIL = 50
LEARNING = replace(CONFIG, cost_limit=LIMIT, multiplier=0.3, multiplier_rate=0.02)


def course(updates, config):
    """The multiplier, mean cost and mean reward of each update, and the final standard deviation of the speed [m/s]."""
    policy = fresh_policy("ppo-lagrangian", initial_std=0.2, min_std=0.15, max_std=0.25)
    records = list(lessons(policy, BANDIT, updates, config=config))
    kept = [(one.multiplier.value, one.rollout.cost.mean(), one.rollout.reward.mean()) for one in records]
    half_width = 0.5
    return *np.array(kept, float).T, half_width * float(records[-1].policy.head.spread()[0])


@pytest.mark.wide
def test_the_constrained_optimum_is_found():
    multiplier, cost, reward, spread = course(150, LEARNING)
    assert cost[:30].max() > 2 * LIMIT  # at first, speed alone pays
    assert cost[-TAIL:].mean() == pytest.approx(LIMIT, abs=0.04)
    best = stats.norm.isf(1 - LIMIT, THRESHOLD, spread)
    assert reward[-TAIL:].mean() == pytest.approx(best, abs=0.02)
    balance = 1 / stats.norm.pdf(THRESHOLD, best, spread)
    assert multiplier[-TAIL:].mean() == pytest.approx(balance, rel=0.25)


@pytest.mark.wide
def test_a_limit_that_does_not_bind_changes_nothing():
    """The control: the multiplier dies away, the speed goes to its limit, and the cost with it."""
    multiplier, cost, reward, _ = course(60, replace(LEARNING, cost_limit=2.0))
    assert multiplier[-1] == 0
    assert cost[-1] > 0.95
    assert reward[-1] > 0.9
