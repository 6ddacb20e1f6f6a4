"""Suites: named, fixed lists of starts, the same for every policy.

A suite changes the training's own game only as far as its purpose requires. Its scenarios follow from its name, its
version and a seed: episode i has the same layout, start and random stream of the evader for every policy and for any
number of episodes, so that evaluations pair by episode. A change of any of them raises the version.
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
from safepursuit.ranges import check_seed
from safepursuit.scene import boundaries

_HELD_OUT = 0x5AFE
"""Folded into every evaluation seed, which separates its random stream from those of trainings."""

_SPARE = 4
"""Starts drawn per episode, where a suite cannot use all of them."""


@dataclass(frozen=True)
class Suite:
    summary: str
    game: Callable[[Game], Game] = lambda game: game
    """From the training's game to the suite's."""
    arrange: Callable[[GameState, Game, Key[Array, ""]], tuple[GameState, Bool[Array, ""]]] | None = None
    """Rearranges a drawn start; the flag marks a usable one."""
    evader: str | None = None
    """The suite's own opponent, if any."""
    fixes_obstacles: bool = False
    version: int = 1


@dataclass(frozen=True)
class Scenarios:
    """One start (`states`) and one random stream (`evader_keys`) per episode."""

    game: Game
    """The game of the suite."""
    states: GameState
    evader_keys: Key[Array, "episodes"]


def with_obstacles(
    game: Game, obstacles: int, radius_range: tuple[float, float] | None = None, least: int | None = None
) -> Game:
    """The game with so many discs, or with `least` to `obstacles`, of radii in `radius_range` [m].

    Raises ValueError for a number out of range, and for a room, whose discs are its own.
    """
    if game.arena.room:
        raise ValueError(f"the room {game.arena.scene} sets its discs itself: leave out the obstacles, or the suite.")
    radii = radius_range or game.arena.radius_range
    return replace(game, arena=replace(game.arena, obstacles=obstacles, min_obstacles=least, radius_range=radii))


def _behind_disc(state: GameState, game: Game, key: Key[Array, ""]) -> tuple[GameState, Bool[Array, ""]]:
    """Places the evader behind the largest disc, seen from the pursuer, on a tangential heading."""
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
        "8 to 16 discs", lambda game: with_obstacles(game, 16, (0.3, 0.8), least=8), fixes_obstacles=True, version=2
    ),
    "orbit": Suite(
        "the evader starts behind the largest disc",
        lambda game: with_obstacles(game, max(1, game.arena.obstacles)),
        _behind_disc,
    ),
    "unseen-radii": Suite(
        "discs of 1.0 to 1.5 m, larger than any in the default training",
        lambda game: with_obstacles(game, max(1, game.arena.obstacles), (1.0, 1.5)),
    ),
    "rooms": Suite(
        "21 rooms that no training has seen: the gallery, and random rooms of every kind",
        lambda game: replace(game, arena=replace(game.arena, scene="unseen-rooms")),
        fixes_obstacles=True,
    ),
    "moving": Suite(
        "a corridor in which eight people walk, at up to 0.5 m/s",
        lambda game: replace(game, arena=replace(game.arena, scene="corridor")),
        fixes_obstacles=True,
    ),
    "fast-evader": Suite(
        "an evader that is a fifth faster",
        lambda game: replace(game, evader_speed_ratio=1.2, min_evader_speed_ratio=None),
    ),
}


def draw(suite: str, game: Game, seed: int, episodes: int) -> Scenarios:
    """The first `episodes` scenarios of a suite.

    Raises ValueError for an unknown suite, an impossible game, or a seed beyond 32 bits.
    """
    if suite not in SUITES:
        raise ValueError(f"unknown suite {suite!r}; known are {', '.join(SUITES)}.")
    check_seed(seed)
    if episodes < 1:
        raise ValueError(f"the number of episodes must be at least 1, not {episodes}.")
    chosen = SUITES[suite]
    game = chosen.game(game)
    key = jax.random.fold_in(jax.random.key(seed), _HELD_OUT)
    if suite != "standard":  # which is older than the names of suites
        key = jax.random.fold_in(jax.random.fold_in(key, crc32(suite.encode())), chosen.version)
    start_key, evader_key = jax.random.split(key)
    keys = jax.random.split(evader_key, episodes)
    arrange = chosen.arrange
    if arrange is None:
        return Scenarios(game, rules.initial(start_key, game, episodes), keys)
    states = rules.initial(start_key, game, _SPARE * episodes)
    # One key per start, so that the first of them do not depend on the number.
    each = jax.random.split(jax.random.fold_in(start_key, 1), _SPARE * episodes)
    arranged = jax.vmap(lambda state, key: arrange(state, game, key), in_axes=(-1, 0), out_axes=-1)
    states, usable = arranged(states, each)
    places = jnp.flatnonzero(usable, size=episodes, fill_value=-1)
    if bool(places[-1] < 0):
        raise ValueError(f"too few starts of the game suit the suite {suite!r}: allow more room or distance.")
    return Scenarios(game, jax.tree.map(lambda leaf: leaf[..., places], states), keys)
