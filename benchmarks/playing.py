"""The game alone: steps per second with random controls.

Many steps in one compiled scan, each with fresh random controls for both robots; a game that ends goes on from the next
of a pool of starts drawn beforehand, as in a rollout.
"""

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Key

from parts import grouped
from safepursuit import shield as safety
from safepursuit.agents import Agent, View
from safepursuit.benchmark.clock import Pace, Report, spread
from safepursuit.benchmark.tables import Table, ranged
from safepursuit.game import ROLES, Game, GameState, collided, initial, observe, reward
from safepursuit.play import Step, play
from safepursuit.robot import Integrator, Unicycle
from safepursuit.scene import Arena
from safepursuit.shapes import Control, Keys
from safepursuit.shield import Shield, Shielded
from turns import alternate

BATCHES, DISCS, INTEGRATORS = tuple(4**power for power in range(8)), (2, 16), ("euler", "arc")
QUICK_BATCHES, QUICK_DISCS, QUICK_INTEGRATORS = (1, 1024), (2,), ("euler",)

Play: TypeAlias = Callable[[Any, Key[Array, ""]], tuple[Any, Float[Array, ""]]]


def random_controls(key: Key[Array, ""], game: Game, count: int) -> Control:
    """Uniform in the pursuer's actuator box."""
    share = jax.random.uniform(key, (2, count))
    return jnp.stack([game.robot.max_speed * share[0], game.robot.max_turn_rate * (2 * share[1] - 1)])


class RandomControls(Agent):
    """Uniform over the pursuer's actuator box, anew at every step."""

    def act(self, carry: Any, key: Keys, view: View) -> tuple[Shielded, Any]:
        nominal = random_controls(key, view.game, view.state.step.shape[-1])
        return safety.unfiltered(nominal, view.situation(Shield()).around, robot=view.robot), carry


def random_play(game: Game, pool: GameState, steps: int, observed: bool) -> jax.stages.Wrapped:
    """A jitted function (states, key) → (states, sum) that plays so many steps with random controls.

    The sum is over everything it saw, so that nothing can be left out: that of transitions, and
    with `observed` of rewards and of what both robots observe.
    """

    def keep(total, step: Step):
        outcome = step.outcome
        seen = jnp.sum(outcome.separation) + jnp.sum(collided(outcome.contacts[0]))
        if observed:
            seen += jnp.sum(reward(step.before, outcome, game))
            for role in ROLES:
                observation = observe(step.following, game, role)
                seen += jnp.sum(observation.ego) + jnp.sum(observation.discs)
        return total + seen, None

    @jax.jit
    def many_steps(state, key):
        agents, zero = (RandomControls(), RandomControls()), jnp.zeros(())
        return play(agents, state, jax.random.split(key, steps), game, keep, ledger=zero, starts=pool)[:2]

    return many_steps


def on_all_devices(play: Play, devices: int, leading: bool = False) -> jax.stages.Wrapped:
    """A function (state, key) → (state, sum) with the games, on the trailing axis or else on the leading one, spread
    over so many devices, as a training spreads them."""
    if devices == 1:
        return jax.jit(play)
    mesh = Mesh(np.asarray(jax.local_devices()[:devices]), ("games",))
    each = PartitionSpec("games")

    def on_one(state, keys):
        state, seen = play(state, keys[0])
        return state, seen[None]

    @jax.jit
    def on_all(state, key):
        along = jax.tree.map(lambda leaf: PartitionSpec(*[None] * (0 if leading else leaf.ndim - 1), "games"), state)
        spread = jax.shard_map(on_one, mesh=mesh, in_specs=(along, each), out_specs=(along, each), check_vma=False)
        state, seen = spread(state, jax.random.split(key, devices))
        return state, jnp.sum(seen)

    return on_all


def steps_for(batch: int) -> int:
    """Steps of one call, so that small batches are not measured by their dispatch."""
    return max(32, min(4096, 2**16 // batch))


def measure(pace: Pace, report: Report) -> dict[str, Any]:
    """Steps per second, both robots moving in each."""
    sizes = (QUICK_INTEGRATORS, QUICK_DISCS, QUICK_BATCHES) if pace.quick else (INTEGRATORS, DISCS, BATCHES)
    counts = (1, jax.local_device_count()) if jax.local_device_count() > 1 else (1,)
    cases = [Case(*case) for case in product(*sizes, counts, (False, True)) if case[2] % case[3] == 0]
    times = alternate({case: _call(case) for case in cases}, pace, report)
    return {
        "games": [
            case._asdict()
            | {"steps_per_second": spread([case.batch * steps_for(case.batch) / one for one in times[case]])._asdict()}
            for case in cases
        ]
    }


class Case(NamedTuple):
    integrator: Integrator
    discs: int
    batch: int
    devices: int
    observed: bool


def _call(case: Case) -> Callable[[], Any]:
    game = Game(Arena(obstacles=case.discs), Unicycle(integrator=case.integrator))
    pool = initial(jax.random.key(0), game, max(256, case.batch))
    play = on_all_devices(random_play(game, pool, steps_for(case.batch), case.observed), case.devices)
    return partial(play, first(pool, case.batch), jax.random.key(1))


def tables(found: dict[str, Any]) -> list[Table]:
    rates = grouped(found["games"], *Case._fields)
    counts = sorted({case[3] for case in rates})
    columns = [(devices, observed) for observed in (False, True) for devices in counts]
    lines = [
        (
            integrator,
            f"{discs}",
            f"{batch:,}",
            *(
                ranged(row["steps_per_second"]) if (row := rates.get((integrator, discs, batch, *column))) else ""
                for column in columns
            ),
        )
        for integrator, discs, batch in dict.fromkeys(key[:3] for key in rates)
    ]
    heads = (
        f"{'observed' if observed else 'steps/s'}, {devices} device{'s' if devices > 1 else ''}"
        for devices, observed in columns
    )
    return [
        Table(
            "The game",
            ("integrator", "discs", "games", *heads),
            lines,
            "Steps per second of all games together, both robots moving in each: random controls, drawn anew at every "
            "step, restarts from a pool of starts, many steps in one compiled scan. *Observed*: with rewards and what "
            "both robots observe. On one device, or with the games spread over devices, one per core.",
        )
    ]


def first(states: GameState, count: int) -> GameState:
    """So many of the states, at random ages."""
    chosen = jax.tree.map(lambda leaf: leaf[..., :count], states)
    return chosen._replace(step=jax.random.randint(jax.random.key(2), (count,), 0, Game().horizon))
