"""Random robots at close quarters, on which the safety layer is measured."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from safepursuit.game import Game, GameState, RobotState
from safepursuit.scene import Scene, clearance
from safepursuit.shapes import Pose

_SIDE, _CELL = 8, 2.5
"""Discs stand in different cells of a square board: cells per side, and width of a cell [m]."""

_MOST_DISCS = _SIDE**2

_TRIES = 64
_NEAREST = 0.02
"""Least clearance of a body [m]."""


@partial(jax.jit, static_argnames=("discs", "count"))
def layouts(key: Key[Array, ""], discs: int, count: int) -> Scene:
    """`count` scenes of 20 m × 20 m with 0 to 64 discs of radius 0.3–0.6 m, at least 0.7 m apart.

    `Arena` draws 16 discs at most. As there, at least one (absent) disc is allocated. Raises ValueError for more discs.
    """
    if not 0 <= discs <= _MOST_DISCS:
        raise ValueError(f"there is room for 0 to {_MOST_DISCS} discs, not {discs}.")
    cell_key, jitter_key, radius_key = jax.random.split(key, 3)
    allocated = max(1, discs)
    cells = jnp.argsort(jax.random.uniform(cell_key, (_MOST_DISCS, count)), axis=0)[:allocated]
    middle = _CELL * (jnp.stack([cells % _SIDE, cells // _SIDE]) - (_SIDE - 1) / 2)
    centre = middle + jax.random.uniform(jitter_key, middle.shape, minval=-0.3, maxval=0.3)
    radius = jax.random.uniform(radius_key, (allocated, count), minval=0.3, maxval=0.6)
    half = jnp.full((2, count), _SIDE * _CELL / 2)
    return Scene(half, centre, radius, jnp.full((allocated, count), discs > 0))


@partial(jax.jit, static_argnames="radius")
def close_poses(key: Key[Array, ""], scene: Scene, radius: float) -> Pose:
    """A pose in each scene, near a boundary: of 64 random ones, the one with the least clearance of at least 2 cm."""
    count = scene.half_extents.shape[1]
    place_key, heading_key = jax.random.split(key)
    room = scene.half_extents - radius - _NEAREST
    places = room[:, None] * jax.random.uniform(place_key, (2, _TRIES, count), minval=-1, maxval=1)
    gap = jax.vmap(lambda point: clearance(scene, point, radius), in_axes=1)(places)
    best = jnp.argmin(jnp.where(gap >= _NEAREST, gap, jnp.inf), axis=0)
    place = jnp.take_along_axis(places, best[None, None], axis=1)[:, 0]
    heading = jax.random.uniform(heading_key, (1, count), minval=-jnp.pi, maxval=jnp.pi)
    return jnp.concatenate([place, heading])


def states(key: Key[Array, ""], game: Game, discs: int, count: int) -> GameState:
    """`count` games that begin with both robots near a boundary."""
    scene_key, pursuer_key, evader_key = jax.random.split(key, 3)
    scene = layouts(scene_key, discs, count)
    pursuer, evader = (close_poses(one, scene, game.robot.radius) for one in (pursuer_key, evader_key))
    rest = jnp.zeros((2, count))
    return GameState((RobotState(pursuer, rest), RobotState(evader, rest)), scene, jnp.zeros(count, jnp.int32))
