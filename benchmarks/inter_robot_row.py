"""What a barrier between the robots costs the pursuer (theory.md §1.2, §2.4): scripted pure pursuit, filtered.

    .venv/bin/python benchmarks/inter_robot_row.py

The row bounds the closing speed by γ(D − D_min)/Δ. Prints, for several γ, the share of the episodes in which the
pursuer captures, the share of its steps in which a barrier held it, and the least distance it came to.
"""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
from scipy.stats import binomtest

from safepursuit.agents import Scripted
from safepursuit.game import Game, GameState, initial
from safepursuit.play import Step, play
from safepursuit.shield import Shield

EPISODES = 1000
OFF = Shield(gain=1.0)
GAINS = (1 / 3, 0.2, 0.1, 0.05, 0.005)


@partial(jax.jit, static_argnames=("evader", "shield", "game"))
def episodes(state: GameState, key: jax.Array, evader: str, shield: Shield, game: Game):
    """(captured, steps held by a barrier, steps played, least distance of the centres), one per episode."""

    def keep(ledger, step: Step):
        captured, held, played, nearest = ledger
        going_on, own = ~step.over, step.done[0]
        least = jnp.minimum(nearest, step.outcome.separation)
        found = captured | (step.outcome.captured & going_on), held + (own.intervened & going_on)
        return (*found, played + going_on, jnp.where(going_on, least, nearest)), None

    agents = Scripted("pure-pursuit", shield), Scripted(evader, OFF)
    none = jnp.zeros(state.step.shape, jnp.int32)
    ledger = (none > 0, none, none, jnp.full(none.shape, jnp.inf))
    return play(agents, state, jax.random.split(key, game.horizon), game, keep, ledger=ledger)[1]


def main() -> None:
    game = Game()
    start_key, play_key = jax.random.split(jax.random.key(0))
    state = initial(start_key, game, EPISODES)
    barred = [
        (f"γ = {gain:.3g}", replace(OFF, robot_barrier=True, robot_gain=gain, allow_blocking=True)) for gain in GAINS
    ]
    print(f"{EPISODES} episodes, capture radius {game.capture_radius} m, D_min {OFF.min_separation} m")
    for evader in ("random", "flee"):
        for name, shield in [("no row", OFF), *barred]:
            captured, held, played, nearest = episodes(state, play_key, evader, shield, game)
            interval = binomtest(int(captured.sum()), EPISODES).proportion_ci(method="wilson")
            print(
                f"{evader:7} {name:10} capture {100 * captured.mean():5.1f} % "
                f"[{100 * interval.low:.1f}, {100 * interval.high:.1f}]  held {100 * held.sum() / played.sum():5.1f} %"
                f"  median least distance {jnp.median(nearest):.2f} m"
            )


if __name__ == "__main__":
    main()
