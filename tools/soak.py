"""One long training that is watched: `make soak`.

usage: python tools/soak.py [STEPS] [--every SECONDS] [--page FILE]

Prints memory and speed over time, and ends with status 1 where memory grows beyond a tenth after the first minute,
where a metric or parameter is not finite, or where a counter does not say what was played.
"""

import argparse
import math
import resource
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from safepursuit.benchmark.machine import about, described
from safepursuit.benchmark.tables import Table, grid
from safepursuit.experiment import TrainConfig, create_run
from safepursuit.learn import BarrierNetTrainer
from safepursuit.policy import not_finite
from safepursuit.process import keep_freed_memory, use_all_cores
from safepursuit.runs.folder import write_text

_GROWTH = 1.1
"""Of the memory after the first tenth of the samples, at most."""


def memory() -> float:
    """Resident memory of this process [MB]."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


class Watch:
    """An observer of the training."""

    def __init__(self, trainer: BarrierNetTrainer, every: float) -> None:
        self.trainer, self.every = trainer, every
        self.rows: list[tuple[float, int, float, float]] = []
        self.faults: list[str] = []
        self.began = self.last = time.monotonic()
        self.steps = 0

    def __call__(self, metrics: Any) -> None:
        config = self.trainer.config
        iteration, steps = int(metrics["iteration"]), int(metrics["steps"])
        if iteration == 1:
            keep_freed_memory()
        if steps != iteration * config.steps_per_iteration or type(self.trainer.state.steps) is not int:
            self.faults.append(f"iteration {iteration} counts {steps} steps")
        wrong = [
            name for name in ("ppo/policy_loss", "ppo/value_loss", "ppo/grad_norm") if not math.isfinite(metrics[name])
        ]
        if wrong:
            self.faults.append(f"iteration {iteration}: {', '.join(wrong)} not finite")
        now = time.monotonic()
        if now - self.last >= self.every or self.trainer.finished:
            speed = (steps - self.steps) / (now - self.last)
            self.rows.append((now - self.began, steps, speed, memory()))
            print(
                f"{now - self.began:8.0f} s {steps:14,} steps {speed:10,.0f} steps/s {self.rows[-1][3]:8.0f} MB",
                flush=True,
            )
            self.last, self.steps = now, steps


def endurance(steps: int) -> TrainConfig:
    """The default training with a small network and one gradient step per rollout, three times as fast."""
    plain = TrainConfig()
    policy, ppo = replace(plain.policy, hidden=(8,)), replace(plain.ppo, epochs=1, minibatches=1)
    return replace(plain, timesteps=steps, checkpoint_every=100, policy=policy, ppo=ppo)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("steps", nargs="?", type=int, default=2_000_000_000)
    parser.add_argument("--every", type=float, default=10.0)
    parser.add_argument("--page", type=Path)
    asked = parser.parse_args()
    use_all_cores()
    config = endurance(asked.steps)
    with tempfile.TemporaryDirectory() as folder:
        trainer = BarrierNetTrainer(config, create_run(Path(folder) / "soak", config, ["make", "soak"]))
        watch = Watch(trainer, asked.every)
        trainer.train([watch])
    faults = watch.faults + [f"{name} is not finite" for name in not_finite(trainer.policy)]
    settled = watch.rows[max(1, len(watch.rows) // 10) :]
    growth = settled[-1][3] / settled[0][3] if settled else 1.0
    if growth > _GROWTH:
        faults.append(f"memory grew by {growth - 1:.0%}")
    for fault in faults:
        print(fault)
    if asked.page:
        write_text(asked.page, page(watch, faults, growth))
    return int(bool(faults))


def page(watch: Watch, faults: list[str], growth: float) -> str:
    chosen = watch.rows[:: max(1, len(watch.rows) // 12)]
    rows = [
        (f"{seconds:,.0f} s", f"{steps:,}", f"{speed:,.0f}", f"{size:,.0f} MB")
        for seconds, steps, speed, size in chosen
    ]
    table = grid(Table("", ("time", "steps", "steps/s", "memory"), rows, left=0))
    speeds = [row[2] for row in watch.rows[1:]] or [0.0]
    return f"""\
# Endurance

`make soak SOAK={watch.trainer.config.timesteps}` wrote this page: one training of BarrierNet in the default game, with
a small network and one gradient step per rollout, with its checkpoints and its log. Counters are Python integers, of
any size, and are compared with what was played after every iteration.

**{watch.trainer.state.steps:,} steps; {len(faults)} faults; memory changed by {growth - 1:+.1%} once settled; median
{statistics.median(speeds):,.0f} steps/s, between {min(speeds):,.0f} and {max(speeds):,.0f}.**

{table}

{described(about())}
"""


if __name__ == "__main__":
    sys.exit(main())
