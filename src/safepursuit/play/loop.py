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
    """Of each agent."""
    carries: tuple[Any, ...]
    """Of each agent, after the step."""
    outcome: Transition
    over: Flag
    """Over before this step (only without restarts)."""
    following: GameState
    """The states from which the games continue."""

    @property
    def ended(self) -> Flag:
        """Over with this step."""
        return self.outcome.terminated | self.outcome.truncated


def advance(
    state: GameState,
    controls: tuple[Control, ...],
    game: Game,
    starts: GameState | None = None,
    used: Int[Array, ""] | int = 0,
) -> tuple[Transition, GameState, Int[Array, ""] | int]:
    """Step all games once; returns the transition, the states from which they continue, and `used` after the step.

    A game that ends continues from the next of `starts`, which are used in turn; `used` counts those taken so far.
    Without `starts` it stays where the step led.
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
    """Play one step per entry of `draws` (leading axis), in one scan; returns last state, ledger and records.

    `agents` are in the order of `ROLES`, and `keys(draw)` are their keys of a step. `keep(ledger, step)` returns sums
    that are carried from step to step and the record of the step; records are stacked on a leading axis. Games that end
    continue from `starts`; without `starts` they stand still.
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

    none_over = jnp.zeros(state.step.shape, bool)
    carries = tuple(agent.initial(state) for agent in agents)
    start = (state, none_over, jnp.asarray(0), carries, ledger)
    (state, _, _, _, ledger), records = jax.lax.scan(one, start, draws)
    return state, ledger, records
