"""Policies: one contract for every head, and what BarrierNet and the normaliser promise."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from safepursuit import game as rules
from safepursuit.learn.devices import moments
from safepursuit.policy import HEADS, PolicyConfig, Situation, build_policy, situation
from safepursuit.policy.normaliser import Normaliser
from safepursuit.scene import Scene
from safepursuit.shield import Shield
from tiny import TINY, few, moved, outspoken

ROBOT, SHIELD = TINY.game.robot, Shield()
GAMES = 24
DIFFERENT = ("barriernet", "cbf-beta", "ppo")
"""One method of each way to treat boundaries; the others are made of the same parts."""


def build(method, **changes):
    config = replace(TINY.policy, **changes)
    return outspoken(build_policy(jax.random.key(4), method, config, TINY.game, SHIELD))


@pytest.fixture(scope="module")
def states():
    """Starts with random last controls; every other pursuer close to the eastern wall and facing it."""
    state = rules.initial(jax.random.key(2), TINY.game, GAMES)
    drawn = jax.random.uniform(jax.random.key(3), (2, 2, GAMES), minval=-1)
    at_wall = jnp.stack([jnp.full(GAMES, 2.72), drawn[0, 0], drawn[1, 0]])
    pursuer = jnp.where(jnp.arange(GAMES) % 2 == 0, at_wall, state.pursuer)
    own = {"pose": pursuer, "control": jnp.abs(drawn[0])}
    return moved(state, pursuer=own, evader={"control": jnp.abs(drawn[1])})


@eqx.filter_jit
def respond(policy, state, key):
    """Everything a head is asked for in training and deployment."""
    where = situation(state, TINY.game, SHIELD)
    observation = rules.observe(state, TINY.game)
    distribution = policy.head.distribution(policy.features(observation), where)
    action = policy.head.sample(key, distribution)
    return {
        "value": policy.value(observation),
        "action": action,
        "log_prob": policy.head.log_prob(distribution, action),
        "entropy": policy.head.entropy(distribution),
        "executed": policy.head.execute(distribution, action, where),
        "deployed": policy.head.deploy(distribution, where),
        "nominal": policy.head.nominal(distribution),
        "auxiliary": policy.head.auxiliary_loss(distribution),
        "lost": policy.head.lost_gradient(distribution),
        "std": policy.head.std(distribution),
        "distribution": distribution,
    }


@pytest.fixture(scope="module")
def responses(states):
    """Of every method that is asked for."""

    class Responses(dict):
        def __missing__(self, method):
            self[method] = respond(build(method), states, jax.random.key(0))
            return self[method]

    return Responses()


@pytest.mark.parametrize("method", few(HEADS))
def test_every_head_keeps_the_contract(responses, method):
    found = responses[method]
    shapes = {
        name: found[name].shape for name in ("value", "action", "log_prob", "entropy", "auxiliary", "lost", "std")
    }
    one = (GAMES,)
    assert shapes == {
        "value": one,
        "action": (2, GAMES),
        "log_prob": one,
        "entropy": one,
        "auxiliary": one,
        "lost": one,
        "std": (2, GAMES),
    }
    # The distribution holds the surroundings, where the radius of a wall is infinite.
    for leaf in jax.tree.leaves({name: part for name, part in found.items() if name != "distribution"}):
        assert np.isfinite(np.asarray(leaf)).all()
    for name in ("executed", "deployed"):
        v, turn_rate = np.asarray(found[name].control)
        assert v.min() >= 0
        assert v.max() <= ROBOT.max_speed
        assert np.abs(turn_rate).max() <= ROBOT.max_turn_rate * (1 + 1e-6)
    assert found["lost"].dtype == bool
    assert (np.asarray(found["auxiliary"]) >= 0).all()
    assert np.asarray(found["deployed"].nominal) == pytest.approx(np.asarray(found["nominal"]), abs=1e-6)
    # What is sampled scatters about what is deployed, on the scale that `std` names.
    assert np.asarray(found["action"]).std() > 0.5 * float(found["std"].min())


@pytest.mark.parametrize("method", few(HEADS, 2))
def test_a_game_alone_and_in_a_batch(states, responses, method):
    compared = ("value", "nominal", "auxiliary", "lost", "deployed")

    @eqx.filter_jit
    def answer(policy, state):  # only these, which is half as much to compile
        found = respond(policy, state, jax.random.key(0))
        return {name: found[name] for name in compared}

    alone = answer(build(method), jax.tree.map(lambda leaf: leaf[..., 5], states))
    for name in ("value", "nominal", "auxiliary", "lost"):
        np.testing.assert_allclose(alone[name], responses[method][name][..., 5], atol=1e-5)
    np.testing.assert_allclose(alone["deployed"].control, responses[method]["deployed"].control[:, 5], atol=1e-5)


def test_unknown_methods_are_refused_by_name():
    with pytest.raises(ValueError, match=r"unknown method 'bariernet'; known are barriernet, .*ppo-lagrangian\."):
        build_policy(jax.random.key(0), "bariernet", TINY.policy, TINY.game, SHIELD)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden": ()}, "hidden must name the width of at least one layer"),
        ({"hidden": (8, 0)}, r"hidden must be at least 1, not \(8, 0\)"),
        ({"min_gain": 0.0}, r"min_gain must lie in \(0, 1\]"),
        ({"initial_std": 2.0}, "must lie between min_std"),
        ({"penalty": -1.0}, "penalty must not be negative"),
    ],
)
def test_policy_parameters_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        PolicyConfig(**changes)


def test_barriernet_deploys_its_projected_mean(responses):
    found = responses["barriernet"]
    distribution = found["distribution"]
    np.testing.assert_array_equal(found["deployed"].control, distribution.mean.control)
    # The Gaussian is centred there: the deployed control in half-widths of the actuator box.
    v, turn_rate = np.asarray(found["deployed"].control)
    np.testing.assert_allclose(distribution.gaussian.mean, [2 * v - 1, turn_rate / 2.84], atol=1e-6)
    assert np.asarray(distribution.mean.intervened).any()  # and in some games the projection did something
    assert not np.asarray(distribution.mean.intervened).all()


def test_the_projected_mean_passes_the_sampling_filter_unchanged(states, responses):
    """Samples are executed with γ = 1, the widest safe set, which holds every mean projected with smaller gains."""
    mean = responses["barriernet"]["distribution"].mean.control
    project = eqx.filter_jit(lambda head, nominal, states: head.project(nominal, situation(states, TINY.game, SHIELD)))
    again = project(build("barriernet").head, mean, states)
    np.testing.assert_allclose(again.control, mean, atol=2e-6)


def test_plain_ppo_executes_what_it_samples_up_to_the_limits(responses):
    found = responses["ppo"]
    v, turn_rate = np.asarray(found["action"])
    expected = [np.clip((v + 1) / 2, 0, 1), np.clip(2.84 * turn_rate, -2.84, 2.84)]
    np.testing.assert_allclose(found["executed"].control, expected, atol=1e-6)
    assert not np.asarray(found["executed"].intervened).any()
    assert not np.asarray(found["auxiliary"]).any()


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e3, 1e6])
def test_gains_stay_between_their_bounds_whatever_the_weights(states, scale):
    found = respond(outspoken(build("barriernet"), scale), states, jax.random.key(0))
    gains = np.asarray(found["distribution"].gains)
    assert gains.shape == (2 + 4, GAMES)
    assert gains.min() >= 0.05 - 1e-6
    assert gains.max() <= 1 + 1e-6
    assert scale < 1e3 or gains.max() - gains.min() > 0.9  # to both ends


def test_gains_may_be_fixed(states):
    @eqx.filter_jit
    def gains(policy):
        return respond(policy, states, jax.random.key(0))["distribution"].gains

    np.testing.assert_allclose(gains(build("barriernet", learned_gains=False)), SHIELD.gain)


def test_gains_differ_between_boundaries_and_situations(responses):
    gains = np.asarray(responses["barriernet"]["distribution"].gains)
    assert gains.std(axis=0).min() > 1e-4
    assert gains.std(axis=1).min() > 1e-4


def with_scene(state, change):
    """The state with its discs' arrays changed along their own axis."""
    scene = state.scene
    return state._replace(
        scene=scene._replace(
            centre=change(scene.centre, 1), radius=change(scene.radius, 0), present=change(scene.present, 0)
        )
    )


