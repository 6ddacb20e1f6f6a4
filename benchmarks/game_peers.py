"""Steps per second of the game beside JaxMARL's and VMAS's `simple_tag`, random actions: a part of `make bench-peers`.

Writes docs/benchmarks/game_peers.md and .json. Every game has one pursuer, one evader and two obstacles, and every step
ends with what each robot observes and its reward. All run in one process and take turns.
"""

import os

os.environ["JAX_NUM_CPU_DEVICES"] = str(os.cpu_count() or 1)  # before anything asks JAX for its devices

import sys
import warnings
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import torch
from jaxmarl.environments.mpe.simple_tag import SimpleTagMPE
from vmas import make_env

from playing import BATCHES, first, on_all_devices, random_play, steps_for
from safepursuit import game as rules
from safepursuit.benchmark.clock import THOROUGH, spread
from safepursuit.benchmark.machine import about, described
from safepursuit.benchmark.tables import Table, markdown, ranged
from safepursuit.game import Game
from safepursuit.runs.folder import write_json, write_text
from turns import alternate

OUT = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"
DEVICES = os.cpu_count() or 1
VMAS_STEPS = 10
"""Steps of one timed call; each is a call from Python already."""

Timed = tuple[Callable[[], Any], int]
"""A call, and the steps of one game it makes."""


def safepursuit(batch: int) -> Timed:
    steps = steps_for(batch)
    pool = rules.initial(jax.random.key(0), Game(), max(256, batch))
    play = on_all_devices(random_play(Game(), pool, steps, observed=True), _devices(batch))
    return partial(play, first(pool, batch), jax.random.key(1)), steps


def jaxmarl(batch: int) -> Timed:
    """Its own step with its own restart, vmapped and scanned as its tutorials do."""
    game = SimpleTagMPE(num_good_agents=1, num_adversaries=1, num_obs=2)
    steps = steps_for(batch)

    def advance(state, key):
        count = state.step.shape[0]
        action_key, step_key = jax.random.split(key)
        action_keys = jax.random.split(action_key, len(game.agents))
        actions = {
            one: jax.random.randint(each, (count,), 0, game.action_spaces[one].n)
            for one, each in zip(game.agents, action_keys, strict=True)
        }
        observed, state, rewards, _, _ = jax.vmap(game.step)(jax.random.split(step_key, count), state, actions)
        return state, sum(jnp.sum(leaf) for leaf in jax.tree.leaves((observed, rewards)))

    def play(state, key):
        state, seen = jax.lax.scan(advance, state, jax.random.split(key, steps))
        return state, jnp.sum(seen)

    _, state = jax.vmap(game.reset)(jax.random.split(jax.random.key(0), batch))
    return partial(on_all_devices(play, _devices(batch), leading=True), state, jax.random.key(1)), steps


def vmas(batch: int) -> Timed:
    """Its vectorised step; it starts games anew only when told to, which is not counted here."""
    game = make_env("simple_tag", batch, device="cpu", seed=0, num_good_agents=1, num_adversaries=1, num_landmarks=2)

    def play():
        for _ in range(VMAS_STEPS):
            game.step([game.get_random_action(agent) for agent in game.agents])
        return ()

    return play, VMAS_STEPS


SYSTEMS = {"safepursuit": safepursuit, "JaxMARL simple_tag": jaxmarl, "VMAS simple_tag": vmas}


def main() -> None:
    warnings.filterwarnings("ignore")  # the peers' own
    versions = {name: version(name) for name in ("safepursuit", "jaxmarl", "vmas", "torch")}
    facts = about() | {"rounds": THOROUGH.rounds, "peers": versions, "torch_threads": torch.get_num_threads()}
    timed = {(name, batch): make(batch) for name, make in SYSTEMS.items() for batch in BATCHES}
    print("compiled; taking turns", file=sys.stderr)
    times = alternate({key: call for key, (call, _) in timed.items()}, THOROUGH)
    rates = {
        (name, batch): spread([batch * timed[name, batch][1] / one for one in seconds])
        for (name, batch), seconds in times.items()
    }
    found = [
        {"system": name, "batch": batch, "steps_per_second": rate._asdict()} for (name, batch), rate in rates.items()
    ]
    write_json(OUT / "game_peers.json", {"about": facts, "games": found})
    lines = [(name, *(ranged(rates[name, batch]) for batch in BATCHES)) for name in SYSTEMS]
    text = (
        "Written by `make bench-peers` (`benchmarks/game_peers.py`); do not edit by hand.\n\n"
        "Steps per second of all games together, for so many games side by side: one pursuer, one evader, two "
        "obstacles, random actions drawn anew at every step, observations and rewards of both robots. safepursuit and "
        f"JaxMARL run many steps in one compiled scan, the games spread over {DEVICES} devices, one per core, and "
        f"start finished games anew; VMAS is called step by step, with {facts['torch_threads']} threads, and without "
        "restarts. What a step computes differs: safepursuit follows solid bodies along the whole step and reports "
        "contacts and their culprit; the others push overlapping bodies apart by forces, JaxMARL once and VMAS in ten "
        "substeps per step. "
        f"Medians of {facts['rounds']} rounds in which all take turns, quartiles in brackets.\n\n"
        f"{described(facts)} {', '.join(f'{name} {number}' for name, number in versions.items())}."
    )
    table = Table("The game beside others", ("game", *(f"{batch:,}" for batch in BATCHES)), lines, text)
    page = markdown(table, level=1) + "\n"
    write_text(OUT / "game_peers.md", page)
    print(page)


def _devices(batch: int) -> int:
    """As many as can share the games evenly."""
    return DEVICES if batch % DEVICES == 0 else 1


if __name__ == "__main__":
    main()
