"""How much work an environment step of training is, and how fast this machine could do it: `make bench-roofline`.

Floating-point operations, transcendental functions and bytes are those that XLA counts in each part by itself
(`cost_analysis`; of a loop it counts the body once, and the projection's search is a loop). The peak is measured, with
a large matrix product. Bytes are what all operations read and write; with batches of a few thousand they come from the
caches, so that they are no bound, but they say what a change that fuses two operations would save. Results go to
docs/benchmarks/roofline.md; docs/performance.md says what they mean.
"""

import json
import os
import statistics
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from safepursuit import game as rules
from safepursuit import shield as safety
from safepursuit.benchmark.clock import Pace
from safepursuit.experiment import TrainConfig
from safepursuit.learn import BarrierNetTrainer
from safepursuit.learn.update import as_batch, trainable
from safepursuit.policy import situation
from turns import alternate

OUT = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"
BATCH, ROUNDS = 2048, 30


def seconds(function: Callable[..., Any], *arguments: Any) -> float:
    """The median of several calls, compiled before."""
    (taken,) = alternate({"": partial(function, *arguments)}, Pace(ROUNDS, least=0.0, quick=False)).values()
    return statistics.median(taken)


def peak() -> float:
    """Floating-point operations per second of a large matrix product on all cores."""
    size = 2048
    return 2 * size**3 / seconds(jax.jit(jnp.matmul), *[jax.random.normal(jax.random.key(0), (size, size))] * 2)


def parts(config: TrainConfig) -> dict[str, tuple[float, Callable[..., Any], tuple[Any, ...]]]:
    """Each part of an iteration: how often a game's step passes through it, the function, its arguments (a batch)."""
    trainer = BarrierNetTrainer(replace(config, num_envs=BATCH // 8, rollout_length=8))
    batch = as_batch(trainer.collect_rollout(), config.ppo)
    samples = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, -2).reshape(*leaf.shape[1:-1], -1), batch)
    policy, robot, shield = trainer.policy, config.game.robot, config.shield
    states = rules.initial(jax.random.key(1), config.game, BATCH)
    nominal = jnp.stack([jnp.linspace(0, 1, BATCH), jnp.linspace(-2, 2, BATCH)])
    learned, fixed = eqx.partition(policy, trainable(policy))

    def network(learned, observation):
        whole = eqx.combine(learned, fixed)
        return jnp.mean(whole.head.layer.weight @ whole.features(observation)) + jnp.mean(whole.value(observation))

    def layer(nominal, around):
        done = safety.guard(nominal, around, robot=robot, shield=shield, gains=0.5)
        return jnp.sum(done.control), done.intervened

    around = samples.situation.around
    epochs = config.ppo.epochs
    game = lambda states, control: rules.transition(states, (control, control), config.game)  # noqa: E731
    return {
        "game: transition": (1, game, (states, nominal)),
        "game: observation": (1, lambda states: rules.observe(states, config.game), (states,)),
        "shield: survey, both robots": (2, lambda states: situation(states, config.game, shield).around, (states,)),
        "shield: program, rollout": (3, layer, (nominal, around)),
        "network, rollout": (1, network, (learned, samples.observation)),
        "shield: program with gradient, update": (epochs, jax.value_and_grad(layer, has_aux=True), (nominal, around)),
        "network with gradient, update": (epochs, jax.value_and_grad(network), (learned, samples.observation)),
    }


def main() -> None:
    config = TrainConfig()
    compute = peak()
    rows = []
    for name, (times, function, arguments) in parts(config).items():
        compiled = jax.jit(function).lower(*arguments).compile()
        cost = compiled.cost_analysis()
        flops, transferred = (times * cost[key] / BATCH for key in ("flops", "bytes accessed"))
        taken = times * seconds(jax.jit(function), *arguments) / BATCH
        rows.append(
            {
                "part": name,
                "times": times,
                "flops": flops,
                "transcendentals": times * cost.get("transcendentals", 0.0) / BATCH,
                "bytes": transferred,
                "at_peak_ns": 1e9 * flops / compute,
                "measured_ns": 1e9 * taken,
            }
        )
    write(rows, compute, config)


def write(rows: list[dict[str, Any]], compute: float, config: TrainConfig) -> None:
    total = {key: sum(row[key] for row in rows) for key in rows[0] if key != "part"}
    lines = [
        "# The roofline of a training step",
        "",
        f"Written by `make bench-roofline`: default configuration ({config.num_envs} games, {config.ppo.epochs} "
        f"epochs, hidden layers {list(config.policy.hidden)}), each part by itself on {BATCH} games and one device, "
        f"counted for one step of one game. Measured peak of {os.cpu_count()} cores: {compute / 1e9:,.0f} GFLOP/s.",
        "",
        "| part | passes | FLOP | transcendental | bytes | at peak [ns] | measured [ns] |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in [*rows, {"part": "**together**", **total, "times": ""}]:
        numbers = (row[key] for key in ("flops", "transcendentals", "bytes", "at_peak_ns", "measured_ns"))
        lines.append(f"| {row['part']} | {row['times']} | " + " | ".join(f"{value:,.0f}" for value in numbers) + " |")
    text = "\n".join(lines) + "\n"
    OUT.joinpath("roofline.md").write_text(text, encoding="utf-8")
    record = {"flops_per_second": compute, "parts": rows}
    OUT.joinpath("roofline.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