@pytest.mark.parametrize("method", few(HEADS, 2))
def test_the_order_of_the_discs_does_not_matter(states, responses, method):
    found = respond(build(method), with_scene(states, jnp.flip), jax.random.key(0))
    for name in ("deployed", "executed"):
        np.testing.assert_allclose(found[name].control, responses[method][name].control, atol=1e-5)
    np.testing.assert_allclose(found["value"], responses[method]["value"], atol=1e-5)
    if method == "barriernet":
        before, after = responses[method]["distribution"].gains, found["distribution"].gains
        np.testing.assert_allclose(after, before, atol=1e-6)  # nearest first, whatever the order
        assert float(jnp.abs(before[0] - before[1]).max()) > 1e-3


PLACES = 6
"""For discs, where there are more than in `states`: a number that is compiled once for each method."""


@pytest.mark.parametrize("method", few(DIFFERENT))
def test_padding_does_not_matter(states, responses, method):
    def padded(leaf, axis):
        shape = list(leaf.shape)
        shape[axis] = PLACES - shape[axis]
        filling = jnp.zeros(shape, bool) if leaf.dtype == bool else jax.random.uniform(jax.random.key(7), shape)
        return jnp.concatenate([leaf, filling.astype(leaf.dtype)], axis=axis)

    found = respond(build(method), with_scene(states, padded), jax.random.key(0))
    np.testing.assert_allclose(found["deployed"].control, responses[method]["deployed"].control, atol=1e-5)
    np.testing.assert_allclose(found["value"], responses[method]["value"], atol=1e-5)


