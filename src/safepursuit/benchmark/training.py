"""Training speed of every method, where its time goes, and several seeds in one program."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jax

from safepursuit.benchmark.clock import Pace, spread
from safepursuit.benchmark.shares import PARTS, iteration_parts
from safepursuit.benchmark.tables import Table, number, ranged, share
from safepursuit.experiment import TrainConfig
from safepursuit.learn import BarrierNetTrainer, SeedGroup
from safepursuit.policy import HEADS

CONTENDERS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in HEADS},
    "cbf-beta, box": ("cbf-beta", {"safe_set": "box"}),
    "ppo-shielded, λ = 0": ("ppo-shielded", {"penalty": 0.0}),
}
"""What is trained: a method and its settings, by name."""

PLAIN = "ppo"
"""What the others' slowdown is relative to."""

SEED_METHODS, SEEDS, SEED_ITERATIONS = ("barriernet", PLAIN), 4, 16
ROUNDS, QUICK_ROUNDS, WARM_UP = 30, 4, 2


def unstopped(name: str, devices: int | None = None) -> TrainConfig:
    """A contender's configuration with the default budget, its games spread over so many devices, and updates that
    never end early: equal work for all."""
    method, settings = CONTENDERS[name]
    config = TrainConfig(method=method, devices=devices)
    return replace(config, policy=replace(config.policy, **settings), ppo=replace(config.ppo, target_kl=0.0))


def measure(pace: Pace) -> dict[str, Any]:
    """Environment steps a second, shares of time, and what seeds side by side bring."""
    names = ("barriernet", PLAIN) if pace.quick else tuple(CONTENDERS)
    rounds = QUICK_ROUNDS if pace.quick else ROUNDS
    devices = jax.local_device_count()
    found = {
        "setting": _setting(unstopped(PLAIN, devices)),
        "methods": measure_methods({name: BarrierNetTrainer(unstopped(name, devices)) for name in names}, rounds),
    }
    alone = {name: BarrierNetTrainer(unstopped(name)) for name in names if name in HEADS}
    found["one_device"] = measure_methods(alone, rounds)
    found["shares"] = {name: iteration_parts(trainer, pace) for name, trainer in alone.items()}
    if not pace.quick:
        found["several_seeds"] = measure_seeds()
    return found


def measure_methods(trainers: Mapping[str, BarrierNetTrainer], rounds: int) -> dict[str, Any]:
    """Iterations of all in turn, there and back again; the slowdown is the median over neighbouring iterations."""
    times: dict[str, dict[str, list[float]]] = {name: {"rollout": [], "update": []} for name in trainers}
    for turn in range(WARM_UP + rounds):
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
    found = {}
    for name, parts in times.items():
        steps = trainers[name].config.steps_per_iteration
        found[name] = {
            "steps_per_second": spread([steps / one for one in whole[name]])._asdict(),
            "rollout_share": sum(parts["rollout"]) / sum(whole[name]),
            "slowdown": spread([a / b for a, b in zip(whole[name], whole[PLAIN], strict=True)])._asdict(),
        }
    return found


def measure_seeds() -> dict[str, dict[str, float]]:
    """Environment steps a second of one seed alone, and of several in one program."""
    found = {}
    for method in SEED_METHODS:
        base = unstopped(method)  # not shortened: a short training would be compiled with less effort
        lone = BarrierNetTrainer(base)
        lone.train(should_stop=_enough(lone))
        group = SeedGroup([BarrierNetTrainer(replace(base, seed=seed)) for seed in range(SEEDS)])
        group.train(should_stop=_enough(group.trainers[0]))
        alone, together = (
            statistics.median(row["time/steps_per_second"] for row in one.history[1:])
            for one in (lone, group.trainers[0])
        )
        found[method] = {"alone": alone, "together": together, "speed_up": together / alone}
    return found


def _enough(trainer: BarrierNetTrainer) -> Callable[[], bool]:
    return lambda: trainer.state.iteration >= SEED_ITERATIONS


def tables(found: dict[str, Any]) -> list[Table]:
    setting = found["setting"]
    about = (
        f"{setting['games']} games, rollouts of {setting['rollout_length']} steps, hidden layers {setting['hidden']}, "
        f"{setting['epochs']} epochs of {setting['minibatches']} minibatches, two discs, the random evader, no early "
        "stop."
    )
    speeds = [
        (
            name,
            ranged(row["steps_per_second"]),
            share(row["rollout_share"]),
            f"{row['slowdown']['median']:.2f}×",
            ranged(found["one_device"][name]["steps_per_second"]) if name in found["one_device"] else "",
        )
        for name, row in found["methods"].items()
    ]
    parts = [
        (name, f"{1e3 * row['iteration']['median']:.1f}", *(share(row["shares"][part]) for part in PARTS))
        for name, row in found["shares"].items()
    ]
    made = [
        Table(
            "Training",
            ("method", "environment steps/s", "time in rollouts", "slowdown against plain PPO", "on one device"),
            speeds,
            f"{about} The games are spread over {setting['devices']} devices, as `train` does; medians of {ROUNDS} "
            "iterations. The slowdown is the median of the ratios of neighbouring iterations.",
        ),
        Table(
            "Where the time of a training iteration goes",
            ("method", "iteration, ms", *PARTS.values()),
            parts,
            "On one device. Each part is run by itself on the same states as in the iteration, as often, in one "
            "compiled scan, in alternation with the whole; what is left (random numbers, records, restarts, dealing of "
            "minibatches, advantages, optimiser; less what XLA saves by fusing the parts) is *other*. *Head*: "
            "distribution, sample, log-probability, and all of the safety layer but the survey.",
        ),
    ]
    if "several_seeds" in found:
        seeds = [
            (name, number(row["alone"]), number(row["together"]), f"{row['speed_up']:.2f}×")
            for name, row in found["several_seeds"].items()
        ]
        text = f"`train --seeds`: {SEEDS} seeds in one program, all steps counted, beside one seed alone; medians of "
        text += f"{SEED_ITERATIONS - 1} iterations."
        made.append(
            Table("Several seeds", ("method", "one seed, steps/s", "together, steps/s", "speed-up"), seeds, text)
        )
    return made


def _setting(config: TrainConfig) -> dict[str, Any]:
    return {
        "games": config.num_envs,
        "devices": config.shares,
        "rollout_length": config.rollout_length,
        "hidden": list(config.policy.hidden),
        "epochs": config.ppo.epochs,
        "minibatches": config.ppo.minibatches,
    }
