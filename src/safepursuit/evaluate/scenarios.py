"""Fixed lists of starts, the same for every policy that is judged on them."""

from dataclasses import dataclass

import jax
from jaxtyping import Array, Key

from safepursuit import game as rules
from safepursuit.game import Game, GameState

SUITES = {"standard": "the training game's own layouts and starts, held out from training"}
"""Names of the suites, and what they hold."""

_HELD_OUT = 0x5AFE
"""Folded into every evaluation seed, so that no scenario comes from a training run's random stream."""


@dataclass(frozen=True)
class Scenarios:
    """`states` has one start for each episode; `evader_keys` one random stream for each.

    Episode i of a suite and seed is the same whatever the number of episodes, so that two evaluations pair up.
    """

    states: GameState
    evader_keys: Key[Array, "episodes"]


def draw(suite: str, game: Game, seed: int, episodes: int) -> Scenarios:
    """The first `episodes` scenarios of a suite. Raises ValueError for an unknown suite or an impossible game."""
    if suite not in SUITES:
        raise ValueError(f"unknown suite {suite!r}; known are {', '.join(SUITES)}.")
    if episodes < 1:
        raise ValueError(f"the number of episodes must be at least 1, not {episodes}.")
    start_key, evader_key = jax.random.split(jax.random.fold_in(jax.random.key(seed), _HELD_OUT))
    return Scenarios(rules.initial(start_key, game, episodes), jax.random.split(evader_key, episodes))