@pytest.mark.parametrize("method", DIFFERENT)
def test_more_discs_than_ever_before(method):
    """A policy knows no number of discs."""
    arena = replace(TINY.game.arena, half_extents=(5.0, 5.0), obstacles=PLACES)
    state = rules.initial(jax.random.key(1), replace(TINY.game, arena=arena), GAMES)
    found = respond(build(method), state, jax.random.key(0))
    assert np.isfinite(np.asarray(found["executed"].control)).all()
    if method == "barriernet":
        assert found["distribution"].gains.shape == (PLACES + 4, GAMES)
        assert np.asarray(found["executed"].feasible).all()


def test_the_safety_layer_holds_the_critical_case():
    """Full speed at a wall 5 cm ahead: plain PPO would, BarrierNet and CBF-Beta do not."""
    scene = Scene(jnp.array([3.0, 3.0]), jnp.zeros((2, 1)), jnp.ones(1), jnp.zeros(1, bool))
    pose, opponent = jnp.array([3.0 - 0.2, 0.0, 0.0]), jnp.array([-2.0, 0.0, 0.0])
    asked = jnp.array([1.0, 0.0])

    @eqx.filter_jit
    def project(head, pose, scene):
        return head.project(asked, Situation.survey(SHIELD, ROBOT, pose, opponent, scene))

    for method in ("ppo", "cbf-beta", "barriernet"):
        done = project(build(method).head, pose, scene)
        # h = 0.05 − (0.1 of offset) < 0: no way ahead at all; the robot may turn.
        assert float(done.control[0]) == (1.0 if method == "ppo" else 0.0)
        assert bool(done.intervened) == (method != "ppo")


@pytest.mark.parametrize("sizes", [[1], [5, 1, 300], [64, 64, 64, 64]])
def test_the_normaliser_is_the_mean_and_variance_of_all_samples(sizes):
    rng = np.random.default_rng(0)
    scale, shift = rng.uniform(0.01, 3, 16), rng.normal(0, 2, 16)
    batches = [(rng.normal(size=(n, 16)) * scale + shift).astype(np.float32) for n in sizes]
    normaliser = Normaliser(16)
    for batch in batches:
        normaliser = normaliser.updated(*moments(jnp.asarray(batch.T), None, keep=1), jnp.asarray(float(len(batch))))
    everything = np.concatenate(batches).astype(float)
    assert float(normaliser.count) == sum(sizes)
    np.testing.assert_allclose(normaliser.mean, everything.mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(normaliser.variance, everything.var(axis=0), rtol=1e-3, atol=1e-6)


def test_normalised_observations_are_standard_and_bounded(states):
    rng = np.random.default_rng(0)
    ego = jnp.asarray(rng.normal(3, 0.5, (16, 4000)), jnp.float32)
    normaliser = Normaliser(16).updated(jnp.mean(ego, axis=1), jnp.var(ego, axis=1), jnp.asarray(4000.0))
    observation = rules.observe(states, TINY.game)
    many = jax.tree.map(lambda leaf: jnp.repeat(leaf[..., :1], 4000, axis=-1), observation)
    seen = np.asarray(normaliser(many._replace(ego=ego)).ego)
    np.testing.assert_allclose(seen.mean(axis=1), 0, atol=0.01)
    np.testing.assert_allclose(seen.std(axis=1), 1, atol=0.01)
    far = normaliser(many._replace(ego=1e6 * ego))
    assert float(jnp.abs(far.ego).max()) == 5
    # Discs pass as they are; a fresh normaliser changes next to nothing.
    np.testing.assert_array_equal(normaliser(many).discs, many.discs)
    np.testing.assert_allclose(Normaliser(16)(many).ego, many.ego, atol=1e-4)


@pytest.mark.wide
def test_normalisation_can_be_switched_off(states):
    observation = rules.observe(states, TINY.game)
    for on in (True, False):
        policy = build("ppo", normalise=on)
        moved = eqx.tree_at(lambda one: one.normaliser.mean, policy, policy.normaliser.mean + 0.5)
        assert np.allclose(moved.value(observation), policy.value(observation)) is not on
