"""What changes brought to the speed of training: `make bench-revisions`, or this file with labels and revisions.

    .venv/bin/python benchmarks/revisions.py "before=1731c49" "now, one core=HEAD" "now, all cores=HEAD:all"

Every revision is checked out by itself and trains both methods in processes of its own; the revisions take turns, and
each process also times a fixed computation (`reference`), by which its times are divided before they are compared:
a shared machine is not equally fast from one minute to the next. Results go to docs/benchmarks/revisions.md.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import fields, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs" / "benchmarks"
METHODS, ROUNDS, ITERATIONS, WARM_UP = ("barriernet", "ppo"), int(os.environ.get("ROUNDS", "3")), 12, 2


def measure(devices: int) -> dict[str, float]:
    """Seconds an iteration of each method takes, and the reference, in this process and with this package."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_num_cpu_devices", devices)
    from safepursuit.experiment import TrainConfig
    from safepursuit.learn import BarrierNetTrainer

    base = TrainConfig()
    shared = {"devices": devices} if "devices" in {one.name for one in fields(base)} else {}
    unstopped = replace(base.ppo, target_kl=0.0)
    trainers = {name: BarrierNetTrainer(replace(base, method=name, ppo=unstopped, **shared)) for name in METHODS}
    weight = 0.1 * jax.random.normal(jax.random.key(0), (64, 64))

    @jax.jit
    def reference(start):
        return jax.lax.scan(lambda x, _: (jnp.tanh(weight @ x), None), start, length=300)[0]

    start = jax.random.normal(jax.random.key(1), (64, 1024))
    taken: dict[str, list[float]] = {name: [] for name in ("reference", *METHODS)}
    for turn in range(WARM_UP + ITERATIONS):
        for name in taken:
            begin = time.perf_counter()
            if name == "reference":
                reference(start).block_until_ready()
            else:
                trainers[name].update(trainers[name].collect_rollout())
                jax.block_until_ready(trainers[name].state.policy)
            if turn >= WARM_UP:
                taken[name].append(time.perf_counter() - begin)
    return {name: statistics.median(times) for name, times in taken.items()} | {"steps": base.steps_per_iteration}


def measured_at(tree: Path, devices: int) -> dict[str, float]:
    """`measure` in a process of its own, with the package in `tree`."""
    # Freed memory stays with the process, as in `train`: its return would be most of the noise.
    kept = {"MALLOC_TRIM_THRESHOLD_": "1000000000", "MALLOC_MMAP_THRESHOLD_": "33554432"}
    environment = os.environ | kept | {"PYTHONPATH": str(tree / "src")}
    words = [sys.executable, __file__, "--measure", str(devices)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main(entries: list[str]) -> None:
    labels = [entry.partition("=")[::2] for entry in entries]
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        trees = {}
        for _, revision in labels:
            commit = revision.partition(":")[0]
            if commit not in trees:
                trees[commit] = Path(folder) / commit.replace("/", "-")
                subprocess.run(
                    ["git", "worktree", "add", "-q", "--detach", trees[commit], commit], cwd=ROOT, check=True
                )
        try:
            rounds = [
                [
                    measured_at(trees[revision.partition(":")[0]], cores if revision.endswith(":all") else 1)
                    for _, revision in labels
                ]
                for _ in range(ROUNDS)
            ]
        finally:
            for tree in trees.values():
                subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, check=True)
    write([label for label, _ in labels], [revision for _, revision in labels], rounds, cores)


def write(labels: list[str], revisions: list[str], rounds: list[list[dict[str, float]]], cores: int) -> None:
    """The table: steps/s of each, and how much less time than the first, relative to the reference."""

    def middle(place: int, key) -> float:
        return statistics.median(key(one[place]) for one in rounds)

    lines = [
        "# What changes brought",
        "",
        f"Written by `benchmarks/revisions.py`: whole iterations of the default training (rollout and update, no early "
        f"stop) on {cores} cores; medians of {ROUNDS} processes for each line, in turn, {ITERATIONS} iterations each. "
        "*Faster* compares times relative to a fixed computation in the same process. All keep freed memory "
        "(`MALLOC_TRIM_THRESHOLD_`).",
        "",
        "| | revision | barriernet, steps/s | faster | ppo, steps/s | faster | slowdown |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    rows = []
    for place, (label, revision) in enumerate(zip(labels, revisions, strict=True)):
        row = {
            "label": label,
            "revision": revision,
            "slowdown": middle(place, lambda one: one["barriernet"] / one["ppo"]),
        }
        for name in METHODS:
            relative = [middle(where, lambda one, name=name: one[name] / one["reference"]) for where in (0, place)]
            row[name] = {
                "steps_per_second": middle(place, lambda one, name=name: one["steps"] / one[name]),
                "faster": relative[0] / relative[1],
            }
        rows.append(row)
        cells = " | ".join(f"{row[name]['steps_per_second']:,.0f} | {row[name]['faster']:.2f}×" for name in METHODS)
        lines.append(f"| {label} | `{revision.partition(':')[0]}` | {cells} | {row['slowdown']:.2f}× |")
    text = "\n".join(lines) + "\n"
    OUT.joinpath("revisions.md").write_text(text, encoding="utf-8")
    OUT.joinpath("revisions.json").write_text(
        json.dumps({"cores": cores, "rows": rows}, indent=1) + "\n", encoding="utf-8"
    )
    print(text)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(int(sys.argv[2]))))
    else:
        main(sys.argv[1:])
