"""What each head executes, scores and deploys; and that hard ones are safe whatever their parameters."""

from dataclasses import replace
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from attack import clear, draw_poses, draw_scenes, worst_of_the_step
from safepursuit import shield
from safepursuit.policy import HEADS, PolicyConfig, Situation
from safepursuit.robot import Unicycle
from safepursuit.scene import Scene
from safepursuit.shield import Shield
from tiny import few

pytestmark = pytest.mark.usefixtures("float64")

ROBOT, SHIELD = Unicycle(integrator="arc"), Shield()
FEATURES, STATES = 6, 2_000
VARIANTS = {
    **{method: (method, PolicyConfig()) for method in HEADS},
    "cbf-beta, box": ("cbf-beta", PolicyConfig(safe_set="box")),
}
SAFE_IN_TRAINING = {"barriernet", "cbf-beta", "cbf-beta, box", "ppo-shielded"}
SAFE_WHEN_DEPLOYED = SAFE_IN_TRAINING | {"ppo-filter"}


def create(variant, scale=1.0, **changes):
    """A head in double precision with random weights."""
    method, config = VARIANTS[variant]
    head = HEADS[method].create(jax.random.key(0), FEATURES, replace(config, **changes), ROBOT, SHIELD)
    head = jax.tree.map(lambda leaf: leaf.astype(float) if eqx.is_inexact_array(leaf) else leaf, head)
    shapes = head.layer.weight.shape, head.layer.bias.shape
    wild = [scale * jax.random.normal(jax.random.key(k), shape) for k, shape in enumerate(shapes)]
    return eqx.tree_at(lambda one: (one.layer.weight, one.layer.bias), head, wild)


@cache
def world():
    """Features, scenes and legal poses, many in contact."""
    rng = np.random.default_rng(0)
    scene = draw_scenes(rng, STATES)
    return rng.uniform(-1, 1, (FEATURES, STATES)), scene, draw_poses(rng, scene)


@eqx.filter_jit
def respond(head, features, scene, pose, key):
    where = Situation.survey(SHIELD, ROBOT, pose, jnp.zeros_like(pose), scene)
    distribution = head.distribution(features, where)
    action = head.sample(key, distribution)
    return {
        "action": action,
        "log_prob": head.log_prob(distribution, action),
        "executed": head.execute(distribution, action, where),
        "deployed": head.deploy(distribution, where),
        "nominal": head.nominal(distribution),
    }


def answers(variant, scale=1.0):
    features, scene, pose = world()
    return respond(create(variant, scale), features, scene, pose, jax.random.key(1))


def worst(control):
    _, scene, pose = world()
    return worst_of_the_step(ROBOT, scene, pose, np.asarray(control))


@pytest.mark.parametrize("variant", few(VARIANTS))
def test_hard_heads_are_safe_whatever_their_parameters_and_others_are_not(variant):
    """Two thousand legal states, weights from modest to absurd; a step is judged as a whole."""
    _, scene, pose = world()
    assert (clear(scene, pose[:2]) < 1e-6).mean() > 0.05
    for scale in (1.0, 30.0, 1e6):
        found = answers(variant, scale)
        for name, safe in (("executed", SAFE_IN_TRAINING), ("deployed", SAFE_WHEN_DEPLOYED)):
            control = np.asarray(found[name].control)
            assert np.isfinite(control).all()
            assert (control[0] >= 0).all()
            assert (control[0] <= 1).all()
            assert (np.abs(control[1]) <= 2.84 * (1 + 1e-12)).all()
            assert worst(control) >= -1e-9 if variant in safe else worst(control) < -1e-2
    assert VARIANTS[variant][0] in HEADS
    assert HEADS[VARIANTS[variant][0]].hard == (variant in SAFE_IN_TRAINING)


@jax.jit
def filtered(nominal, pose, scene):
    return shield.filter(nominal, pose, scene, robot=ROBOT, shield=SHIELD).control


def within_limits(control):
    return np.stack([np.clip(control[0], 0, 1), np.clip(control[1], -2.84, 2.84)])


def as_control(action):
    """Half-widths of the actuator box → m/s and rad/s."""
    v, turn_rate = np.asarray(action)
    return np.stack([(v + 1) / 2, 2.84 * turn_rate])


