"""PPO's pieces, put together as in a training, learn what is known about tiny worlds. γ = 0.9 throughout."""

import jax.numpy as jnp
import numpy as np
import pytest

from probes import Probe, deployed, fresh_policy, learn, values
from safepursuit.learn.rollout import Rollout
from tiny import few


def one(state, control):
    return jnp.ones(state.shape)


ENDLESS = Probe(one, 1, terminated=(False,), truncated=(False,))
TIMEOUT = Probe(one, 4, terminated=(False,) * 4, truncated=(False, False, False, True))
ENDING = Probe(one, 4, terminated=(False, False, False, True), truncated=(False,) * 4)
TEN = 1 / (1 - 0.9)


@pytest.mark.wide
def test_a_constant_reward_for_ever_is_worth_ten():
    np.testing.assert_allclose(values(learn(fresh_policy(), ENDLESS, 120), 1), TEN, rtol=0.03)


@pytest.mark.wide
def test_a_single_step_is_worth_its_reward():
    """Episodes of one step, worth +1 in one state and −1 in the other: the value must look at the observation."""
    probe = Probe(lambda state, control: 1.0 - 2.0 * state, 2, terminated=(True, True), truncated=(False, False))
    np.testing.assert_allclose(values(learn(fresh_policy(), probe, 60), 2), [1, -1], atol=0.03)


def test_a_reward_to_come_is_discounted():
    """0 → 1 → 2 → end, rewarded at the end only: 0.81, 0.9, 1."""
    probe = Probe(lambda state, control: (state == 2).astype(float), 3, (False, False, True), (False,) * 3)
    np.testing.assert_allclose(values(learn(fresh_policy(), probe, 80), 3), [0.81, 0.9, 1.0], atol=0.03)


def test_a_termination_ends_the_return():
    """One a step for four steps: 1 + 0.9 + 0.81 + 0.729 = 3.439 at the first, 1 at the last."""
    found = values(learn(fresh_policy(), ENDING, 120), 4)
    np.testing.assert_allclose(found, [3.439, 2.71, 1.9, 1.0], atol=0.1)


def test_a_time_out_does_not():
    """The same rewards and the same four steps, but the world would have gone on: 10 everywhere."""
    np.testing.assert_allclose(values(learn(fresh_policy(), TIMEOUT, 160), 4), TEN, rtol=0.03)


def test_taking_time_outs_for_terminations_is_wrong():
    """The control: if the two are merged, the value is that of the wrong world, 10 is missed by far."""

    def merge(rollout: Rollout) -> Rollout:
        ends = rollout.terminated | rollout.truncated
        return rollout._replace(terminated=ends, truncated=jnp.zeros_like(ends))

    found = values(learn(fresh_policy(), TIMEOUT, 120, rewrite=merge), 4)
    np.testing.assert_allclose(found, [3.439, 2.71, 1.9, 1.0], atol=0.1)
    assert found.max() < 0.5 * TEN


def quadratic(speeds, turn_rates):
    """Largest where the executed control is the target of the state."""

    def reward(state, control):
        v, turn_rate = jnp.asarray(speeds)[state], jnp.asarray(turn_rates)[state]
        return -((2 * (control[0] - v)) ** 2) - ((control[1] - turn_rate) / 2.84) ** 2

    return reward


@pytest.mark.wide
@pytest.mark.parametrize("method", few(["barriernet", "ppo"]))
def test_the_mean_moves_to_the_best_control_of_each_state(method):
    """Two one-step states with targets of their own, well inside the actuator limits and far from any wall."""
    speeds, turn_rates = (0.7, 0.35), (-1.0, 0.6)
    probe = Probe(quadratic(speeds, turn_rates), 2, (False, False), (False, False))
    v, turn_rate = deployed(learn(fresh_policy(method), probe, 150), probe)
    np.testing.assert_allclose(v, speeds, atol=0.05)
    np.testing.assert_allclose(turn_rate, turn_rates, atol=0.2)


# Facing the wall squarely, the virtual control point 3 cm before its limit: v ≤ γ · 0.03 / 0.05 = 0.6 γ.
AT_THE_WALL = (3.0 - 0.15 - 0.1 - 1e-5 - 0.03, 0.0, 0.0)
TOO_FAST = Probe(quadratic((1.0,), (0.0,)), 1, (True,), (False,), pose=AT_THE_WALL)


@pytest.mark.wide
def test_gains_grow_where_caution_costs():
    """Faster is better up to the wall's own limit of 0.6 m/s, but the mean is held at 0.6 γ: only γ can learn."""
    policy = fresh_policy("barriernet")
    before = deployed(policy, TOO_FAST)[0]
    np.testing.assert_allclose(before, 0.6 * 0.525, atol=0.05)
    after = deployed(learn(policy, TOO_FAST, 150), TOO_FAST)[0]
    assert 0.5 < float(after[0]) <= 0.6


@pytest.mark.wide
def test_without_the_programs_gradient_gains_learn_nothing():
    """The control."""
    policy = fresh_policy("barriernet", qp_gradient=False)
    before, after = deployed(policy, TOO_FAST)[0], deployed(learn(policy, TOO_FAST, 150), TOO_FAST)[0]
    assert float(after[0]) == pytest.approx(float(before[0]), abs=0.05)
