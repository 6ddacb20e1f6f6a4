"""Every scripted pursuer against every scripted evader: `make bench-players`.

Both play behind the shield, on the held-out starts of the suite `standard` in the default game, without discs and with
four. Captures with 95 % Wilson intervals go to docs/benchmarks/scripted_players.md.
"""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from safepursuit import game as rules
from safepursuit import shield as safety
from safepursuit.evaluate import metrics, scenarios
from safepursuit.game import Game
from safepursuit.players import EVADERS, PURSUERS, Sight
from safepursuit.runs.folder import write_json
from safepursuit.scene import Arena
from safepursuit.shield import Shield

EPISODES, DISCS = 200, (0, 4)
SHIELD = Shield()
OUT = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"


@partial(jax.jit, static_argnames="game")
def play(states, keys, pursuer, evader, game: Game):
    """Which episodes end in capture, and how many steps saw a collision, for the players of these numbers.

    All players are in one program, which compiles once and runs only those that are asked for.
    """

    def safe(control, pose, scene, robot):
        return safety.filter(control, pose, scene, robot=robot, shield=SHIELD, gains=1.0).control

    def advance(carry, time):
        state, over, captured = carry
        now = jax.vmap(lambda key: jax.random.fold_in(key, time))(keys)
        chase = Sight(state.pursuer, state.evader, state.evader_control, state.scene)
        flight = Sight(state.evader, state.pursuer, state.pursuer_control, state.scene)
        asked = jax.lax.switch(pursuer, [partial(one, robot=game.robot) for one in PURSUERS.values()], now, chase)
        fled = jax.lax.switch(evader, [partial(one, robot=game.evader) for one in EVADERS.values()], now, flight)
        outcome = rules.transition(
            state,
            safe(asked, state.pursuer, state.scene, game.robot),
            safe(fled, state.evader, state.scene, game.evader),
            game,
        )
        hit = rules.collided(outcome.pursuer_contact) | rules.collided(outcome.evader_contact)
        following = jax.tree.map(lambda new, old: jnp.where(over, old, new), outcome.state, state)
        captured = captured | (outcome.captured & ~over)
        return (following, over | outcome.terminated | outcome.truncated, captured), jnp.sum(hit & ~over)

    nobody = jnp.zeros(keys.shape, bool)
    (_, _, captured), hits = jax.lax.scan(advance, (states, nobody, nobody), jnp.arange(game.horizon))
    return captured, jnp.sum(hits)


def measure(discs: int) -> dict[str, dict[str, Any]]:
    game = Game(Arena(obstacles=discs))
    drawn = scenarios.draw("standard", game, 0, EPISODES)
    found: dict[str, dict[str, Any]] = {}
    for number, pursuer in enumerate(PURSUERS):
        found[pursuer] = {}
        for other, evader in enumerate(EVADERS):
            captured, hits = play(drawn.states, drawn.evader_keys, number, other, game)
            rate = metrics.rate(int(np.sum(captured)), EPISODES, "wilson")
            found[pursuer][evader] = {**rate, "collision_steps": int(hits)}
            print(f"{discs} discs, {pursuer} against {evader}: {rate['rate']:.1%}", flush=True)
    return found


def main() -> None:
    result = {discs: measure(discs) for discs in DISCS}
    write_json(OUT / "scripted_players.json", {"episodes": EPISODES, "suite": "standard", "discs": result})
    hits = sum(cell["collision_steps"] for table in result.values() for row in table.values() for cell in row.values())
    lines = [
        "# Scripted players against each other",
        "",
        f"Written by `make bench-players` (`benchmarks/scripted_players.py`); do not edit by hand. Share of {EPISODES} "
        "episodes of the suite `standard` that end in capture within 30 s, with the 95 % Wilson interval; equal "
        f"speeds, both behind the shield. Steps with a collision in all of them together: {hits}.",
    ]
    for discs, table in result.items():
        lines += ["", f"## {discs or 'No'} discs", "", "| pursuer | " + " | ".join(EVADERS) + " |"]
        lines.append("|---|" + "---:|" * len(EVADERS))
        for pursuer, row in table.items():
            cells = (f"{100 * c['rate']:.1f} [{100 * c['low']:.1f}, {100 * c['high']:.1f}]" for c in row.values())
            lines.append(f"| {pursuer} | {' | '.join(cells)} |")
    (OUT / "scripted_players.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
