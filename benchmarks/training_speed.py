"""Training speed of every method, and of several seeds in one program: `make bench-training`.

The methods take turns in one process, so that whatever else the machine does meets them equally; the slowdown against
plain PPO is the median of the ratios of neighbouring iterations. Results go to docs/benchmarks/training_speed.md.
"""

import os
import platform
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

from methods import METHODS, Cell
from safepursuit.ppo import BarrierNetTrainer, SeedGroup, TrainConfig
from safepursuit.runs.folder import write_json

ROUNDS, WARM_UP = 30, 2
SEED_METHODS, SEEDS, SEED_ITERATIONS = ("barriernet", "ppo"), 4, 16
OUT = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"


def measure_methods() -> dict[str, dict[str, Any]]:
    """Iterations of all methods in turn."""
    configs = {one.name: Cell(one, "random", 2).config(TrainConfig().timesteps) for one in METHODS}
    trainers = {name: BarrierNetTrainer(_unstopped(config)) for name, config in configs.items()}
    times: dict[str, dict[str, list[float]]] = {name: {"rollout": [], "update": []} for name in trainers}
    for turn in range(WARM_UP + ROUNDS):
        # There and back again, so that no method always follows the same one.
        for name, trainer in list(trainers.items())[:: 1 if turn % 2 else -1]:
            start = time.perf_counter()
            rollout = jax.block_until_ready(trainer.collect_rollout())
            played = time.perf_counter()
            trainer.update(rollout)
            jax.block_until_ready(trainer.state.policy)
            if turn >= WARM_UP:
                times[name]["rollout"].append(played - start)
                times[name]["update"].append(time.perf_counter() - played)
    whole = {name: [a + b for a, b in zip(*parts.values(), strict=True)] for name, parts in times.items()}
    steps = TrainConfig().steps_per_iteration
    return {
        name: {
            "steps_per_second": steps / statistics.median(whole[name]),
            "steps_per_second_quartiles": sorted(steps / one for one in statistics.quantiles(whole[name], n=4)[::2]),
            "rollout_share": sum(parts["rollout"]) / sum(whole[name]),
            "slowdown": statistics.median(a / b for a, b in zip(whole[name], whole["ppo"], strict=True)),
        }
        for name, parts in times.items()
    }


def measure_seeds() -> dict[str, dict[str, float]]:
    """Environment steps a second of one seed alone, and of several in one program."""
    found = {}
    for method in SEED_METHODS:
        base = _unstopped(TrainConfig(method=method))
        base = replace(base, timesteps=SEED_ITERATIONS * base.steps_per_iteration)
        lone = BarrierNetTrainer(base)
        lone.train()
        group = SeedGroup([BarrierNetTrainer(replace(base, seed=seed)) for seed in range(SEEDS)])
        group.train()
        alone, together = (
            statistics.median(row["time/steps_per_second"] for row in one.history[1:])
            for one in (lone, group.trainers[0])
        )
        found[method] = {"alone": alone, "together": together, "speed_up": together / alone}
    return found


def _unstopped(config: TrainConfig) -> TrainConfig:
    """With updates that never end early, so that all do the same work."""
    return replace(config, ppo=replace(config.ppo, target_kl=0.0))


def main() -> None:
    jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)  # as `train --seeds` does
    config = TrainConfig()
    result = {
        "machine": f"{platform.machine()}, {jax.devices()[0].platform}",
        "cores": os.cpu_count(),
        "jax": jax.__version__,
        "games": config.num_envs,
        "rollout_length": config.rollout_length,
        "hidden": config.policy.hidden,
        "epochs": config.ppo.epochs,
        "rounds": ROUNDS,
        "methods": measure_methods(),
        "seeds": SEEDS,
        "several_seeds": measure_seeds(),
    }
    write_json(OUT / "training_speed.json", result)
    lines = [
        "# Training speed",
        "",
        f"Written by `make bench-training`: {result['games']} games, rollouts of {result['rollout_length']} steps, "
        f"hidden layers {list(result['hidden'])}, {result['epochs']} epochs, no early stop; {result['cores']} cores "
        f"({result['machine']}), JAX {result['jax']}; medians of {ROUNDS} alternating iterations.",
        "",
        "| method | environment steps/s | quartiles | time in rollouts | slowdown against plain PPO |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, row in result["methods"].items():
        low, high = row["steps_per_second_quartiles"]
        lines.append(
            f"| {name} | {row['steps_per_second']:,.0f} | {low:,.0f} – {high:,.0f} | {row['rollout_share']:.0%} "
            f"| {row['slowdown']:.2f}× |"
        )
    lines += [
        "",
        f"`train --seeds`: {SEEDS} seeds in one program, all steps counted, beside one seed alone; medians of "
        f"{SEED_ITERATIONS - 1} iterations.",
        "",
        "| method | one seed, steps/s | together, steps/s | speed-up |",
        "|---|---:|---:|---:|",
    ]
    for method, row in result["several_seeds"].items():
        lines.append(f"| {method} | {row['alone']:,.0f} | {row['together']:,.0f} | {row['speed_up']:.2f}× |")
    text = "\n".join(lines) + "\n"
    (OUT / "training_speed.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
