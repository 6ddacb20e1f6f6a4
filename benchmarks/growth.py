"""Where the time of training goes, and how cost and memory grow with seeds, games and discs: `make bench-growth`.

Writes docs/benchmarks/growth.md and .json; with `--quick`, a few sizes and rounds are printed instead.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np

import shares
from parts import write_parts
from playing import first, random_controls, random_play
from safepursuit import shield as safety
from safepursuit.benchmark import Part, situations
from safepursuit.benchmark.clock import Pace, Report, spread
from safepursuit.benchmark.tables import Table, number, ranged
from safepursuit.benchmark.training import PLAIN, unstopped
from safepursuit.experiment import TrainConfig
from safepursuit.game import Game
from safepursuit.learn import BarrierNetTrainer, SeedGroup
from safepursuit.learn.programs import collect_program
from safepursuit.learn.rollout import fresh_starts
from safepursuit.robot import Unicycle
from safepursuit.shield import Shield
from turns import alternate

GAMES, DISCS = tuple(4**power for power in range(9)), (0, 1, 2, 4, 8, 16, 32, 64)
QUICK_GAMES, QUICK_DISCS = (1, 64, 1024), (0, 4, 16)
UPPER_GAMES, UPPER_DISCS = 1024, 8
"""Sizes from which the fixed cost of a call no longer counts, and growth is judged."""

BATCH, STEPS = 1024, 8
"""Games while the discs vary; steps per timed call."""

LINEAR = 1.05
"""A fitted exponent up to here counts as linear: between repetitions it varies by some hundredths."""

WHAT = ("game", "shield", "rollout")

SEED_METHODS, SEEDS = ("barriernet", PLAIN), 4
SEED_ITERATIONS, QUICK_SEED_ITERATIONS = 16, 3


def measure_seeds(pace: Pace, report: Report) -> dict[str, Any]:
    """Environment steps per second of one seed alone, and of several in one program."""
    iterations = QUICK_SEED_ITERATIONS if pace.quick else SEED_ITERATIONS
    found: dict[str, Any] = {"seeds": SEEDS, "iterations": iterations}
    for method in SEED_METHODS:
        base = unstopped(method)  # at full length: a short training is compiled with less effort
        speeds = []
        for count in (1, SEEDS):
            report(f"{method}, {count} of {SEEDS} seeds")
            group = [BarrierNetTrainer(replace(base, seed=seed)) for seed in range(count)]
            one = group[0]
            (SeedGroup(group) if count > 1 else one).train(
                should_stop=lambda one=one: one.state.iteration >= iterations
            )
            speeds.append(statistics.median(row["time/steps_per_second"] for row in one.history[1:]))
        found[method] = {"alone": speeds[0], "together": speeds[1], "speed_up": speeds[1] / speeds[0]}
    return found


def seed_tables(found: dict[str, Any]) -> list[Table]:
    rows = [
        (name, number(found[name]["alone"]), number(found[name]["together"]), f"{found[name]['speed_up']:.2f}×")
        for name in SEED_METHODS
    ]
    text = (
        f"`train --seeds`: {found['seeds']} seeds in one program, all steps counted, beside one seed alone; medians of "
        f"{found['iterations'] - 1} iterations."
    )
    return [Table("Several seeds", ("method", "one seed, steps/s", "together, steps/s", "speed-up"), rows, text)]


def measure(pace: Pace, report: Report) -> dict[str, Any]:
    """µs per step of all games together, and the bytes its program needs."""
    games, discs = (QUICK_GAMES, QUICK_DISCS) if pace.quick else (GAMES, DISCS)
    by_games = {count: _programs(report, count, TrainConfig().game.arena.obstacles) for count in games}
    by_discs = {count: _programs(report, BATCH, count, ("game", "shield")) for count in discs}
    return {"games": grown(by_games, pace, report), "discs": grown(by_discs, pace, report)}


Timed = tuple[Callable[[], Any], int, int]
"""A compiled call, its steps, and the bytes it needs."""


def grown(programs: dict[int, dict[str, Timed]], pace: Pace, report: Report) -> list[dict[str, Any]]:
    """One row per size and program."""
    named = {(what, size): one for size, each in programs.items() for what, one in each.items()}
    times = alternate({name: call for name, (call, _, _) in named.items()}, pace, report)
    return [
        {
            "what": what,
            "size": size,
            "us": spread(times[what, size], 1e6 / steps)._asdict(),
            "bytes": memory,
        }
        for (what, size), (_, steps, memory) in named.items()
    ]


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """p of cost ∝ sizeᵖ, by least squares on logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def tables(found: dict[str, Any]) -> list[Table]:
    by_games = _table(
        found["games"],
        "Growth with the number of games",
        ("games", UPPER_GAMES, 0),
        "µs per step of all games together: the game with random controls, `shield.filter`, and a step of a "
        "BarrierNet's rollout, with the memory of the whole rollout program (arguments, results and temporaries as XLA "
        f"plans them for {STEPS} steps).",
    )
    by_discs = _table(
        found["discs"],
        "Growth with the number of discs",
        ("discs", UPPER_DISCS, 4),
        f"µs per step of {BATCH:,} games: the game with random controls, and `shield.filter` on robots near a "
        "boundary; four walls come to the discs.",
    )
    return [by_games, by_discs]


