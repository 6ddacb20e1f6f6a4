"""Speed of revisions side by side: `make bench-revisions`, or this file with labels and revisions.

    .venv/bin/python benchmarks/revisions.py "before=698acf3" "now, one core=HEAD" "now, all cores=HEAD:all"

Measures whole iterations of training, the projection, and evaluations. The source of each revision is taken from git
and measured in processes of its own. The revisions take turns, and each process also times a fixed computation
(`reference`), by which its times are divided before they are compared: the speed of a shared machine varies from one
minute to the next. Prints the table; with `--page` it becomes docs/benchmarks/revisions.md and .json.
"""

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs" / "benchmarks"
METHODS, BATCH, EPISODES = ("barriernet", "ppo"), 1024, 300
WARM_UP, ITERATIONS, EVERY = 2, 12, 4
"""Turns of a process before the timing starts, timed turns, and turns per evaluation."""
COLUMNS = {
    "barriernet": "barriernet, steps/s",
    "ppo": "ppo, steps/s",
    "projection": "projection, problems/s",
    "evaluation": "evaluation, episodes/s",
}


def measure(devices: int) -> dict[str, float]:
    """Median seconds of each piece of work and of the reference, in this process, with the package it finds."""
    import jax

    jax.config.update("jax_num_cpu_devices", devices)
    calls = _calls(devices)
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(WARM_UP + ITERATIONS):
        for name, call in calls.items():
            if name == "evaluation" and turn % EVERY:
                continue
            begin = time.perf_counter()
            jax.block_until_ready(call())
            if turn >= WARM_UP:
                taken[name].append(time.perf_counter() - begin)
    return {name: statistics.median(times) for name, times in taken.items()}


def _calls(devices: int) -> dict[str, Callable[[], Any]]:
    import jax
    import jax.numpy as jnp

    try:
        from safepursuit.evaluation import evaluate
        from safepursuit.experiment import TrainConfig
        from safepursuit.learn import BarrierNetTrainer
    except ModuleNotFoundError:  # their names up to 698acf3
        from safepursuit.evaluate import evaluate
        from safepursuit.ppo import BarrierNetTrainer, TrainConfig

    weight = 0.1 * jax.random.normal(jax.random.key(0), (64, 64))

    @jax.jit
    def reference(start):
        return jax.lax.scan(lambda x, _: (jnp.tanh(weight @ x), None), start, length=300)[0]

    def iterate(trainer):
        trainer.update(trainer.collect_rollout())
        return trainer.state.policy

    base = TrainConfig()
    shared = {"devices": devices} if "devices" in {one.name for one in fields(base)} else {}
    unstopped = replace(base.ppo, target_kl=0.0)
    trainers = {name: BarrierNetTrainer(replace(base, method=name, ppo=unstopped, **shared)) for name in METHODS}
    fresh = BarrierNetTrainer(base).policy
    return {
        "reference": partial(reference, jax.random.normal(jax.random.key(1), (64, 1024))),
        **{name: partial(iterate, trainer) for name, trainer in trainers.items()},
        "projection": _projection(),
        "evaluation": lambda: evaluate(fresh, base, episodes=EPISODES).result["episodes"],
    }


def _projection() -> Callable[[], Any]:
    """A hundred batches of ten rows, one after the other, with gradients; the limits as a box where there is one."""
    import jax
    import jax.numpy as jnp

    from problems import draw
    from safepursuit import qp

    drawn = draw(BATCH)
    nominal, A, b = (jnp.moveaxis(jnp.asarray(one, jnp.float32), 0, -1) for one in drawn[:3])
    weights = jnp.asarray(drawn.weights, jnp.float32)
    boxed = hasattr(qp, "Box")

    def total(nominal, A, b):
        if boxed:  # the last four rows
            box = qp.Box(jnp.stack([-b[-4], -b[-2]]), jnp.stack([b[-3], b[-1]]))
            u = qp.project(nominal, qp.Halfplanes(A[:-4], b[:-4]), weights, box).u
        else:
            u = qp.project(nominal, qp.Halfplanes(A, b), weights).u
        return jnp.sum(u), u

    def again(now, _):
        slopes, u = jax.grad(total, argnums=(0, 1, 2), has_aux=True)(now, A, b)
        return nominal + 1e-6 * (u + sum(jnp.sum(slope) for slope in slopes)), None

    return partial(jax.jit(lambda start: jax.lax.scan(again, start, length=100)[0]), nominal)


