"""Stable-Baselines3 on our vector environment, with and without the shield: `make bench-sb3`.

Trains its PPO for several seeds, plays 1,000 fixed scenarios without noise for the referee, and measures the
environments through Gymnasium's interface. Results go to docs/benchmarks/stable_baselines3.md. (This file has another
name than the library, because Python would import it in the library's place.)

usage: python benchmarks/stable_baselines.py [speeds]        with `speeds`, only these are measured anew
"""

import json
import os
import platform
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium
import jax
import numpy as np
import torch
from scipy.stats import binomtest
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecMonitor

from safepursuit.adapters.gymnasium import ShieldAction, VectorShieldAction, record
from safepursuit.adapters.stable_baselines3 import StableBaselinesVecEnv
from safepursuit.evaluation import metrics, scenarios
from safepursuit.game import Game
from safepursuit.runs.folder import write_json, write_text

ID = "safepursuit/Pursuit-v0"
OUT = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"
STEPS, GAMES, SEEDS, EPISODES = 1_000_000, 256, (0, 1, 2), 1000
BATCHES, SECONDS, ROUNDS = (1, 64, 1024, 4096), 1.5, 5
ARMS = {
    "plain": ("no shield", "no shield"),
    "deployed": ("no shield", "`ShieldAction`"),
    "loop": ("`ShieldAction`", "`ShieldAction`"),
}
"""What stands around the environment in training, and when it is judged."""


class Clock(BaseCallback):
    """Seconds spent in rollouts: the environment, and the learner's forward passes and bookkeeping."""

    def __init__(self) -> None:
        super().__init__()
        self.playing, self._since = 0.0, 0.0

    def _on_rollout_start(self) -> None:
        self._since = time.perf_counter()

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.playing += time.perf_counter() - self._since


def vector(games: int, shielded: bool, **settings: Any) -> gymnasium.vector.VectorEnv:
    envs = gymnasium.make_vec(ID, num_envs=games, opponent="random", **settings)
    return VectorShieldAction(envs) if shielded else envs


def train(seed: int, shielded: bool) -> tuple[PPO, dict[str, float]]:
    """PPO with the settings of our own trainer; without a shield an episode ends at the first collision, as there."""
    learner = PPO(
        "MlpPolicy",
        VecMonitor(StableBaselinesVecEnv(vector(GAMES, shielded, collision_terminates=not shielded))),
        n_steps=64,
        batch_size=2048,
        n_epochs=4,
        gamma=0.995,
        gae_lambda=0.98,
        learning_rate=lambda left: 1e-3 * left,
        ent_coef=0.001,
        seed=seed,
        device="cpu",
    )
    clock, start = Clock(), time.perf_counter()
    learner.learn(STEPS, callback=clock)
    seconds = time.perf_counter() - start
    speed = learner.num_timesteps / seconds
    return learner, {"seconds": seconds, "steps_per_second": speed, "rollout_share": clock.playing / seconds}


def judge(learner: PPO, shielded: bool) -> dict[str, Any]:
    """The referee's figures on the first scenarios of the suite “standard”, as `safepursuit evaluate` draws them."""
    states = scenarios.draw("standard", Game(), 0, EPISODES).states
    agent = lambda seen: learner.predict(seen, deterministic=True)[0]  # noqa: E731
    recording = record(agent, vector(EPISODES, shielded), seed=0, states=states)
    return metrics.figures(recording, metrics.verdict(recording))


def train_and_judge() -> dict[str, dict[str, Any]]:
    """All arms, all seeds; what was trained once is judged twice."""
    found: dict[str, dict[str, Any]] = {arm: {} for arm in ARMS}
    for seed in SEEDS:
        for in_loop in (False, True):
            learner, training = train(seed, in_loop)
            for arm in ("loop",) if in_loop else ("plain", "deployed"):
                found[arm][str(seed)] = {"training": training, "figures": judge(learner, arm != "plain")}
                print(arm, seed, training, found[arm][str(seed)]["figures"]["capture"], flush=True)
    return found


def measured(step: Any, games: int) -> dict[str, float]:
    """Environment steps per second, median, least and most of some rounds after a first one; `step` takes a number."""
    rates = []
    for turn in range(ROUNDS + 1):
        steps, start = 0, time.perf_counter()
        while time.perf_counter() - start < SECONDS:
            step(steps)
            steps += 1
        if turn:
            rates.append(steps * games / (time.perf_counter() - start))
    return {"median": statistics.median(rates), "least": min(rates), "most": max(rates)}


def vector_speed(games: int, shielded: bool) -> dict[str, float]:
    """Arrays in and out, with the new starts of games that end."""
    envs = vector(games, shielded)
    envs.reset(seed=0)
    actions = np.random.default_rng(0).uniform(-1, 1, (16, games, 2)).astype(np.float32)
    return measured(lambda number: envs.step(actions[number % 16]), games)


