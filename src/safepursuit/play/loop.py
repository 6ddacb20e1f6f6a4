"""The loop: observe and act, step, record, restart."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from safepursuit.agents import Agent, View
from safepursuit.game import ROLES, Game, GameState, Transition, transition
from safepursuit.shapes import Control, Flag, Keys
from safepursuit.shield import Shielded

Ledger = TypeVar("Ledger")
Record = TypeVar("Record")


class Step(NamedTuple):
    """One step of all games; batch on trailing axes."""

    before: GameState
    done: tuple[Shielded, ...]
    """What each agent did."""
    carries: tuple[Any, ...]
    """Of each agent, after it acted."""
    outcome: Transition
    over: Flag
    """The game was over before this step (only without restarts)."""
    following: GameState
    """From which the games go on."""

    @property
    def ended(self) -> Flag:
        """The game ended in this step."""
        return self.outcome.terminated | self.outcome.truncated


def advance(
    state: GameState,
    controls: tuple[Control, ...],
    game: Game,
    starts: GameState | None = None,
    used: Int[Array, ""] | int = 0,
) -> tuple[Transition, GameState, Int[Array, ""] | int]:
    """Step all games once: what happened, from which states they go on, and how many of `starts` are used up.

    A game that ends goes on from the next of `starts`, of which `used` were taken before, in turn; without any it stays
    where the step led.
    """
    outcome = transition(state, controls, game)
    if starts is None:
        return outcome, outcome.state, used
    over = outcome.terminated | outcome.truncated
    index = (used + jnp.cumsum(over) - 1) % starts.step.shape[-1]
    following = jax.tree.map(lambda new, old: jnp.where(over, new[..., index], old), starts, outcome.state)
    return outcome, following, used + jnp.sum(over)


def play(
    agents: Sequence[Agent],
    state: GameState,
    draws: Any,
    game: Game,
    keep: Callable[[Ledger, Step], tuple[Ledger, Record]],
    *,
    ledger: Ledger,
    keys: Callable[[Any], Sequence[Keys] | Keys] = lambda draw: jax.random.split(draw, len(ROLES)),
    starts: GameState | None = None,
) -> tuple[GameState, Ledger, Record]:
    """Play as many steps as `draws` has entries on its leading axis; `keys(draw)` are the agents' keys of a step.

    `agents` are in the order of `ROLES`. `keep(ledger, step)` says what is recorded of a step (stacked on a leading
    axis in the result) and carries sums from step to step. Games that end start anew from `starts`; without any they
    stand still from then on. Returns the last state, the ledger and the records. One compiled scan.
    """

    def one(carry, draw):
        state, over, used, carries, ledger = carry
        acts = [
            agent.act(own, key, View(state, game, role))
            for agent, own, key, role in zip(agents, carries, keys(draw), ROLES, strict=True)
        ]
        done, after = zip(*acts, strict=True)
        outcome, following, used = advance(state, tuple(one.control for one in done), game, starts, used)
        if starts is None:
            following = jax.tree.map(lambda new, old: jnp.where(over, old, new), following, state)
        step = Step(state, done, after, outcome, over, following)
        ledger, record = keep(ledger, step)
        carries = tuple(agent.onward(own, step.ended) for agent, own in zip(agents, after, strict=True))
        return (following, over | step.ended if starts is None else over, used, carries, ledger), record

    nobody = jnp.zeros(state.step.shape, bool)
    carries = tuple(agent.initial(state) for agent in agents)
    start = (state, nobody, jnp.asarray(0), carries, ledger)
    (state, _, _, _, ledger), records = jax.lax.scan(one, start, draws)
    return state, ledger, records
