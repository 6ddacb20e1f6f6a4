"""Training speed with the safety layer and without: `make bench-training`.

Alternates the methods in one process, so that whatever else the machine does meets them equally, and writes the medians
to docs/benchmarks/training_speed.md. The slowdown is the median of the ratios of neighbouring iterations.
"""

import json
import os
import platform
import statistics
import time
from pathlib import Path

import jax

from safepursuit.policy import HEADS
from safepursuit.ppo import BarrierNetTrainer, TrainConfig

ROUNDS, WARM_UP = 30, 2
OUT = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"


def main() -> None:
    trainers = {method: BarrierNetTrainer(TrainConfig(method=method)) for method in HEADS}
    times: dict[str, dict[str, list[float]]] = {method: {"rollout": [], "update": []} for method in HEADS}
    for turn in range(WARM_UP + ROUNDS):
        for method, trainer in trainers.items():
            start = time.perf_counter()
            rollout = jax.block_until_ready(trainer.collect_rollout())
            played = time.perf_counter()
            trainer.update(rollout)
            jax.block_until_ready(trainer.state.policy)
            if turn >= WARM_UP:
                times[method]["rollout"].append(played - start)
                times[method]["update"].append(time.perf_counter() - played)
    config = trainers["ppo"].config
    steps = config.steps_per_iteration
    whole = {
        method: [a + b for a, b in zip(parts["rollout"], parts["update"], strict=True)]
        for method, parts in times.items()
    }
    result = {
        "machine": f"{platform.machine()}, {jax.device_count()} {jax.devices()[0].platform} device(s)",
        "cores": os.cpu_count(),
        "jax": jax.__version__,
        "games": config.num_envs,
        "rollout_length": config.rollout_length,
        "hidden": config.policy.hidden,
        "epochs": config.ppo.epochs,
        "rounds": ROUNDS,
        "methods": {
            method: {
                "steps_per_second": steps / statistics.median(whole[method]),
                "steps_per_second_quartiles": [
                    steps / quantile for quantile in reversed(statistics.quantiles(whole[method], n=4)[::2])
                ],
                "rollout_share": sum(parts["rollout"]) / sum(whole[method]),
                "slowdown": statistics.median(a / b for a, b in zip(whole[method], whole["ppo"], strict=True)),
            }
            for method, parts in times.items()
        },
    }
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "training_speed.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    lines = [
        "# Training speed",
        "",
        f"Written by `make bench-training`: {result['games']} games, rollouts of {result['rollout_length']} steps, "
        f"hidden layers {list(result['hidden'])}, {result['epochs']} epochs; {result['cores']} cores "
        f"({result['machine']}), JAX {result['jax']}; medians of {ROUNDS} alternating iterations.",
        "",
        "| method | environment steps/s | quartiles | time in rollouts | slowdown against plain PPO |",
        "|---|---:|---:|---:|---:|",
    ]
    for method, row in result["methods"].items():
        low, high = sorted(row["steps_per_second_quartiles"])
        lines.append(
            f"| {method} | {row['steps_per_second']:,.0f} | {low:,.0f} – {high:,.0f} | {row['rollout_share']:.0%} "
            f"| {row['slowdown']:.2f}× |"
        )
    text = "\n".join(lines) + "\n"
    (OUT / "training_speed.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