def single_speed(shielded: bool) -> dict[str, float]:
    """`PursuitEvasionEnv` alone, with its resets."""
    env = gymnasium.make(ID, opponent="random").unwrapped
    env = ShieldAction(env) if shielded else env
    env.reset(seed=0)
    actions = np.random.default_rng(0).uniform(-1, 1, (16, 2)).astype(np.float32)

    def step(number: int) -> None:
        _, _, terminated, truncated, _ = env.step(actions[number % 16])
        if terminated or truncated:
            env.reset()

    return measured(step, 1)


def speeds() -> dict[str, dict[str, dict[str, float]]]:
    found = {"one": {"plain": single_speed(False), "shielded": single_speed(True)}}
    for games in BATCHES:
        found[str(games)] = {"plain": vector_speed(games, False), "shielded": vector_speed(games, True)}
    return found


def pooled(results: dict[str, Any]) -> tuple[int, int]:
    """Episodes with own collisions, and episodes, of all seeds."""
    figures = [one["figures"] for one in results.values()]
    return sum(one["collision"]["count"] for one in figures), sum(one["episodes"] for one in figures)


def page(result: dict[str, Any]) -> str:
    ppo = result["ppo"]
    lines = [
        "# Stable-Baselines3 on the vector environment",
        "",
        f"Written by `make bench-sb3`: Stable-Baselines3 {result['stable_baselines3']}, "
        f"Gymnasium {result['gymnasium']}, JAX {result['jax']}, PyTorch {result['torch']} on one "
        f"thread; {result['cores']} cores ({result['machine']}).",
        "",
        "## Learning, and the shield around what was learned",
        "",
        f"Its PPO against the random evader, 2 discs, {STEPS:,} steps, {GAMES} games × 64 steps, minibatches of 2,048, "
        "4 epochs, γ 0.995, λ 0.98, learning rate 10⁻³ falling to 0, entropy 0.001, its default network (tanh, "
        "64 × 64) on the flat observation. Without a shield a training episode ends at the first collision.",
        "",
        f"Judged without noise on the first {EPISODES:,} scenarios of the suite “standard”, the evader's dice those of "
        "the vector environment. Collisions are episodes with one of the pursuer's own, by the referee. Intervals are "
        "95 %, Wilson for capture, Clopper–Pearson for collisions.",
        "",
        "| trained with | judged with | seed | capture | own collisions | intervened | median capture time | steps/s |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for arm, (trained, judged) in ARMS.items():
        for seed, one in ppo[arm].items():
            figures, training = one["figures"], one["training"]
            capture, hits = figures["capture"], figures["collision"]
            middle = figures["capture_time"]["median"]
            lines.append(
                f"| {trained} | {judged} | {seed} "
                f"| {capture['rate']:.1%} ({capture['low']:.1%} – {capture['high']:.1%}) "
                f"| {hits['count']} ({hits['low']:.2%} – {hits['high']:.2%}) | {figures['intervention_rate']:.2%} "
                f"| {'–' if middle is None else f'{middle:.1f} s'} | {training['steps_per_second']:,.0f} |"
            )
    lines += ["", "All seeds together, episodes with own collisions:", ""]
    for arm, (trained, judged) in ARMS.items():
        hits, episodes = pooled(ppo[arm])
        interval = binomtest(hits, episodes).proportion_ci(0.95, "exact")
        lines.append(
            f"* trained with {trained}, judged with {judged}: {hits} of {episodes:,}, "
            f"between {interval.low:.3%} and {interval.high:.3%}"
        )
    share = statistics.mean(one["training"]["rollout_share"] for arm in ARMS for one in ppo[arm].values())
    lines += [
        "",
        f"steps/s counts all of the training; {share:.0%} of its time went into rollouts, the rest into updates.",
        "",
        "## Speed through the interface",
        "",
        "NumPy arrays in and out, random actions, random evader, new starts included; environment steps per second "
        f"of all games, medians of {ROUNDS} rounds of {SECONDS} s (least – most).",
        "",
        "| | games | alone | behind the shield |",
        "|---|---:|---:|---:|",
    ]
    for games, row in result["speeds"].items():
        what = ("`PursuitEvasionEnv`", "1") if games == "one" else ("`PursuitEvasionVectorEnv`", f"{int(games):,}")
        cells = (f"{one['median']:,.0f} ({one['least']:,.0f} – {one['most']:,.0f})" for one in row.values())
        lines.append(f"| {what[0]} | {what[1]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    file = OUT / "stable_baselines3.json"
    old = json.loads(file.read_text(encoding="utf-8")) if sys.argv[1:] == ["speeds"] else {}
    torch.set_num_threads(1)  # these networks are too small to be shared out
    result = {
        "machine": f"{platform.machine()}, {jax.devices()[0].platform}",
        "cores": os.cpu_count(),
        **{name: version(name) for name in ("stable_baselines3", "gymnasium", "jax", "torch")},
        "speeds": speeds(),
        "ppo": old.get("ppo") or train_and_judge(),
    }
    write_json(file, result)
    text = page(result)
    write_text(OUT / "stable_baselines3.md", text)
    print(text)


if __name__ == "__main__":
    main()
