"""How cost and memory grow with the number of games and of discs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np

from safepursuit import shield as safety
from safepursuit.benchmark import situations
from safepursuit.benchmark.clock import Pace, alternate, spread
from safepursuit.benchmark.playing import first, random_play
from safepursuit.benchmark.tables import Table, ranged
from safepursuit.experiment import TrainConfig
from safepursuit.game import Game
from safepursuit.learn import BarrierNetTrainer
from safepursuit.learn.programs import play_program
from safepursuit.learn.rollout import fresh_starts
from safepursuit.robot import Unicycle
from safepursuit.shield import Shield

GAMES, DISCS = tuple(4**power for power in range(9)), (0, 1, 2, 4, 8, 16, 32, 64)
QUICK_GAMES, QUICK_DISCS = (1, 64, 1024), (0, 4, 16)
UPPER_GAMES, UPPER_DISCS = 1024, 8
"""From here on a cost is no longer that of a call, and its growth is judged."""

BATCH, STEPS = 1024, 8
"""Games where discs are counted; steps of one timed call."""

LINEAR = 1.05
"""A fitted exponent up to here counts as linear: measured again, it comes out differently by some hundredths."""

WHAT = ("game", "shield", "rollout")


def measure(pace: Pace) -> dict[str, Any]:
    """µs a step of all games together, and the bytes its program needs."""
    games, discs = (QUICK_GAMES, QUICK_DISCS) if pace.quick else (GAMES, DISCS)
    return {
        "games": grown({count: _programs(count, TrainConfig().game.arena.obstacles) for count in games}, pace),
        "discs": grown({count: _programs(BATCH, count, ("game", "shield")) for count in discs}, pace),
    }


Timed = tuple[Callable[[], Any], int, int]
"""A compiled call, the steps it makes, the bytes it needs."""


def grown(programs: dict[int, dict[str, Timed]], pace: Pace) -> list[dict[str, Any]]:
    """A line for each size and program."""
    named = {(what, size): one for size, each in programs.items() for what, one in each.items()}
    times = alternate({name: call for name, (call, _, _) in named.items()}, pace)
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
        "µs a step of all games together: the game with random controls, `shield.filter`, and a step of a BarrierNet's "
        "rollout, with the memory of the whole rollout program (arguments, results and temporaries as XLA plans them "
        f"for {STEPS} steps).",
    )
    by_discs = _table(
        found["discs"],
        "Growth with the number of discs",
        ("discs", UPPER_DISCS, 4),
        f"µs a step of {BATCH:,} games: the game with random controls, and `shield.filter` on robots near a boundary; "
        "four walls come to the discs.",
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
    lines.append((f"p, from {large[0]:,}", *(f"{one:.2f} (×{2**one:.2f} a doubling)" for one in powers)))
    lines.append(("growth", *("at most linear" if one <= LINEAR else "more than linear" for one in powers)))
    about = f"The last lines fit cost ∝ (number of {'boundaries' if walls else unit})ᵖ; up to {LINEAR} it is linear."
    return Table(title, (unit, *(f"{what}, µs" for what in whats), "memory, MB"), lines, f"{text} {about}")


def _programs(count: int, discs: int, whats: Sequence[str] = WHAT) -> dict[str, Timed]:
    make = {"game": _game, "shield": _shield, "rollout": _rollout}
    return {what: make[what](count, discs) for what in whats}


def _game(count: int, discs: int) -> Timed:
    states = situations.states(jax.random.key(0), Game(), discs, count)
    given = first(states, count), jax.random.key(1)
    return _program(random_play(Game(), states, STEPS, observed=True).lower(*given), given, STEPS)


def _shield(count: int, discs: int) -> Timed:
    states = situations.states(jax.random.key(0), Game(), discs, count)
    nominal = situations.random_controls(jax.random.key(1), Game(), count)
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
    given = trainer.policy, trainer.state.players, fresh_starts(jax.random.key(1), config), jax.random.key(2)
    return _program(play_program(config).jitted.lower(*given), given, STEPS)


def _program(lowered: jax.stages.Lowered, given: tuple[Any, ...], steps: int) -> Timed:
    compiled = lowered.compile()
    plan = compiled.memory_analysis()
    assert plan is not None
    memory = plan.argument_size_in_bytes + plan.output_size_in_bytes + plan.temp_size_in_bytes
    return partial(compiled, *given), steps, memory
