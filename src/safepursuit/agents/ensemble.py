"""Several players of one role, each in its own games."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from safepursuit.agents.agent import Agent, Trained, View
from safepursuit.game import GameState
from safepursuit.policy import Policy
from safepursuit.shapes import Keys
from safepursuit.shield import Shield, Shielded

SLOTS = 16
"""Parts into which the games of trained players of one structure are cut, roughly; weights are met to within a part."""


class Ensemble(Agent):
    """Trained policies of one structure, on a leading axis of their parameters; each drives the games of its slot.

    Parameters and slots are inputs of the compiled program: another mixture of as many slots needs no compilation.
    """

    policies: Policy
    """Axes (slots, …)."""
    seats: Int[Array, "slots seats"]
    """Which game sits where; a slot that is not full repeats a game."""
    place: Int[Array, "games"]
    """Where the control of each game is found among all seats."""
    shield: Shield = eqx.field(static=True)

    @classmethod
    def of(cls, policies: Sequence[Policy], who: Sequence[int], shield: Shield) -> "Ensemble":
        """`policies[who[i]]` drives game i."""
        size = -(-len(who) // SLOTS)
        rows: list[np.ndarray] = []
        drivers: list[Policy] = []
        place = np.zeros(len(who), np.int32)
        for number in dict.fromkeys(who):
            games = np.flatnonzero(np.asarray(who) == number)
            for first in range(0, len(games), size):
                some = games[first : first + size]
                place[some] = size * len(rows) + np.arange(len(some))
                rows.append(np.resize(some, size))
                drivers.append(policies[number])
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves) if eqx.is_array(leaves[0]) else leaves[0], *drivers)
        return cls(stacked, jnp.asarray(np.stack(rows), jnp.int32), jnp.asarray(place), shield)

    def act(self, carry: Any, key: Keys, view: View) -> tuple[Shielded, Any]:
        seen, where = jax.tree.map(
            lambda leaf: jnp.moveaxis(leaf[..., self.seats], -2, 0), (view.observation(), view.situation(self.shield))
        )

        done = eqx.filter_vmap(lambda policy, *given: Trained(policy, self.shield).respond(*given))(
            self.policies, seen, where
        )
        together = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, -2), done)
        return jax.tree.map(lambda leaf: leaf.reshape(*leaf.shape[:-2], -1)[..., self.place], together), carry


class Company(Agent):
    """Agents without memory, each in its own games."""

    members: tuple[Agent, ...]
    games: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    """Of each member; together all games."""

    def act(self, carry: Any, key: Keys, view: View) -> tuple[Shielded, Any]:
        parts = []
        for number, (member, own) in enumerate(zip(self.members, self.games, strict=True)):
            part = key[np.asarray(own)] if key.ndim else jax.random.fold_in(key, number)
            parts.append(member.act(None, part, View(_some(view.state, own), view.game, view.role))[0])
        rows = max(len(part.active) for part in parts)
        parts = [part._replace(active=jnp.pad(part.active, [(0, rows - len(part.active)), (0, 0)])) for part in parts]
        back = np.argsort(np.concatenate([np.asarray(own) for own in self.games]))
        return jax.tree.map(lambda *leaves: jnp.concatenate(leaves, axis=-1)[..., back], *parts), carry


def _some(state: GameState, games: Sequence[int]) -> GameState:
    chosen = np.asarray(games)
    some: GameState = jax.tree.map(lambda leaf: leaf[..., chosen], state)
    return some
