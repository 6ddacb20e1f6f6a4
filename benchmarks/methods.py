"""Every safety architecture under one protocol, and BarrierNet without each of its parts: `make bench-methods`.

Each cell of the tables is one configuration, trained with the default budget for every seed and judged on held-out
scenarios that are the same for all. Trainings are jobs of `safepursuit.compare`, one process per core; finished
trainings and judgements are not repeated, so that an interrupted benchmark goes on. Run folders stay in runs/methods/,
results go to docs/benchmarks/methods.md and .json.
"""

import argparse
import json
import multiprocessing
import os
import platform
import statistics
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
from scipy.stats import binomtest

from safepursuit.agents import LAYERS
from safepursuit.compare import LocalCrew, carry_out
from safepursuit.compare.contenders import Contender
from safepursuit.compare.jobs import TrainingJob, settle_in
from safepursuit.compare.trainings import finished
from safepursuit.compare.work import Event
from safepursuit.compare.workers import cores
from safepursuit.evaluation import evaluate
from safepursuit.experiment import TrainConfig, load_run
from safepursuit.game import Game
from safepursuit.policy import PolicyConfig
from safepursuit.runs.folder import SEED_PREFIX, RunFolder, provenance, write_json
from safepursuit.scene import Arena
from safepursuit.shield import Shield

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs" / "benchmarks"
MATRIX = ("flee", 6)
"""Opponent and number of discs of the matrix of layers."""


class Budget(NamedTuple):
    timesteps: int = TrainConfig().timesteps
    seeds: tuple[int, ...] = (0, 1, 2)
    episodes: int = 1000
    """Held-out episodes per seed."""
    runs: Path = ROOT / "runs" / "methods"


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

    def folder(self, budget: Budget, seed: int) -> Path:
        words = "".join(letter if letter.isalnum() or letter == "-" else "_" for letter in self.variant.name)
        return budget.runs / f"{words}-{self.evader}-{self.obstacles}" / f"{SEED_PREFIX}{seed}"

    def training(self, budget: Budget, seed: int) -> TrainingJob:
        config = TrainConfig(
            method=self.variant.method,
            evader=self.evader,
            timesteps=budget.timesteps,
            seed=seed,
            checkpoint_every=1000,
            game=Game(Arena(obstacles=self.obstacles)),
            policy=PolicyConfig(**dict(self.variant.policy)),
            shield=Shield(**dict(self.variant.shield)),
        )
        folder = self.folder(budget, seed)
        contender = Contender(folder.parent.name, config.method, seed, str(folder), config=config, to_train=True)
        return TrainingJob(contender, folder)

    @property
    def layers(self) -> tuple[str, ...]:
        matrix = self.variant in METHODS and (self.evader, self.obstacles) == MATRIX
        return LAYERS if matrix else LAYERS[:1]


CELLS = list(
    dict.fromkeys(
        [Cell(variant, *setting) for setting in METHOD_SETTINGS for variant in METHODS]
        + [Cell(variant, *setting) for setting in ABLATION_SETTINGS for variant in ABLATION]
    )
)


def work(cells: Sequence[Cell], budget: Budget) -> None:
    """Train what is not trained and judge what is not judged; raises SystemExit where a training fails."""
    trainings = [cell.training(budget, seed) for cell in cells for seed in budget.seeds]
    left = [job for job in trainings if not finished(job.folder, job.contender.config)]
    crew = LocalCrew(None, budget.runs / "logs")
    failures = carry_out(left, [], crew, budget.runs, ["python", "benchmarks/methods.py"], [_tell])
    if failures:
        raise SystemExit(f"{len(failures)} trainings failed; run the benchmark again to go on.")
    # Not as `CellJob`s, which know no layer but that of the training.
    with ProcessPoolExecutor(cores(), multiprocessing.get_context("spawn"), settle_in) as pool:
        for cell in [pool.submit(judge, cell, budget) for cell in cells]:
            print(f"judged: {cell.result()}", flush=True)


