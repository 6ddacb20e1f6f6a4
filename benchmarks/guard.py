"""A guard against loss of speed: `make bench-guard`. Ratios to fixed computations in the same process, never seconds.

Each piece of work and its reference take turns in many short rounds, and the fastest round of each counts: other load
on the machine only adds to a time. `USUAL` holds the ratios at the time when the limits were set; a change that makes
something slower on purpose sets them anew. One more piece of work, the projection several times over, is there to be
caught. Exits with status 1 where a ratio is beyond its limit, or where that one is not.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

import projection
from playing import random_play
from safepursuit.agents import Pilot, Trained
from safepursuit.benchmark import latency, situations
from safepursuit.benchmark.tables import Table, markdown
from safepursuit.experiment import PPOConfig, TrainConfig
from safepursuit.game import Game
from safepursuit.learn import BarrierNetTrainer
from safepursuit.policy import PolicyConfig

ROUNDS = 200
SLACK = 1.8
USUAL = {"projection": 0.28, "game": 1.7, "training": 2.0, "action": 2.8}
"""Time of the work in units of its reference."""

GAMES, STEPS = 1024, 8
SLOWED = 6
"""Projections of the work that the guard must catch."""

TINY = TrainConfig(
    timesteps=1_000_000,  # compiled with full effort
    num_envs=4,
    rollout_length=8,
    policy=PolicyConfig(hidden=(8,), disc_width=4),
    ppo=PPOConfig(minibatches=2, epochs=2),
)
"""Hardly any arithmetic: the number of kernels counts."""

Call = Callable[[], Any]


@jax.jit
def _throughput(x):
    """A chain of small matrix products and hyperbolic tangents, for the vector units."""
    return jax.lax.scan(lambda x, _: (jnp.tanh(0.1 * (x @ jnp.ones((32, 32)))), None), x, length=20)[0]


@jax.jit
def _trivial(x):
    return 2 * x


def throughput() -> Call:
    return partial(_throughput, jnp.ones((1024, 32)))


def dispatch() -> Call:
    """The least time of a call from NumPy to NumPy."""
    x = jnp.ones(20)
    return lambda: jax.device_get(_trivial(x))


def project(times: int = 1) -> Call:
    """The projection of 1,024 nominal controls onto 10 rows at close quarters with its derivatives, so many times."""
    nominal, rows = jax.jit(partial(projection.problems, rows=10))(projection.inputs(GAMES))

    @jax.jit
    def run(nominal, rows):
        def again(carry, _):
            u, gradient = projection.both(carry, rows)
            return nominal + 1e-6 * (u + sum(jnp.sum(one) for one in jax.tree.leaves(gradient))), None

        return jax.lax.scan(again, nominal, length=times)[0]

    return partial(run, nominal, rows)


def play() -> Call:
    """Eight steps of 1,024 games with two discs."""
    starts = situations.states(jax.random.key(0), Game(), 2, GAMES)
    return partial(random_play(Game(), starts, STEPS, observed=False), starts, jax.random.key(1))


def train() -> Call:
    """One iteration of the tiny training."""
    trainer = BarrierNetTrainer(TINY)
    start = trainer.state

    def iterate():
        trainer.state = start
        trainer.update(trainer.collect_rollout())
        return trainer.state.policy

    return iterate


def act() -> Call:
    """One deterministic action, from NumPy to NumPy."""
    pilot = Pilot(Trained(BarrierNetTrainer(TINY).policy, TINY.shield), TINY.game)
    return partial(pilot, latency.close_states(TINY)[0])


WORK = {
    "projection": (project, throughput),
    "game": (play, throughput),
    "training": (train, throughput),
    "action": (act, dispatch),
}


def ratio(work: Call, reference: Call) -> float:
    """Time of the work in units of the reference."""
    fastest = [float("inf")] * 2
    for turn in range(ROUNDS + 1):
        for index, call in enumerate((work, reference)):
            start = time.perf_counter()
            jax.block_until_ready(call())
            if turn:  # the first round compiles
                fastest[index] = min(fastest[index], time.perf_counter() - start)
    return fastest[0] / fastest[1]


PAGES = """
import resource
from safepursuit.process import keep_freed_memory
keep_freed_memory() if {keep} else None
def use():  # a dozen blocks of a megabyte, written to and freed, as an iteration does
    for block in [bytearray(2**20) for _ in range(12)]:
        block[::4096] = bytes(256)
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages_fetched(keep: bool) -> int:
    """Pages that ten turns of writing and freeing 12 MB fetch anew, with and without `keep_freed_memory`."""
    done = subprocess.run([sys.executable, "-c", PAGES.format(keep=keep)], capture_output=True, text=True, check=True)
    return int(done.stdout)


def slower(ratios: dict[str, float]) -> list[str]:
    """The names of those beyond their limit."""
    return [name for name, found in ratios.items() if found > SLACK * USUAL[name]]


def main() -> int:
    ratios = {name: ratio(work(), reference()) for name, (work, reference) in WORK.items()}
    control = ratio(project(SLOWED), throughput())
    beyond = slower(ratios)
    rows = [
        (name, f"{found:.2f}", f"{USUAL[name]:.2f}", f"{SLACK * USUAL[name]:.2f}", "slower" if name in beyond else "ok")
        for name, found in ratios.items()
    ]
    caught = bool(slower({"projection": control}))
    rows.append((f"{SLOWED} projections", f"{control:.2f}", "", rows[0][3], "caught" if caught else "not caught"))
    print(markdown(Table("Speed in units of a reference", ("work", "ratio", "usual", "limit", ""), rows)))
    kept, left = pages_fetched(True), pages_fetched(False)
    print(f"\nPages fetched anew with freed memory kept: {kept:,}; left to the C library: {left:,}.")
    return int(bool(beyond) or not caught or kept > left)


if __name__ == "__main__":
    sys.exit(main())