@pytest.mark.parametrize("variant", few(["ppo-shielded", "ppo", "ppo-lagrangian", "ppo-filter"]))
def test_unprojected_heads_differ_only_in_where_the_safety_layer_stands(variant):
    """F and G of `unprojected`: what is scored is the sample about the network's own output in all of them."""
    features, scene, pose = world()
    head, found = create(variant), answers(variant)
    mean = np.asarray(head.layer.weight) @ features + np.asarray(head.layer.bias)[:, None]
    action = np.asarray(found["action"])
    assert (np.abs(action) > 1).any(axis=0).mean() > 0.3  # many beyond the actuator limits
    expected = stats.norm.logpdf(action, mean, 0.5).sum(0)
    np.testing.assert_allclose(found["log_prob"], expected, rtol=1e-5, atol=1e-5)
    asked, best = as_control(action), as_control(mean)
    np.testing.assert_allclose(found["nominal"], best, atol=1e-12)
    shielded = variant == "ppo-shielded", variant in ("ppo-filter", "ppo-shielded")
    for name, nominal, safe in (("executed", asked, shielded[0]), ("deployed", best, shielded[1])):
        expected = filtered(nominal, pose, scene) if safe else within_limits(nominal)
        np.testing.assert_allclose(found[name].control, expected, atol=1e-12)
    changed = np.abs(np.asarray(found["deployed"].control) - within_limits(best)).max(0) > 1e-6
    assert (changed.mean() > 0.1) == shielded[1]


def test_the_filtered_policy_trains_like_plain_ppo():
    one, two = answers("ppo"), answers("ppo-filter")
    for name in ("action", "log_prob"):
        np.testing.assert_array_equal(one[name], two[name])
    for a, b in zip(one["executed"], two["executed"], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)


def facing_a_wall():
    """Squarely, the virtual control point 30 mm before its limit: with γ = ½ and 50 ms, 0.3 m/s are safe."""
    scene = Scene(jnp.array([3.0, 3.0]), jnp.zeros((2, 1)), jnp.ones(1), jnp.zeros(1, bool))
    standoff = 0.15 + 0.1 + 0.5 * 0.1 * 2.84 * 0.05  # body, offset, and the arc's allowance dφ̄/2
    pose = jnp.array([3.0 - standoff - 0.03 - 2e-5, 0.0, 0.0])
    return Situation.survey(SHIELD, ROBOT, pose, -pose, scene)


@pytest.mark.parametrize("penalty", [0.0, 0.3])
def test_the_shielded_heads_penalty_is_the_squared_distance_to_what_is_safe(penalty):
    where, head = facing_a_wall(), create("ppo-shielded", 0.0, penalty=penalty)

    @jax.jit
    @jax.value_and_grad
    def auxiliary(bias):
        asking = eqx.tree_at(lambda one: one.layer.bias, head, bias)
        return asking.auxiliary_loss(asking.distribution(jnp.zeros(FEATURES), where))

    value, slope = auxiliary(jnp.array([1.0, 0.0]))  # full speed
    # 1 − 0.3 of full speed too fast; half a full speed a half-width.
    assert float(value) == pytest.approx(penalty * 0.7**2, rel=1e-6)
    assert float(slope[0]) == pytest.approx(penalty * 2 * 0.7 * 0.5, rel=1e-6)
    if penalty == 0:
        assert not np.asarray(slope).any()
    value, slope = auxiliary(jnp.array([-0.8, 0.0]))  # 0.1 m/s: safe
    assert float(value) == pytest.approx(0, abs=1e-20)
    np.testing.assert_allclose(slope, 0, atol=1e-12)


@pytest.mark.parametrize("variant", ["ppo", "ppo-lagrangian", "ppo-filter", "cbf-beta"])
def test_other_heads_have_no_penalty(variant):
    features, scene, pose = (jnp.asarray(world()[0][:, 0]), facing_a_wall().scene, facing_a_wall().pose)
    where = Situation.survey(SHIELD, ROBOT, pose, -pose, scene)
    head = create(variant, penalty=10.0)
    assert float(head.auxiliary_loss(head.distribution(features, where))) == 0
