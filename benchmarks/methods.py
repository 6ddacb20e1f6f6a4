"""Every safety architecture under one protocol, and BarrierNet without each of its parts: `make bench-methods`.

Each cell of the tables is one configuration, trained with the default budget for every seed and judged on held-out
scenarios that are the same for all. Cells run side by side, one on each core, in processes of their own; a cell that
is finished is not done again, so that an interrupted benchmark goes on where it stopped. Run folders stay in
runs/methods/, results go to docs/benchmarks/methods.md and .json.
"""

import argparse
import json
import os
import platform
import queue
import statistics
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from scipy.stats import binomtest

from safepursuit.evaluation import evaluate
from safepursuit.experiment import TrainConfig
from safepursuit.game import Game
from safepursuit.learn import BarrierNetTrainer, SeedGroup
from safepursuit.policy import PolicyConfig
from safepursuit.runs import configuration
from safepursuit.runs.folder import SEED_PREFIX, RunFolder, provenance, write_json
from safepursuit.scene import Arena
from safepursuit.shield import Shield

ROOT = Path(__file__).resolve().parents[1]
RUNS, OUT = ROOT / "runs" / "methods", ROOT / "docs" / "benchmarks"
SEEDS, EPISODES = (0, 1, 2), 1000
DEPLOYMENTS = ("as-trained", "off", "filter", "governor")
MATRIX = ("flee", 6)
"""Opponent and number of discs of the matrix of deployments."""


class Variant(NamedTuple):
    name: str
    method: str
    policy: tuple[tuple[str, Any], ...] = ()
    """Settings that differ from the defaults, as are those of the shield."""
    shield: tuple[tuple[str, Any], ...] = ()


METHODS = (
    Variant("ppo", "ppo"),
    Variant("ppo-lagrangian", "ppo-lagrangian"),
    Variant("ppo-filter", "ppo-filter"),
    Variant("ppo-shielded", "ppo-shielded"),
    Variant("ppo-shielded, λ = 0", "ppo-shielded", (("penalty", 0.0),)),
    Variant("barriernet", "barriernet"),
    Variant("cbf-beta, polygon", "cbf-beta"),
    Variant("cbf-beta, box", "cbf-beta", (("safe_set", "box"),)),
)
ABLATION = (
    Variant("barriernet", "barriernet"),
    Variant("QP gradient detached", "barriernet", (("qp_gradient", False),)),
    Variant("no penalty", "barriernet", (("penalty", 0.0),)),
    Variant("detached, no penalty", "barriernet", (("qp_gradient", False), ("penalty", 0.0))),
    Variant("fixed gains", "barriernet", (("learned_gains", False),)),
    Variant(
        "inter-robot row, α = 1",
        "barriernet",
        (),
        (("robot_barrier", True), ("robot_gain", 0.05), ("allow_blocking", True)),
    ),
)
METHOD_SETTINGS = (("random", 2), ("random", 6), ("flee", 2), ("flee", 6))
ABLATION_SETTINGS = (("random", 2), ("flee", 6))


class Cell(NamedTuple):
    variant: Variant
    evader: str
    obstacles: int

    @property
    def folder(self) -> Path:
        words = "".join(letter if letter.isalnum() or letter == "-" else "_" for letter in self.variant.name)
        return RUNS / f"{words}-{self.evader}-{self.obstacles}"

    def config(self, timesteps: int) -> TrainConfig:
        return TrainConfig(
            method=self.variant.method,
            evader=self.evader,
            timesteps=timesteps,
            checkpoint_every=1000,
            game=Game(Arena(obstacles=self.obstacles)),
            policy=PolicyConfig(**dict(self.variant.policy)),
            shield=Shield(**dict(self.variant.shield)),
        )

    @property
    def deployments(self) -> tuple[str, ...]:
        matrix = self.variant in METHODS and (self.evader, self.obstacles) == MATRIX
        return DEPLOYMENTS if matrix else DEPLOYMENTS[:1]


CELLS = list(
    dict.fromkeys(
        [Cell(variant, *setting) for setting in METHOD_SETTINGS for variant in METHODS]
        + [Cell(variant, *setting) for setting in ABLATION_SETTINGS for variant in ABLATION]
    )
)


