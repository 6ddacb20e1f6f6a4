"""The PettingZoo environment: its contract, and both robots as the single environment sees each of them."""

import warnings

import jax
import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from safepursuit.adapters.gymnasium import PursuitEvasionEnv
from safepursuit.adapters.pettingzoo import PursuitEvasionParallelEnv
from tiny import CLOSE, moved

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # PettingZoo's own tests import what PettingZoo has deprecated
    from pettingzoo.test import parallel_api_test, parallel_seed_test

AGENTS = ["pursuer", "evader"]


@pytest.fixture(autouse=True)
def no_screen(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


def playing(**settings):
    env = PursuitEvasionParallelEnv(**CLOSE | settings)
    return env, env.reset(seed=1)


def actions_of(env, rng):
    return {agent: rng.uniform(-0.5, 1, 2).astype(np.float32) for agent in env.agents}


@pytest.mark.parametrize("actions", ["normalised", "physical"])
def test_pettingzoo_finds_nothing_wrong(actions, capsys):
    """Neither an error nor, warnings being errors here, a warning."""
    parallel_api_test(PursuitEvasionParallelEnv(actions=actions, **CLOSE), num_cycles=100)
    assert "Passed Parallel API test" in capsys.readouterr().out
    parallel_seed_test(lambda: PursuitEvasionParallelEnv(actions=actions, **CLOSE), num_cycles=60)


def test_each_agent_has_what_the_single_environment_gives_it():
    """As the learner there, against an opponent that did what the other agent does here: whatever that was."""
    rng, ends = np.random.default_rng(0), []
    env, (observations, _) = playing()
    singles = {role: PursuitEvasionEnv(role, **CLOSE) for role in AGENTS}
    for single in singles.values():
        single.reset(seed=0)
    for _ in range(12):
        states = jax.tree.map(lambda leaf: np.asarray(leaf)[..., 0], env._states)
        for role, single in singles.items():
            seen, _ = single.reset(options={"state": states})
            np.testing.assert_allclose(observations[role], seen, atol=1e-6)
        while env.agents:
            observations, rewards, terminations, truncations, infos = env.step(actions_of(env, rng))
            assert set(observations) == set(rewards) == set(infos) == set(AGENTS)
            own = {role: -0.1 * infos[role]["cost"] for role in AGENTS}
            assert rewards["pursuer"] - own["pursuer"] == pytest.approx(-(rewards["evader"] - own["evader"]), abs=1e-5)
            assert infos["pursuer"]["separation"] == infos["evader"]["separation"]
            for role in AGENTS:
                hits = [infos[role][f"collision_{kind}"] for kind in ("wall", "obstacle", "robot")]
                assert infos[role]["cost"] == any(hits)
                assert terminations[role] == infos[role]["captured"]
        assert env.agents == []
        ends.append((any(terminations.values()), any(truncations.values())))
        assert len(set(terminations.values())) == len(set(truncations.values())) == 1
        observations, _ = env.reset()
    assert set(ends) == {(True, False), (False, True)}


def test_one_step_is_that_of_the_single_environment():
    """There the evader flees; here it is told to do what it did there."""
    env, _ = playing()
    single = PursuitEvasionEnv(opponent="flee", **CLOSE)
    single.reset(seed=0)
    rng, compared = np.random.default_rng(1), 0
    for _ in range(20):
        state = jax.tree.map(lambda leaf: np.asarray(leaf)[..., 0], env._states)
        single.reset(options={"state": state})
        action = rng.uniform(-1, 1, 2).astype(np.float32)
        seen, reward, terminated, truncated, info = single.step(action)
        fled = single.state.evader_control  # what the opponent did; now the other agent does it
        evader = np.array([2 * fled[0] / 0.3 - 1, fled[1] / 2.84], np.float32)
        observations, rewards, terminations, truncations, infos = env.step({"pursuer": action, "evader": evader})
        np.testing.assert_allclose(observations["pursuer"], seen, atol=1e-5)
        assert rewards["pursuer"] == pytest.approx(reward, abs=1e-5)
        assert (terminations["pursuer"], truncations["pursuer"]) == (terminated, truncated)
        assert infos["pursuer"] == pytest.approx(info, abs=1e-5)
        compared += 1
        if not env.agents:
            env.reset()
    assert compared == 20


def test_an_invalid_game_is_over_for_both():
    env, _ = playing()
    states = env._states
    env._states = moved(states, pursuer={"pose": states.pursuer.at[2].set(np.inf)})
    with pytest.warns(RuntimeWarning, match="invalid"):
        seen, rewards, terminations, truncations, infos = env.step({role: np.zeros(2) for role in env.agents})
    assert rewards == {"pursuer": 0, "evader": 0}
    assert (set(terminations.values()), set(truncations.values())) == ({True}, {False})
    assert all(info["invalid"] and not info["captured"] for info in infos.values())
    assert all(not observation.any() for observation in seen.values())


def test_the_state_is_what_both_see():
    env, (observations, _) = playing()
    np.testing.assert_array_equal(env.state(), np.concatenate([observations[role] for role in AGENTS]))


def test_pictures():
    env, _ = playing(render_mode="rgb_array")
    assert env.render().shape == (480 + 30 + 16, 600 + 16, 3)
    env, _ = playing(render_mode="human")
    env.step(actions_of(env, np.random.default_rng(0)))
    assert env.render() is None
    env.close()
    env.close()


def test_messages_say_what_to_do():
    env = PursuitEvasionParallelEnv(**CLOSE)
    for early in (env.state, lambda: env.step({})):
        with pytest.raises(ResetNeeded, match="reset"):
            early()
    env.reset(seed=0)
    for actions, words in (
        ({"pursuer": np.zeros(2)}, "no action for the evader"),
        ({}, "the pursuer and the evader"),
        (dict.fromkeys(AGENTS, np.zeros(3)), r"two finite numbers.* shape \(3,\)"),
        ({"pursuer": np.zeros(2), "evader": np.zeros((1, 2))}, r"that of the evader .* shape \(1, 2\)"),
        (dict.fromkeys(AGENTS, np.array([np.inf, 0])), "two finite numbers"),
    ):
        with pytest.raises(ValueError, match=words):
            env.step(actions)
    with pytest.raises(TypeError, match="unknown keyword 'opponent'"):
        PursuitEvasionParallelEnv(opponent="flee")
