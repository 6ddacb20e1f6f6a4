"""The examples run, as they stand, in a small setting; and Stable-Baselines3 gets what it expects from the bridge."""

import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import VecMonitor

from safepursuit.adapters.gymnasium import PursuitEvasionVectorEnv, VectorShieldAction
from safepursuit.adapters.stable_baselines3 import StableBaselinesVecEnv
from tiny import CLOSE

pytestmark = pytest.mark.wide

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
GAMES = 16


def many():
    return PursuitEvasionVectorEnv(GAMES, opponent="flee", **CLOSE)


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.py")), ids=lambda file: file.name)
def test_examples_are_short(file):
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 60


def example(name, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.delitem(sys.modules, name, raising=False)
    return __import__(name)


def test_a_stick_pushed_to_the_limit_hits_nothing(monkeypatch):
    joystick = example("joystick", monkeypatch)
    counts = joystick.drive(lambda: (1.0, 0.0), 400, "rgb_array")
    assert counts["steps"] == 400
    assert counts["intervened"] > 10  # until it slides along the wall that it was driven at
    assert counts["collisions"] == 0


def test_the_demo_runs_without_a_screen():
    run = [sys.executable, EXAMPLES / "joystick.py", "--demo", "20"]
    done = subprocess.run(run, capture_output=True, text=True, check=True, timeout=600)
    assert done.stdout.startswith("{'steps': 20")


def test_stable_baselines_trains_and_is_protected(monkeypatch):
    bench = example("stable_baselines", monkeypatch)
    torch.set_num_threads(1)
    learner = bench.train(2 * 64 * GAMES, GAMES, policy_kwargs={"net_arch": [8]})
    assert learner.num_timesteps == 2 * 64 * GAMES
    found = bench.judge(learner, GAMES, shielded=True)
    assert found["episodes"] == GAMES
    assert found["collision"]["count"] == 0
    assert found["infeasible_rate"] == 0


def test_the_bridge_hands_on_what_the_environment_says():
    ours, theirs = many(), VecMonitor(StableBaselinesVecEnv(many()))
    theirs.seed(3)
    np.testing.assert_array_equal(theirs.reset(), ours.reset(seed=3)[0])
    ends = dict.fromkeys(("terminated", "truncated"), 0)
    rng = np.random.default_rng(0)
    for _ in range(90):
        actions = rng.uniform(-0.2, 1, (GAMES, 2)).astype(np.float32)
        after, reward, terminated, truncated, infos = ours.step(actions)
        seen, rewards, over, listed = theirs.step(actions)
        np.testing.assert_array_equal(seen, after)
        np.testing.assert_array_equal(rewards, reward.astype(np.float32))
        np.testing.assert_array_equal(over, terminated | truncated)
        for i, info in enumerate(listed):
            assert info["cost"] == infos["cost"][i]
            assert ("terminal_observation" in info) == ("episode" in info) == over[i]
            if over[i]:
                np.testing.assert_array_equal(info["terminal_observation"], infos["final_obs"][i])
                assert info["TimeLimit.truncated"] == truncated[i]
                assert info["captured"] == infos["captured"][i]
        ends["terminated"] += terminated.sum()
        ends["truncated"] += truncated.sum()
    assert min(ends.values()) > 5


def test_the_bridge_takes_any_vector_environment_of_its_mode():
    settings = {"vectorization_mode": "sync", "vector_kwargs": {"autoreset_mode": AutoresetMode.SAME_STEP}}
    bridge = StableBaselinesVecEnv(gymnasium.make_vec("CartPole-v1", num_envs=2, **settings))
    bridge.reset()
    for _ in range(60):
        _, rewards, over, infos = bridge.step(np.zeros(2, int))
        if over.any():
            assert infos[int(np.argmax(over))]["terminal_observation"].shape == (4,)
            break
    else:
        pytest.fail("the pole never fell")
    assert rewards.dtype == np.float32
    with pytest.raises(ValueError, match="SAME_STEP"):
        StableBaselinesVecEnv(gymnasium.make_vec("CartPole-v1", num_envs=2, vectorization_mode="sync"))
    assert StableBaselinesVecEnv(VectorShieldAction(many())).get_attr("num_envs") == [GAMES] * GAMES
    for refused in (lambda: bridge.set_attr("x", 1), lambda: bridge.env_method("x")):
        with pytest.raises(NotImplementedError, match="games"):
            refused()