def _table(rows: list[dict[str, Any]], title: str, axis: tuple[str, int, int], text: str) -> Table:
    unit, upper, walls = axis
    sizes = sorted({row["size"] for row in rows})
    whats = [what for what in WHAT if any(row["what"] == what for row in rows)]
    cell = {(row["what"], row["size"]): row for row in rows}
    lines: list[tuple[str, ...]] = []
    for size in sizes:
        cells = (ranged(cell[what, size]["us"]) for what in whats)
        lines.append((f"{size:,}", *cells, f"{max(cell[what, size]['bytes'] for what in whats) / 2**20:,.1f}"))
    large = [size for size in sizes if size >= upper]
    large = large if len(large) > 1 else sizes[-2:]
    counted = [size + walls for size in large]
    costs = [[cell[what, size]["us"]["median"] for size in large] for what in whats]
    memory = [max(cell[what, size]["bytes"] for what in whats) for size in large]
    powers = [exponent(counted, one) for one in (*costs, memory)]
    lines.append((f"p, from {large[0]:,}", *(f"{one:.2f} (×{2**one:.2f} per doubling)" for one in powers)))
    lines.append(("growth", *("at most linear" if one <= LINEAR else "more than linear" for one in powers)))
    about = f"The last lines fit cost ∝ (number of {'boundaries' if walls else unit})ᵖ; up to {LINEAR} it is linear."
    return Table(title, (unit, *(f"{what}, µs" for what in whats), "memory, MB"), lines, f"{text} {about}")


def _programs(report: Report, count: int, discs: int, whats: Sequence[str] = WHAT) -> dict[str, Timed]:
    report(f"{count:,} games with {discs} discs compile")
    make = {"game": _game, "shield": _shield, "rollout": _rollout}
    return {what: make[what](count, discs) for what in whats}


def _game(count: int, discs: int) -> Timed:
    states = situations.states(jax.random.key(0), Game(), discs, count)
    given = first(states, count), jax.random.key(1)
    return _program(random_play(Game(), states, STEPS, observed=True).lower(*given), given, STEPS)


def _shield(count: int, discs: int) -> Timed:
    states = situations.states(jax.random.key(0), Game(), discs, count)
    nominal = random_controls(jax.random.key(1), Game(), count)
    given = nominal, states.pursuer, states.scene
    return _program(jax.jit(partial(safety.filter, robot=Unicycle(), shield=Shield())).lower(*given), given, 1)


def _rollout(count: int, discs: int) -> Timed:
    game = TrainConfig().game
    config = replace(
        TrainConfig(),
        game=replace(game, arena=replace(game.arena, obstacles=discs)),
        num_envs=count,
        rollout_length=STEPS,
    )
    trainer = BarrierNetTrainer(config)
    given = trainer.policy, trainer.state.games, fresh_starts(jax.random.key(1), config), jax.random.key(2)
    return _program(collect_program(config).jitted.lower(*given), given, STEPS)


def _program(lowered: jax.stages.Lowered, given: tuple[Any, ...], steps: int) -> Timed:
    compiled = lowered.compile()
    plan = compiled.memory_analysis()
    assert plan is not None
    memory = plan.argument_size_in_bytes + plan.output_size_in_bytes + plan.temp_size_in_bytes
    return partial(compiled, *given), steps, memory


PARTS = {
    "shares": Part("where the time of a training iteration goes", shares.measure, shares.tables),
    "seeds": Part("several seeds in one program", measure_seeds, seed_tables),
    "growth": Part("cost and memory with games and with discs", measure, tables),
}


if __name__ == "__main__":
    write_parts(PARTS, "growth", "Where the time goes, and how cost grows", "make bench-growth")