def measured_at(tree: Path, devices: int) -> dict[str, float]:
    """`measure` in a process of its own, with the package in `tree`."""
    environment = os.environ | {
        "PYTHONPATH": str(tree / "src"),
        # Freed memory stays with the process, as in `train`: its return would be most of the noise.
        "MALLOC_TRIM_THRESHOLD_": "1000000000",
        "MALLOC_MMAP_THRESHOLD_": "33554432",
        "JAX_COMPILATION_CACHE_DIR": str(tree.parent / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    words = [sys.executable, __file__, "--measure", str(devices)]
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revisions", nargs="*", help="LABEL=REVISION or LABEL=REVISION:all; the first is compared with")
    parser.add_argument("--rounds", type=int, default=5, help="processes per revision")
    parser.add_argument("--page", action="store_true", help="write the page in the documentation")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        print(json.dumps(measure(chosen.measure)))
        return
    labels, revisions = zip(*(entry.rsplit("=", 1) for entry in chosen.revisions), strict=True)
    rounds: list[list[dict[str, float]]] = []
    with tempfile.TemporaryDirectory(prefix="safepursuit-") as folder:
        trees = [_source(revision.partition(":")[0], Path(folder)) for revision in revisions]
        for turn in range(chosen.rounds):
            found: dict[int, dict[str, float]] = {}
            for place in list(range(len(trees)))[:: -1 if turn % 2 else 1]:
                print(f"round {turn + 1} of {chosen.rounds}: {labels[place]}", file=sys.stderr, flush=True)
                devices = (os.cpu_count() or 1) if revisions[place].endswith(":all") else 1
                found[place] = measured_at(trees[place], devices)
            rounds.append([found[place] for place in range(len(trees))])
    write(labels, revisions, rounds, chosen.page)


def _source(commit: str, folder: Path) -> Path:
    """The package as of this commit."""
    tree = folder / commit.replace("/", "-")
    packed = subprocess.run(["git", "archive", commit, "src"], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(tree, filter="data")
    return tree


def compared(rounds: Sequence[Sequence[dict[str, float]]], place: int, name: str) -> dict[str, float]:
    """How many times faster than the first revision, relative to the reference: median, lowest, highest round."""
    ratios = [(one[0][name] / one[0]["reference"]) / (one[place][name] / one[place]["reference"]) for one in rounds]
    return {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}


def write(
    labels: Sequence[str], revisions: Sequence[str], rounds: Sequence[Sequence[dict[str, float]]], page: bool
) -> None:
    """Print the table, and write the page if it is asked for."""
    from safepursuit.benchmark.machine import about, described
    from safepursuit.benchmark.tables import Table, markdown, number
    from safepursuit.experiment import TrainConfig
    from safepursuit.runs.folder import write_json, write_text

    work = dict.fromkeys(METHODS, TrainConfig().steps_per_iteration) | {
        "projection": 100 * BATCH,
        "evaluation": EPISODES,
    }
    rows, lines = [], []
    for place, (label, revision) in enumerate(zip(labels, revisions, strict=True)):
        commit, _, cores = revision.partition(":")
        row: dict[str, Any] = {"label": label, "revision": revision}
        cells = []
        for name in COLUMNS:
            speed = work[name] / statistics.median(one[place][name] for one in rounds)
            faster = compared(rounds, place, name)
            row[name] = {"per_second": speed, "faster": faster}
            cells += [number(speed), f"{faster['median']:.2f}× ({faster['low']:.2f}–{faster['high']:.2f})"]
        rows.append(row)
        lines.append((label, f"`{commit}`", cores or "one", *cells))
    facts = about() | {"processes": len(rounds)}
    text = (
        "Written by `make bench-revisions` (`benchmarks/revisions.py`); do not edit by hand.\n\n"
        f"{described(facts)} Medians of {len(rounds)} processes per line, in turn; each process times {ITERATIONS} "
        "whole iterations of the default training (rollout and update, no early stop) with its games on one core or on "
        f"all, as many calls of `qp.project` with gradients ({BATCH:,} problems of ten rows, a hundred times), and "
        f"evaluations of {EPISODES} episodes with a fresh policy, all compiled before. *Faster*: than the first line, "
        "relative to a fixed computation in the same process; the median over the rounds, and in brackets the lowest "
        "and the highest round. Freed memory stays with the processes."
    )
    heads = [head for column in COLUMNS.values() for head in (column, "faster")]
    table = markdown(Table("Speed of revisions", ("", "revision", "cores", *heads), lines, text, left=3), level=1)
    print(table)
    if page:
        write_json(OUT / "revisions.json", {"about": facts, "rows": rows, "rounds": rounds})
        write_text(OUT / "revisions.md", table + "\n")


if __name__ == "__main__":
    main()
