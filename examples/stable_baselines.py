"""Train Stable-Baselines3's PPO on our vector environment, then put the shield around it.

usage: python examples/stable_baselines.py [STEPS [GAMES]]

It learns without a safety layer, and pays for collisions only; the referee counts what it does with and without one.
"""

import sys
from typing import Any

import gymnasium
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecMonitor

from safepursuit.adapters.gymnasium import VectorShieldAction, record
from safepursuit.adapters.stable_baselines3 import StableBaselinesVecEnv
from safepursuit.evaluation import metrics

ID = "safepursuit/Pursuit-v0"


def train(steps: int, games: int = 256, seed: int = 0, **settings: Any) -> PPO:
    """A pursuer of the random evader."""
    envs = gymnasium.make_vec(ID, num_envs=games, opponent="random")
    learner = PPO(
        "MlpPolicy",
        VecMonitor(StableBaselinesVecEnv(envs)),
        n_steps=64,
        batch_size=min(2048, 64 * games),
        n_epochs=4,
        gamma=0.995,
        gae_lambda=0.98,
        learning_rate=lambda left: 1e-3 * left,
        ent_coef=0.001,
        seed=seed,
        device="cpu",
        **settings,
    )
    return learner.learn(steps)


def judge(learner: PPO, episodes: int, shielded: bool) -> dict[str, Any]:
    """The referee's figures on so many episodes, played without noise."""
    envs = gymnasium.make_vec(ID, num_envs=episodes, opponent="random")
    envs = VectorShieldAction(envs) if shielded else envs
    recording = record(lambda seen: learner.predict(seen, deterministic=True)[0], envs, seed=1)
    return metrics.figures(recording, metrics.verdict(recording))


if __name__ == "__main__":
    learner = train(*(int(word) for word in sys.argv[1:] or ["500_000"]))
    for shielded in (False, True):
        found = judge(learner, 1000, shielded)
        capture, hits = found["capture"]["rate"], found["collision"]["count"]
        print(f"shield {shielded!s:5}  captured {capture:.1%}  episodes with own collisions {hits}")
