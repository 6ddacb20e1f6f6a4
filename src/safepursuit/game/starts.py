"""Random starts of games."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from safepursuit.compiling import SELDOM, Program
from safepursuit.game.rules import Game
from safepursuit.game.state import ROLES, GameState, RobotState
from safepursuit.geometry import length
from safepursuit.scene import Scene, Which, clearance, draw_scene, enclosed, movers, places
from safepursuit.shapes import Flag

_TRIES = 64


@partial(Program, effort=SELDOM, static_argnames=("game", "count"))
def _draw(key, game: Game, count: int) -> tuple[GameState, Flag]:
    states, success = jax.vmap(partial(_draw_one, game=game), out_axes=-1)(jax.random.split(key, count))
    # A failed draw is replaced by the last success before it (at the front, by the first success): the first starts of
    # a key do not depend on `count`.
    index = jax.lax.cummax(jnp.where(success, jnp.arange(count), -1))
    index = jnp.where(index < 0, jnp.argmax(success), index)
    return jax.tree.map(lambda leaf: leaf[..., index], states), success


def _draw_one(key, game: Game) -> tuple[GameState, Flag]:
    scene_key, place_key, heading_key = jax.random.split(key, 3)
    scene, success = draw_scene(scene_key, game.arena)
    if game.arena.layout is not None and game.arena.layout.movers:
        scene = _with_movers(jax.random.fold_in(key, 2), game, scene)
    tried, roomy = _places(place_key, game, scene)
    tries = jax.vmap(lambda point: clearance(scene, point, game.largest_radius), in_axes=-1)
    free = tries(tried.reshape(2, -1)).reshape(2, _TRIES) >= game.start_clearance
    if scene.edges is not None and not game.arena.room:
        free &= ~jax.vmap(partial(enclosed, scene), in_axes=-1)(tried.reshape(2, -1)).reshape(2, _TRIES)
    distance = length(tried[:, 0] - tried[:, 1])
    low, high = game.start_distances
    fits = free[0] & free[1] & (distance >= low) & (distance <= high) & roomy
    chosen = tried[:, :, jnp.argmax(fits)]
    heading = jax.random.uniform(heading_key, (1, 2), minval=-jnp.pi, maxval=jnp.pi)
    poses = jnp.concatenate([chosen, heading])
    rest = jnp.zeros(2, poses.dtype)
    speed = None
    if game.min_evader_speed_ratio is not None:
        low, high = (
            game.evader_at_par.max_speed * ratio for ratio in (game.min_evader_speed_ratio, game.evader_speed_ratio)
        )
        speed = jax.random.uniform(jax.random.fold_in(key, 1), (), poses.dtype, low, high)
    robots = RobotState(poses[:, 0], rest), RobotState(poses[:, 1], rest, speed)
    return GameState(robots, scene, jnp.asarray(0, jnp.int32)), success & jnp.any(fits)


def _with_movers(key, game: Game, scene: Scene) -> Scene:
    """The scene with the room's movers as its last discs."""
    scripts = game.arena.layout.movers  # type: ignore[union-attr]
    at, moving = movers.begin(key, scripts, game.robot.dt, scene.half_extents)
    radius = jnp.asarray(movers.walks(scripts, game.robot.dt).radius, scene.radius.dtype)
    return scene._replace(
        centre=jnp.concatenate([scene.centre, at], axis=1),
        radius=jnp.concatenate([scene.radius, radius]),
        present=jnp.concatenate([scene.present, jnp.ones(len(radius), bool)]),
        movers=moving,
    )


def _places(key, game: Game, scene: Scene) -> tuple[Float[Array, "2 robots tries"], Flag]:
    """Places to try for both robots, and whether there is room for any."""
    if not isinstance(scene.room, Which):
        room = scene.half_extents - game.largest_radius - game.start_clearance
        return room[:, None, None] * jax.random.uniform(key, (2, 2, _TRIES), minval=-1, maxval=1), jnp.all(room > 0)
    parts = []
    for role, own_key in zip(ROLES, jax.random.split(key), strict=True):
        number, known = scene.room.number, places(game.arena.room, role, game.start_reach)
        place, count, spacing = map(jnp.asarray, known)
        index_key, shift_key = jax.random.split(own_key)
        index = jax.random.randint(index_key, (_TRIES,), 0, count[number])
        shift = jax.random.uniform(shift_key, (2, _TRIES), scene.half_extents.dtype, -0.5, 0.5)
        regions = jnp.asarray([role in room.start for room in game.arena.rooms])
        within = jnp.where(regions[number], 0, spacing[number])  # stay in a region that is given
        parts.append(place.astype(shift.dtype)[number, :, index].T + within * shift)
    return jnp.stack(parts, axis=1), jnp.asarray(True)


def initial(key: Key[Array, ""], game: Game, count: int) -> GameState:
    """`count` random starts (trailing batch axis): layouts with free passages, both robots clear and at rest.

    Raises ValueError if `count` (at least 256) attempts all fail.
    """
    states, success = _draw(key, game, count)
    if not np.asarray(success).any():
        states, success = _draw(key, game, max(count, 256))
        if not np.asarray(success).any():
            raise ValueError(_no_room(game))
        states = jax.tree.map(lambda leaf: leaf[..., :count], states)
    return states


def initial_shapes(game: Game, count: int) -> GameState:
    """The shapes of the result of `initial`; nothing is drawn."""
    return _draw.jitted.eval_shape(jax.random.key(0), game, count)[0]


def _no_room(game: Game) -> str:
    arena, (near, far) = game.arena, game.start_distances
    if arena.room:
        return (
            f"no start found in the room {arena.scene} with robots {near:g}–{far:g} m apart, "
            f"{game.start_clearance:g} m from everything, and its random discs with gaps of "
            f"{arena.passage:g} m: use fewer discs, or a smaller start distance, start clearance or passage."
        )
    width, height = (2 * extent for extent in arena.half_extents)
    return (
        f"no layout found for {arena.obstacles} discs of radius {arena.radius_range[0]:g}–{arena.radius_range[1]:g} m "
        f"with gaps of {arena.passage:g} m and robots {near:g}–{far:g} m apart in "
        f"a {width:g} m × {height:g} m arena: use fewer or smaller discs, a larger arena, a smaller passage or "
        "start distance, or allow_overlap."
    )
