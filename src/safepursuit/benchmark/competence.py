"""Time to competence: seconds from the start of a process to a policy that catches the random evader.

A `safepursuit train` process is timed until it has written its last checkpoint, imports and compilation included. The
policy is evaluated afterwards, untimed, on held-out scenarios by the referee.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from safepursuit.benchmark.clock import Pace, Report, spread
from safepursuit.benchmark.tables import Table, ranged
from safepursuit.evaluation import evaluate
from safepursuit.learn import BarrierNetTrainer
from safepursuit.runs.folder import RunFolder

TIMESTEPS, SEEDS, EPISODES = 200_000, (0, 1, 2), 1000
SHORTENED = 32_768
"""Timesteps of `benchmark --quick`, too few for competence."""

SETTINGS = "--num-envs 64 --devices 1 --ppo.minibatches 4 --ppo.discount 0.99 --ppo.trace 0.95"
"""Those of configs/quick.yaml: few games and many updates."""

COMPETENT = 0.99
"""Least capture rate of a competent policy, which also has no collision."""

_POLL = 0.005
"""Interval [s] at which the process is observed."""


class Trained(NamedTuple):
    seconds: float
    """Until the last checkpoint and the summary are written."""
    whole: float
    """Until the process has drawn its figures and ended."""
    memory: int | None
    """Peak resident set [bytes]; None where the system does not report it."""


def measure(pace: Pace, report: Report) -> dict[str, Any]:
    """Train with each seed twice, with an empty compilation cache and with the filled one, and evaluate."""
    seeds, timesteps = (SEEDS[:1], SHORTENED) if pace.quick else (SEEDS, TIMESTEPS)
    runs = []
    with tempfile.TemporaryDirectory(prefix="safepursuit-") as folder:
        for seed in seeds:
            cache = Path(folder) / f"cache-{seed}"
            for state in ("cold", "warm"):
                path = Path(folder) / f"{state}-{seed}"
                what = f"seed {seed}, {state} cache, {timesteps:,} steps"
                report(what)
                trained = train(path, cache, timesteps, seed, partial(_report_time, report, what))
                runs.append({"cache": state, "seed": seed} | trained._asdict() | judge(path))
    return {"timesteps": timesteps, "episodes": EPISODES, "runs": runs}


def _report_time(report: Report, what: str, seconds: float) -> None:
    report(f"{what}, {seconds:.0f} s")


def train(
    path: Path, cache: Path, timesteps: int, seed: int, alive: Callable[[float], None] = lambda seconds: None
) -> Trained:
    """Train in a new process; `alive` is told the seconds, once in each. Raises RuntimeError where that fails."""
    words = [sys.executable, "-m", "safepursuit", "train", "--method", "barriernet", "--evader", "random"]
    words += SETTINGS.split()
    words += ["--timesteps", str(timesteps), "--seed", str(seed), "--run-dir", str(path)]
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",  # as `process.keep_compiled_programs` sets it
    }
    summary = RunFolder(path).summary
    start, seconds = time.perf_counter(), None
    told = start
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        run = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=said)
        memory = None
        while run.poll() is None:
            if seconds is None and summary.exists():
                seconds = time.perf_counter() - start
            memory = _peak(run.pid) or memory
            if time.perf_counter() - told > 1:
                told = time.perf_counter()
                alive(told - start)
            time.sleep(_POLL)
        whole = time.perf_counter() - start
        if run.returncode or seconds is None:
            said.seek(0)
            raise RuntimeError(f"the timed training failed: {said.read().strip()}")
    return Trained(seconds, whole, memory)


def _peak(pid: int) -> int | None:
    """Peak resident set [bytes] of a running process; None where the system does not report it.

    That of `wait4` includes the peak of the parent at the fork, which is large after other benchmarks.
    """
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return None


def judge(path: Path) -> dict[str, Any]:
    """The trained policy's figures on held-out scenarios against the random evader."""
    trainer = BarrierNetTrainer.load(RunFolder.open(path))
    result = evaluate(trainer.policy, trainer.config, episodes=EPISODES, evader="random").result
    capture, collisions = result["capture"]["rate"], result["collision"]["count"]
    return {"capture": capture, "collisions": collisions, "competent": capture >= COMPETENT and collisions == 0}


def tables(found: dict[str, Any]) -> list[Table]:
    lines = []
    for state in ("cold", "warm"):
        runs = [run for run in found["runs"] if run["cache"] == state]
        competent = sum(run["competent"] for run in runs)
        known = [run["memory"] for run in runs if run["memory"] is not None]
        lines.append(
            (
                state,
                ranged(spread([run["seconds"] for run in runs])),
                ranged(spread([run["whole"] for run in runs])),
                f"{min(run['capture'] for run in runs):.1%}",
                f"{sum(run['collisions'] for run in runs)}",
                f"{competent} of {len(runs)}" if found["timesteps"] >= TIMESTEPS else "training shortened",
                f"{max(known) / 2**20:,.0f}" if known else "–",
            )
        )
    text = (
        f"Seconds from the start of `safepursuit train --timesteps {found['timesteps']} {SETTINGS}` in a process "
        "of its own, imports and compilation included, until the trained policy is on the disk, and until the process "
        "has also drawn its figures and ended; medians over the seeds. *Cold* is an empty compilation cache, *warm* "
        "the cache that training has filled (`JAX_COMPILATION_CACHE_DIR`). Competent: in "
        f"{found['episodes']:,} held-out episodes, judged outside the clock, at least {COMPETENT:.0%} capture of the "
        "random evader and no collision of its own."
    )
    head = ("cache", "policy after, s", "process, s", "lowest capture", "collisions", "competent", "peak memory, MB")
    return [Table("Time to competence", head, lines, text)]
