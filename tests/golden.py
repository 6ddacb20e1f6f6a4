"""Golden trajectories: short games whose every pose is kept in tests/golden/. `make golden` writes them anew."""

import json
from functools import partial
from pathlib import Path

import jax
import numpy as np

from safepursuit import __version__, game, shield
from safepursuit.game import Game
from safepursuit.players import EVADERS, PURSUERS, Sight
from safepursuit.robot import Unicycle
from safepursuit.scene import Arena
from safepursuit.shield import Shield

FOLDER = Path(__file__).parent / "golden"
STEPS, GAMES, SEED = 120, 4, 7
CASES = {
    integrator: Game(arena=Arena(obstacles=3), robot=Unicycle(integrator=integrator)) for integrator in ("euler", "arc")
}


def play(rules: Game) -> dict[str, np.ndarray]:
    """Pure pursuit against a fleeing evader, both under the shield; poses (steps, 3, games), in double precision."""
    with jax.enable_x64(True):
        state = game.initial(jax.random.key(SEED), rules, GAMES)
        keys = jax.random.split(jax.random.key(SEED + 1), GAMES)

        def advance(state, _):
            chase = PURSUERS["pure-pursuit"](
                keys, Sight(state.pursuer, state.evader, state.evader_control, state.scene), rules.robot
            )
            flight = EVADERS["flee"](
                keys, Sight(state.evader, state.pursuer, state.pursuer_control, state.scene), rules.evader
            )
            safe = partial(shield.filter, scene=state.scene, shield=Shield())
            outcome = game.transition(
                state,
                (
                    safe(chase, state.pursuer, robot=rules.robot).control,
                    safe(flight, state.evader, robot=rules.evader).control,
                ),
                rules,
            )
            return outcome.state, (outcome.state.pursuer, outcome.state.evader, outcome.separation)

        pursuer, evader, separation = jax.jit(lambda start: jax.lax.scan(advance, start, None, STEPS)[1])(state)
        return {
            name: np.asarray(value, np.float64)
            for name, value in (("pursuer", pursuer), ("evader", evader), ("separation", separation))
        }


def write() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, rules in CASES.items():
        facts = {
            "safepursuit": __version__,
            "jax": jax.__version__,
            "numpy": np.__version__,
            "seed": SEED,
            "game": repr(rules),
        }
        np.savez_compressed(FOLDER / f"{name}.npz", facts=json.dumps(facts), **play(rules))


if __name__ == "__main__":
    write()
