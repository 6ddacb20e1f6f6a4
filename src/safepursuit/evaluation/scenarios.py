"""Named, fixed lists of starts, the same for every policy that is judged on them.

A suite changes the training's own game where its purpose asks for it and leaves the rest. Its scenarios follow from its
name, its version and a seed alone: episode i has the same layout, the same start and the same random stream of the
evader for every policy and for any number of episodes, so that evaluations pair up episode by episode. A change that
alters any of them raises the version.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from zlib import crc32

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Key

from safepursuit import game as rules
from safepursuit.game import Game, GameState
from safepursuit.geometry import length, unit
from safepursuit.scene import boundaries

_HELD_OUT = 0x5AFE
"""Folded into every evaluation seed, so that no scenario comes from a training run's random stream."""

_SPARE = 4
"""Starts drawn for every one that is needed, where a suite cannot use all of them."""


@dataclass(frozen=True)
class Suite:
    summary: str
    game: Callable[[Game], Game] = lambda game: game
    """The suite's game, made from that of the training."""
    arrange: Callable[[GameState, Game, Key[Array, ""]], tuple[GameState, Bool[Array, "starts"]]] | None = None
    """Rearranges drawn starts and says which of them can be used."""
    evader: str | None = None
    """The opponent that belongs to the suite; None leaves the choice to the caller."""
    fixes_obstacles: bool = False
    version: int = 1


@dataclass(frozen=True)
class Scenarios:
    """`states` has one start for each episode; `evader_keys` one random stream for each."""

    game: Game
    """As it is to be played."""
    states: GameState
    evader_keys: Key[Array, "episodes"]


def _with_discs(
    game: Game, obstacles: int, radius_range: tuple[float, float] | None = None, least: int | None = None
) -> Game:
    radii = radius_range or game.arena.radius_range
    return replace(game, arena=replace(game.arena, obstacles=obstacles, min_obstacles=least, radius_range=radii))


def _behind_disc(state: GameState, game: Game, key: Key[Array, ""]) -> tuple[GameState, Bool[Array, "starts"]]:
    """Puts the evader behind the largest disc, as the pursuer sees it, ready to circle it."""
    scene = state.scene
    centre, radius = scene.centre[:, 0], scene.radius[0]
    away = unit(centre - state.pursuer[:2])
    gap = game.start_clearance + 0.05
    place = centre + (radius + game.evader.radius + gap) * away
    turn = jnp.where(jax.random.bernoulli(key, shape=radius.shape), 1.0, -1.0)
    heading = jnp.arctan2(turn * away[0], -turn * away[1])
    evader = jnp.concatenate([place, heading[None]])
    clear = jnp.min(boundaries(scene, place).distance, axis=0) - game.evader.radius
    distance = length(place - state.pursuer[:2])
    low, high = game.start_distance
    usable = scene.present[0] & (clear >= game.start_clearance) & (distance >= low) & (distance <= high)
    return state.with_robot("evader", pose=evader), usable


SUITES = {
    "standard": Suite("the training game's own layouts and starts, held out from training"),
    "calibration": Suite(
        "the standard starts against the random evader: what every pursuer must catch", evader="random"
    ),
    "dense": Suite(
        "8 to 16 discs", lambda game: _with_discs(game, 16, (0.3, 0.8), least=8), fixes_obstacles=True, version=2
    ),
    "orbit": Suite(
        "the evader starts behind the largest disc",
        lambda game: _with_discs(game, max(1, game.arena.obstacles)),
        _behind_disc,
    ),
    "unseen-radii": Suite(
        "discs of 1.0 to 1.5 m, larger than any in the default training",
        lambda game: _with_discs(game, max(1, game.arena.obstacles), (1.0, 1.5)),
    ),
    "fast-evader": Suite(
        "an evader that is a fifth faster",
        lambda game: replace(game, evader_speed_ratio=1.2, min_evader_speed_ratio=None),
    ),
}


def with_obstacles(game: Game, obstacles: int) -> Game:
    """The game with exactly so many discs. Raises ValueError for a number out of range."""
    return _with_discs(game, obstacles)


def draw(suite: str, game: Game, seed: int, episodes: int) -> Scenarios:
    """The first `episodes` scenarios of a suite. Raises ValueError for an unknown suite or an impossible game."""
    if suite not in SUITES:
        raise ValueError(f"unknown suite {suite!r}; known are {', '.join(SUITES)}.")
    if episodes < 1:
        raise ValueError(f"the number of episodes must be at least 1, not {episodes}.")
    chosen = SUITES[suite]
    game = chosen.game(game)
    key = jax.random.fold_in(jax.random.key(seed), _HELD_OUT)
    if suite != "standard":  # the first of them all; its scenarios are older than the others' names
        key = jax.random.fold_in(jax.random.fold_in(key, crc32(suite.encode())), chosen.version)
    start_key, evader_key = jax.random.split(key)
    keys = jax.random.split(evader_key, episodes)
    if chosen.arrange is None:
        return Scenarios(game, rules.initial(start_key, game, episodes), keys)
    states = rules.initial(start_key, game, _SPARE * episodes)
    # One key for each start, so that the first of them do not depend on how many are drawn.
    each = jax.random.split(jax.random.fold_in(start_key, 1), _SPARE * episodes)
    one_by_one = jax.vmap(lambda state, key: _single(chosen, state, game, key), in_axes=(-1, 0), out_axes=-1)
    states, usable = one_by_one(states, each)
    places = jnp.flatnonzero(usable, size=episodes, fill_value=-1)
    if bool(places[-1] < 0):
        raise ValueError(f"too few starts of the game are of use to the suite {suite!r}: allow more room or distance.")
    return Scenarios(game, jax.tree.map(lambda leaf: leaf[..., places], states), keys)


def _single(suite: Suite, state: GameState, game: Game, key: Key[Array, ""]) -> tuple[GameState, Bool[Array, ""]]:
    assert suite.arrange is not None
    state, usable = suite.arrange(jax.tree.map(lambda leaf: leaf[..., None], state), game, key)
    return jax.tree.map(lambda leaf: leaf[..., 0], state), usable[0]
