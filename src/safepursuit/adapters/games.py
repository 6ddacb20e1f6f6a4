"""Games in progress: their states, their next starts and their random numbers."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from safepursuit.adapters.match import Match, Outcome, observe, program
from safepursuit.agents import Agent
from safepursuit.game import Game, GameState, initial
from safepursuit.process import check_not_forked
from safepursuit.scene import well_formed

_LEAST = 64
"""Least number of starts per block; a small block takes as long to draw."""


@jax.jit
def _written(ring: GameState, block: GameState, place) -> GameState:
    return jax.tree.map(lambda old, new: jax.lax.dynamic_update_slice_in_dim(old, new, place, axis=-1), ring, block)


@partial(jax.jit, static_argnames="count")
def _taken(ring: GameState, used, count: int) -> GameState:
    index = (used + jnp.arange(count)) % ring.step.shape[-1]
    return jax.tree.map(lambda leaf: leaf[..., index], ring)


class Starts:
    """Random starts, each used once and in order; drawn in blocks, because drawing one by one is slow.

    The ring holds two blocks. A block that is used up is drawn anew, so that at least `block` fresh starts remain.
    """

    def __init__(self, game: Game, block: int, seed: int) -> None:
        """Raises ValueError where the rules leave no room for a start, RuntimeError in a process that was forked after
        JAX started."""
        check_not_forked()
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
        """Mark the next `taken` starts, `block` at most, as used."""
        before = self.used // self.block
        self.used += taken
        if self.used // self.block > before:
            self.ring = _written(self.ring, self._draw(), before % 2 * self.block)


class Games:
    """`count` games of a match, determined by the generator of `deal` and the actions.

    With `restarts`, a game that ends goes on from a new start in the same step.
    """

    def __init__(self, match: Match, count: int, rival: Agent, restarts: bool = False) -> None:
        self.match, self.count, self.rival, self._restarts = match, count, rival, restarts
        self._program = program(match)
        self.starts: Starts | None = None
        self.state: GameState | None = None
        """The games go on from here; games on the trailing axis."""
        self.arrived: GameState | None = None
        """The end of the last step, before games that ended started anew; None before a step or without restarts."""
        self._key: Any = None

    def deal(self, generator: np.random.Generator, reseed: bool, states: GameState | None = None) -> np.ndarray:
        """Start all games anew and observe them, (games, features).

        The generator seeds the random numbers at the first deal, and with `reseed`; otherwise they go on. `states` are
        the starts, by default random ones. Raises ValueError for states of another number or another game.
        """
        if reseed or self.state is None:
            seed = int(generator.integers(2**31))
            self.starts = Starts(self.match.game, self.count, seed)
            self._key = jax.random.key_data(jax.random.fold_in(jax.random.key(seed), 0xAC7))
        assert self.starts is not None
        given = self.starts.take(self.count) if states is None else _fitting(states, self.starts.ring, self.count)
        self.state, self.arrived = given, None
        return np.array(observe(given, self.match.game, self.match.role))

    def advance(self, actions: np.ndarray) -> Outcome:
        """One step, after a `deal`, with the learner's actions (games, 2). Raises ValueError for actions of another
        shape or that are not finite."""
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
        self.state, self.arrived, self._key = outcome.state, outcome.arrived, outcome.key
        if self._restarts:
            terminated, truncated, *_ = np.asarray(outcome.flags)
            self.starts.count(int((terminated | truncated).sum()))
        return outcome


def _fitting(states: GameState, ring: GameState, count: int) -> GameState:
    """The states as arrays. Raises ValueError where they are not `count` ones of the ring's game, or not finite."""
    known, given = jax.tree.leaves(ring), jax.tree.leaves(states)
    if [(*leaf.shape[:-1], count) for leaf in known] != [jnp.shape(leaf) for leaf in given]:
        raise ValueError(
            f"the given starts are not {count} states of this game: draw them by game.initial with its rules."
        )
    finite: list[Any] = [np.isfinite(part) for robot in states.robots for part in (robot.pose, robot.control)]
    if not all(np.all(part) for part in (*finite, *well_formed(states.scene))):
        raise ValueError("the given starts hold a pose, a control or a disc that is not finite, or a negative radius.")
    return jax.tree.map(lambda like, given: jnp.asarray(given, like.dtype), ring, states)
