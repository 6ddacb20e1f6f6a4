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

from safepursuit import game as rules
from safepursuit import shield as safety
from safepursuit.game import Game
from safepursuit.players import EVADERS, PURSUERS, Sight
from safepursuit.shield import Shield

EPISODES = 1000
OFF = Shield(gain=1.0)
GAINS = (1 / 3, 0.2, 0.1, 0.05, 0.005)


@partial(jax.jit, static_argnames=("evader", "shield", "game"))
def play(state: rules.GameState, key: jax.Array, evader: str, shield: Shield, game: Game):
    """(captured, steps held by a barrier, steps played, least distance of the centres), one per episode."""

    def advance(carry, step_key):
        state, over, captured, held, played, nearest = carry
        keys = jax.random.split(step_key)
        chase = Sight(state.pursuer, state.evader, state.evader_control, state.scene)
        flight = Sight(state.evader, state.pursuer, state.pursuer_control, state.scene)
        asked = PURSUERS["pure-pursuit"](keys[0], chase, game.robot)
        done = safety.filter(asked, state.pursuer, state.scene, robot=game.robot, shield=shield, opponent=state.evader)
        answer = EVADERS[evader](keys[1], flight, game.evader)
        safe = safety.filter(answer, state.evader, state.scene, robot=game.evader, shield=OFF)
        outcome = rules.transition(state, (done.control, safe.control), game)
        held = held + (done.intervened & ~over)
        nearest = jnp.where(over, nearest, jnp.minimum(nearest, outcome.separation))
        captured = captured | (outcome.captured & ~over)
        return (outcome.state, over | outcome.captured, captured, held, played + ~over, nearest), None

    count = state.step.shape[0]
    never, none = jnp.zeros(count, bool), jnp.zeros(count, jnp.int32)
    start = (state, never, never, none, none, jnp.full(count, jnp.inf))
    (_, _, captured, held, played, nearest), _ = jax.lax.scan(advance, start, jax.random.split(key, game.horizon))
    return captured, held, played, nearest


def main() -> None:
    game = Game()
    start_key, play_key = jax.random.split(jax.random.key(0))
    state = rules.initial(start_key, game, EPISODES)
    barred = [
        (f"γ = {gain:.3g}", replace(OFF, robot_barrier=True, robot_gain=gain, allow_blocking=True)) for gain in GAINS
    ]
    print(f"{EPISODES} episodes, capture radius {game.capture_radius} m, D_min {OFF.min_separation} m")
    for evader in ("random", "flee"):
        for name, shield in [("no row", OFF), *barred]:
            captured, held, played, nearest = play(state, play_key, evader, shield, game)
            interval = binomtest(int(captured.sum()), EPISODES).proportion_ci(method="wilson")
            print(
                f"{evader:7} {name:10} capture {100 * captured.mean():5.1f} % "
                f"[{100 * interval.low:.1f}, {100 * interval.high:.1f}]  held {100 * held.sum() / played.sum():5.1f} %"
                f"  median least distance {jnp.median(nearest):.2f} m"
            )


if __name__ == "__main__":
    main()
