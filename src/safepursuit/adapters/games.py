"""Games in progress: their states, the starts they will need, and the random numbers they play with."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from safepursuit.adapters.match import Match, Outcome, observe, program
from safepursuit.agents import Agent
from safepursuit.game import Game, GameState, initial

_LEAST = 64
"""Starts drawn at once at least: the first one costs as much as many."""


@jax.jit
def _written(ring: GameState, block: GameState, place) -> GameState:
    return jax.tree.map(lambda old, new: jax.lax.dynamic_update_slice_in_dim(old, new, place, axis=-1), ring, block)


@partial(jax.jit, static_argnames="count")
def _taken(ring: GameState, used, count: int) -> GameState:
    index = (used + jnp.arange(count)) % ring.step.shape[-1]
    return jax.tree.map(lambda leaf: leaf[..., index], ring)


class Starts:
    """Random starts, each used once and in order; drawn in blocks, because drawing one by one is slow.

    Two blocks lie in a ring, and a block that is used up is drawn anew: at least one block's worth of fresh starts is
    always there.
    """

    def __init__(self, game: Game, block: int, seed: int) -> None:
        """Raises ValueError where the rules leave no room for a start."""
        self._game, self.block, self.used = game, max(block, _LEAST), 0
        self._key, self._drawn = jax.random.key(seed), 0
        first, second = self._draw(), self._draw()
        self.ring = jax.tree.map(lambda *halves: jnp.concatenate(halves, axis=-1), first, second)

    def _draw(self) -> GameState:
        block = initial(jax.random.fold_in(self._key, self._drawn), self._game, self.block)
        self._drawn += 1
        return block

    def take(self, count: int) -> GameState:
        """The next starts, `block` at most."""
        taken = _taken(self.ring, self.used, count)
        self.count(count)
        return taken

    def count(self, taken: int) -> None:
        """Enter so many of the next starts, `block` at most, as used up."""
        before = self.used // self.block
        self.used += taken
        if self.used // self.block > before:
            self.ring = _written(self.ring, self._draw(), before % 2 * self.block)


class Games:
    """`count` games of a match, advanced step by step; everything follows from the seed of `deal` and the actions.

    With `restarts`, a game that ends goes on from a new start in the same step.
    """

    def __init__(self, match: Match, count: int, rival: Agent, restarts: bool = False) -> None:
        self.match, self.count, self.rival, self._restarts = match, count, rival, restarts
        self._program = program(match)
        self.starts: Starts | None = None
        self.state: GameState | None = None
        """From which the games go on, games on the trailing axis."""
        self.arrived: GameState | None = None
        """To which the last step led, before games that had ended started anew; None after a reset."""
        self._key: Any = None

    def deal(self, seed: int | None, states: GameState | None = None) -> np.ndarray:
        """Start all games anew and observe them, (games, features); with the stream of a seed, or going on in the
        present one, which the first deal cannot. `states` are the starts, if they are not to be drawn."""
        if seed is not None:
            self.starts = Starts(self.match.game, self.count, seed)
            self._key = jax.random.key_data(jax.random.fold_in(jax.random.key(seed), 0xAC7))
        assert self.starts is not None
        states = self.starts.take(self.count) if states is None else self._fitting(states)
        self.state, self.arrived = states, None
        return np.array(observe(states, self.match.game, self.match.role))

    def advance(self, actions: np.ndarray) -> Outcome:
        """One step with the learner's actions (games, 2). Raises ValueError for actions of another shape, or ones that
        are not finite. There must have been a `deal`."""
        assert self.state is not None
        assert self.starts is not None
        action = np.asarray(actions, np.float32)
        if action.shape != (self.count, 2):
            raise ValueError(f"actions must have shape {(self.count, 2)}, not {action.shape}.")
        if not np.isfinite(action).all():
            raise ValueError(
                "an action is not a finite number; ShieldAction brakes for such actions, the game itself cannot."
            )
        ring = self.starts.ring if self._restarts else None
        used = self.starts.used % (2 * self.starts.block) if self._restarts else 0
        outcome = self._program(self.state, self._key, action, ring, used, self.rival)
        self.state, self._key = outcome.state, outcome.key
        self.arrived = outcome.arrived if self._restarts else outcome.state
        return outcome

    def restarted(self, games: int) -> None:
        """Enter the starts used up by so many games that ended in the last step."""
        if self.starts is not None:
            self.starts.count(games)

    def _fitting(self, states: GameState) -> GameState:
        """The given starts as arrays. Raises ValueError where they are not as many, or not of this game."""
        assert self.starts is not None
        ring = self.starts.ring
        known, given = jax.tree.leaves(ring), jax.tree.leaves(states)
        shapes = [(*leaf.shape[:-1], self.count) for leaf in known]
        if len(known) != len(given) or shapes != [jnp.shape(leaf) for leaf in given]:
            raise ValueError(
                f"the given starts are not {self.count} states of this game: draw them by game.initial with its rules."
            )
        return jax.tree.map(lambda like, given: jnp.asarray(given, like.dtype), ring, states)