def run_cell(cell: Cell, timesteps: int) -> None:
    """Train what is not trained and judge what is not judged."""
    config = cell.config(timesteps)
    trainers = []
    for seed in SEEDS:
        one = replace(config, seed=seed)
        path = cell.folder / f"{SEED_PREFIX}{seed}"
        if (path / "config.yaml").is_file():
            trainer = BarrierNetTrainer(one, RunFolder.open(path))
            if trainer.run.summary.is_file():
                trainer = BarrierNetTrainer.load(trainer.run)
        else:
            run = RunFolder.create(path, configuration.dump(one), ["python", "benchmarks/methods.py"])
            trainer = BarrierNetTrainer(one, run)
        trainers.append(trainer)
    if not all(trainer.finished for trainer in trainers):
        SeedGroup(trainers).train()
    for trainer in trainers:
        for deployment in cell.deployments:
            file = trainer.run.evaluations / f"{deployment}-{EPISODES}.json"
            if not file.is_file():
                judged = evaluate(trainer.policy, config, episodes=EPISODES, deployment=deployment)
                write_json(file, judged.result)


def run_all(timesteps: int) -> None:
    """Every cell in a process of its own, one on each core at a time."""
    waiting: queue.SimpleQueue[Cell] = queue.SimpleQueue()
    for cell in CELLS:
        waiting.put(cell)
    failed: list[str] = []

    def work(core: int) -> None:
        while True:
            try:
                cell = waiting.get_nowait()
            except queue.Empty:
                return
            done = all(
                (cell.folder / f"{SEED_PREFIX}{seed}" / "evaluations" / f"{deployment}-{EPISODES}.json").is_file()
                for seed in SEEDS
                for deployment in cell.deployments
            )
            if not done:
                command = [sys.executable, __file__, "--cell", str(CELLS.index(cell)), "--core", str(core)]
                if subprocess.run([*command, "--timesteps", str(timesteps)]).returncode:
                    failed.append(cell.folder.name)
            print(f"{cell.folder.name}: {'failed' if cell.folder.name in failed else 'done'}", flush=True)

    workers = [threading.Thread(target=work, args=(core,)) for core in sorted(os.sched_getaffinity(0))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failed:
        raise SystemExit(f"these cells failed: {', '.join(failed)}; run the benchmark again to go on.")


def collect(cell: Cell) -> dict[str, Any]:
    """A cell's figures: rates over all episodes of all seeds, and every seed's capture rate."""
    found: dict[str, Any] = {
        "variant": cell.variant.name,
        "method": cell.variant.method,
        "evader": cell.evader,
        "obstacles": cell.obstacles,
        "seeds": list(SEEDS),
        "deployments": {},
    }
    runs = [RunFolder(cell.folder / f"{SEED_PREFIX}{seed}") for seed in SEEDS]
    for deployment in cell.deployments:
        each = [json.loads((run.evaluations / f"{deployment}-{EPISODES}.json").read_text()) for run in runs]
        episodes = sum(one["episodes"] for one in each)
        collisions = sum(one["collision"]["count"] for one in each)
        found["deployments"][deployment] = {
            "episodes": episodes,
            "capture": _mean(one["capture"]["rate"] for one in each),
            "capture_by_seed": [one["capture"]["rate"] for one in each],
            "capture_without_collision": _mean(one["capture_without_collision"]["rate"] for one in each),
            "clean_by_seed": [one["capture_without_collision"]["rate"] for one in each],
            "collisions": collisions,
            "collisions_high": float(binomtest(collisions, episodes).proportion_ci(0.95, "exact").high),
            "restricted_mean_time": _mean(one["capture_time"]["restricted_mean"] for one in each),
            "intervention_rate": _mean(one["intervention_rate"] for one in each),
            "mean_correction": _mean(one["mean_correction"] for one in each),
            "infeasible_rate": _mean(one["infeasible_rate"] for one in each),
            "zero_gradient_share": _mean(one["zero_gradient_share"] for one in each),
        }
    summaries = [json.loads(run.summary.read_text()) for run in runs]
    found["steps"] = summaries[0]["steps"]
    found["training_collisions"] = sum(one["collisions"] for one in summaries)
    return found


def collected(timesteps: int) -> dict[str, Any]:
    """The figures of all cells, as they are stored."""
    facts = provenance()
    return {
        "timesteps": timesteps,
        "episodes_per_seed": EPISODES,
        "seeds": list(SEEDS),
        "python": facts["python"],
        "packages": facts["packages"],
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "cells": [collect(cell) for cell in CELLS],
    }


def speeds() -> dict[str, float]:
    """Environment steps a second of each variant, as `make bench` has measured them last."""
    found = json.loads((OUT / "speed.json").read_text(encoding="utf-8"))["training"]["methods"]
    return {one.name: found.get(one.name, found[one.method])["steps_per_second"]["median"] for one in METHODS}


def report(result: dict[str, Any]) -> str:
    """The tables as Markdown."""
    timesteps, speed = result["timesteps"], result["steps_per_second"]
    cells = dict(zip(((cell.variant, cell.evader, cell.obstacles) for cell in CELLS), result["cells"], strict=True))
    lines = [
        "# Safety architectures side by side",
        "",
        f"Written by `make bench-methods` (`benchmarks/methods.py`); do not edit by hand. {timesteps:,} environment "
        f"steps of training, seeds {', '.join(map(str, SEEDS))}, {EPISODES:,} held-out episodes of each seed with the "
        "deterministic policy, the same for all. Deployed as trained; a collision does not end an episode of the "
        "evaluation, so that *capture* and *clean* (captured, and nothing touched before) differ where things are hit. "
        "Rates: mean over the seeds, and in brackets the lowest and highest seed. *Collisions*: episodes with a "
        "collision of the pursuer's own, as the referee sees it, with the exact 95 % upper bound. *Intervention*: "
        "share of steps in which a barrier or the governor changed the control; *correction* in half-widths of the "
        "actuator box; *lost* is the share of steps at which the mean has lost gradient to the projection. *Steps/s* "
        "of training against the random evader with 2 obstacles, from [speed.md](speed.md). "
        "Three seeds show what is large; they establish no small difference.",
    ]
    for evader, obstacles in METHOD_SETTINGS:
        lines += ["", f"## Against `{evader}`, {obstacles} obstacles", "", *_head("method", "steps/s")]
        lines += [_row(cells[variant, evader, obstacles], speed[variant.name]) for variant in METHODS]
    lines += [
        "",
        f"## Trained with × deployed with, against `{MATRIX[0]}`, {MATRIX[1]} obstacles",
        "",
        "Clean captures, and in brackets the episodes with a collision of the pursuer's own.",
        "",
        "| trained with | " + " | ".join(f"`--shield {one}`" for one in DEPLOYMENTS) + " |",
        "|---|" + "---:|" * len(DEPLOYMENTS),
    ]
    for variant in METHODS:
        deployed = cells[variant, *MATRIX]["deployments"]
        entries = (
            f"{deployed[one]['capture_without_collision']:.1%} ({deployed[one]['collisions']:,})" for one in DEPLOYMENTS
        )
        lines.append(f"| {variant.name} | {' | '.join(entries)} |")
    lines += ["", "# BarrierNet without each of its parts"]
    for evader, obstacles in ABLATION_SETTINGS:
        lines += ["", f"## Against `{evader}`, {obstacles} obstacles", "", *_head("variant")]
        lines += [_row(cells[variant, evader, obstacles]) for variant in ABLATION]
    return "\n".join(lines) + "\n"


def _head(first: str, *more: str) -> list[str]:
    columns = (
        "capture",
        "clean",
        "collisions",
        "time, s",
        "intervention",
        "correction",
        "lost",
        "collisions in training",
        *more,
    )
    return [f"| {first} | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]


def _row(cell: dict[str, Any], speed: float | None = None) -> str:
    found = cell["deployments"]["as-trained"]
    entries = (
        f"{found['capture']:.1%} ({_range(found['capture_by_seed'])})",
        f"{found['capture_without_collision']:.1%} ({_range(found['clean_by_seed'])})",
        f"{found['collisions']:,} (≤ {found['collisions_high']:.2%})",
        f"{found['restricted_mean_time']:.1f}",
        f"{found['intervention_rate']:.1%}",
        f"{found['mean_correction']:.3f}",
        f"{found['zero_gradient_share']:.1%}",
        f"{cell['training_collisions']:,.0f}",
        *([f"{speed:,.0f}"] if speed else []),
    )
    return f"| {cell['variant']} | {' | '.join(entries)} |"


def _range(values: list[float]) -> str:
    return f"{100 * min(values):.1f}–{100 * max(values):.1f}"


def _mean(values: Any) -> float:
    return statistics.fmean(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--timesteps", type=int, default=TrainConfig().timesteps, help="budget of each training")
    parser.add_argument("--cell", type=int, help="run only this cell")
    parser.add_argument("--core", type=int, help="on this core")
    parser.add_argument(
        "--page", action="store_true", help="only write the page anew, from methods.json and speed.json"
    )
    chosen = parser.parse_args()
    if chosen.core is not None:
        os.sched_setaffinity(0, {chosen.core})
    if chosen.cell is not None:
        run_cell(CELLS[chosen.cell], chosen.timesteps)
        return
    if chosen.page:
        result = json.loads((OUT / "methods.json").read_text(encoding="utf-8"))
    else:
        run_all(chosen.timesteps)
        result = collected(chosen.timesteps)
    result["steps_per_second"] = speeds()
    write_json(OUT / "methods.json", result)
    text = report(result)
    (OUT / "methods.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