def judge(cell: Cell, budget: Budget) -> str:
    """The name of the cell, every seed judged under every layer."""
    for seed in budget.seeds:
        folder = cell.folder(budget, seed)
        left = [one for one in cell.layers if not _judgement(folder, one, budget).is_file()]
        if left:
            run = load_run(RunFolder.open(folder))
        for one in left:
            judged = evaluate(run.policy, run.config, episodes=budget.episodes, layer=one)
            write_json(_judgement(folder, one, budget), judged.result)
    jax.clear_caches()
    return folder.parent.name


def _judgement(folder: Path, layer: str, budget: Budget) -> Path:
    return RunFolder(folder).evaluations / f"{layer}-{budget.episodes}.json"


def _tell(event: Event) -> None:
    if event.kind == "finished":
        print(f"{event.job}: finished", flush=True)
    elif event.kind == "failed":
        print(f"{event.job}: {event.value}", flush=True)


def collect(cell: Cell, budget: Budget) -> dict[str, Any]:
    """A cell's figures: rates over all episodes of all seeds, and every seed's capture rate."""
    found: dict[str, Any] = {
        "variant": cell.variant.name,
        "method": cell.variant.method,
        "evader": cell.evader,
        "obstacles": cell.obstacles,
        "seeds": list(budget.seeds),
        "layers": {},
    }
    folders = [cell.folder(budget, seed) for seed in budget.seeds]
    for layer in cell.layers:
        each = [json.loads(_judgement(folder, layer, budget).read_text()) for folder in folders]
        episodes = sum(one["episodes"] for one in each)
        collisions = sum(one["collision"]["count"] for one in each)
        found["layers"][layer] = {
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
    summaries = [json.loads(RunFolder(folder).summary.read_text()) for folder in folders]
    found["steps"] = summaries[0]["steps"]
    found["training_collisions"] = sum(one["collisions"] for one in summaries)
    return found


def collected(cells: Sequence[Cell], budget: Budget) -> dict[str, Any]:
    """The figures of all cells, as they are stored."""
    facts = provenance()
    return {
        "timesteps": budget.timesteps,
        "episodes_per_seed": budget.episodes,
        "seeds": list(budget.seeds),
        "python": facts["python"],
        "packages": facts["packages"],
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "cells": [collect(cell, budget) for cell in cells],
    }


def speeds() -> dict[str, float]:
    """Environment steps per second of each variant, as `make bench` last measured them."""
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
        f"steps of training, seeds {', '.join(map(str, result['seeds']))}, {result['episodes_per_seed']:,} held-out "
        "episodes of each seed with the deterministic policy, the same for all. Deployed as trained; a collision does "
        "not end an episode of the evaluation, so that *capture* and *clean* (captured, and nothing touched before) "
        "differ where things are hit. Rates: mean over the seeds, and in brackets the lowest and highest seed. "
        "*Collisions*: episodes with a collision of the pursuer's own, as the referee sees it, with the exact 95 % "
        "upper bound. *Intervention*: share of steps in which a barrier or the governor changed the control; "
        "*correction* in half-widths of the actuator box; *lost* is the share of steps at which the mean has lost "
        "gradient to the projection. *Steps/s* of training against the random evader with 2 obstacles, from "
        "[speed.md](speed.md). "
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
        "| trained with | " + " | ".join(f"`--shield {one}`" for one in LAYERS) + " |",
        "|---|" + "---:|" * len(LAYERS),
    ]
    for variant in METHODS:
        deployed = cells[variant, *MATRIX]["layers"]
        entries = (
            f"{deployed[one]['capture_without_collision']:.1%} ({deployed[one]['collisions']:,})" for one in LAYERS
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
    found = cell["layers"]["as-trained"]
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
    parser.add_argument("--timesteps", type=int, default=Budget().timesteps, help="budget of each training")
    parser.add_argument("--page", action="store_true", help="only write the page anew, from methods.json, speed.json")
    chosen = parser.parse_args()
    if chosen.page:
        result = json.loads((OUT / "methods.json").read_text(encoding="utf-8"))
    else:
        budget = Budget(chosen.timesteps)
        work(CELLS, budget)
        result = collected(CELLS, budget)
    result["steps_per_second"] = speeds()
    write_json(OUT / "methods.json", result)
    text = report(result)
    (OUT / "methods.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
