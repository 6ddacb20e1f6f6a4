"""Training speed of every method."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax

from safepursuit.benchmark.clock import Pace, Report, spread
from safepursuit.benchmark.tables import Table, ranged, share
from safepursuit.experiment import TrainConfig
from safepursuit.learn import BarrierNetTrainer
from safepursuit.policy import HEADS

CONTENDERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    **{name: (name, "unicycle", {}) for name in HEADS},
    "cbf-beta, box": ("cbf-beta", "unicycle", {"safe_set": "box"}),
    "ppo-shielded, λ = 0": ("ppo-shielded", "unicycle", {"penalty": 0.0}),
    "barriernet, inertial robot": ("barriernet", "inertial", {}),
}
"""Method, robot and settings of the policy, by name."""

PLAIN = "ppo"
"""The reference of the slowdown."""

ROUNDS, QUICK_ROUNDS, WARM_UP = 30, 4, 2


def unstopped(name: str, devices: int | None = None) -> TrainConfig:
    """A contender's default configuration on `devices` devices. Updates do not stop early: equal work for all."""
    method, robot, settings = CONTENDERS[name]
    config = TrainConfig(method=method, devices=devices).with_robot(robot)
    return replace(config, policy=replace(config.policy, **settings), ppo=replace(config.ppo, target_kl=0.0))


def measure(pace: Pace, report: Report) -> dict[str, Any]:
    """Environment steps per second, with the games spread over all devices, and on one device."""
    names = ("barriernet", PLAIN) if pace.quick else tuple(CONTENDERS)
    rounds = QUICK_ROUNDS if pace.quick else ROUNDS
    devices = jax.local_device_count()
    spread_out = {name: BarrierNetTrainer(unstopped(name, devices)) for name in names}
    alone = {name: BarrierNetTrainer(unstopped(name)) for name in names if name in HEADS}
    reference = unstopped(PLAIN, devices)
    return {
        "setting": {
            "games": reference.num_envs,
            "devices": reference.shares,
            "rollout_length": reference.rollout_length,
            "hidden": list(reference.policy.hidden),
            "epochs": reference.ppo.epochs,
            "minibatches": reference.ppo.minibatches,
        },
        "methods": measure_methods(spread_out, rounds, report),
        "one_device": measure_methods(alone, rounds, lambda text: report(f"one device, {text}")),
    }


def measure_methods(trainers: Mapping[str, BarrierNetTrainer], rounds: int, report: Report) -> dict[str, Any]:
    """Iterations of all methods in turn, forwards and backwards through the list; the slowdown is the median over
    neighbouring iterations."""
    times: dict[str, dict[str, list[float]]] = {name: {"rollout": [], "update": []} for name in trainers}
    for turn in range(WARM_UP + rounds):
        for name, trainer in list(trainers.items())[:: 1 if turn % 2 else -1]:
            report(f"iteration {turn + 1} of {WARM_UP + rounds}, {name}")
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
    return [
        Table(
            "Training",
            ("method", "environment steps/s", "time in rollouts", "slowdown against plain PPO", "on one device"),
            speeds,
            f"{about} The games are spread over {setting['devices']} devices, as `train` does; medians of {ROUNDS} "
            "iterations. The slowdown is the median of the ratios of neighbouring iterations.",
        )
    ]
