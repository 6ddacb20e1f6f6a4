"""What can be touched: four walls and round obstacles, and how layouts of them are drawn."""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import tyro
from jaxtyping import Array, Bool, Float, Key

from safepursuit.geometry import length, unit
from safepursuit.shapes import Point, Scalar

FAR = 1e3
"""Distance [m] reported for padding: larger than any arena, small enough for float32."""

WALLS = 4
"""They are the last of a scene's boundaries."""

_TRIES = 64
"""Places tried for each disc before a layout is given up."""


class Scene(NamedTuple):
    """A rectangular arena about the origin with round obstacles, padded to a fixed number."""

    half_extents: Float[Array, "2"] | Float[Array, "2 *batch"]
    """[m]: the walls stand at x = ±half_extents[0] and y = ±half_extents[1]."""
    centre: Float[Array, "2 discs *batch"]
    """[m]"""
    radius: Float[Array, "discs *batch"]
    """[m]"""
    present: Bool[Array, "discs *batch"]
    """False marks padding."""


class Boundaries(NamedTuple):
    """The surfaces around a point: first the discs, then the walls at +x, −x, +y, −y."""

    distance: Float[Array, "rows *batch"]
    """Signed distance [m] of the point from the surface, positive in free space; `FAR` for padding."""
    normal: Float[Array, "2 rows *batch"]
    """Unit normal at the nearest surface point, into free space, world frame; zero for padding."""


def boundaries(scene: Scene, point: Point) -> Boundaries:
    """Distances and normals of all boundaries as seen from `point`."""
    from_centre = point[:, None] - jnp.where(scene.present, scene.centre, 0)  # padding may hold anything, NaN too
    disc_distance = jnp.where(scene.present, length(from_centre) - scene.radius, FAR)
    disc_normal = jnp.where(scene.present, unit(from_centre), 0)
    x, y = point
    half_x, half_y = scene.half_extents
    wall_distance = jnp.stack([half_x - x, half_x + x, half_y - y, half_y + y])
    one, zero = jnp.ones_like(x), jnp.zeros_like(x)
    wall_normal = jnp.stack([jnp.stack([-one, one, zero, zero]), jnp.stack([zero, zero, -one, one])])
    return Boundaries(
        jnp.concatenate([disc_distance, wall_distance]), jnp.concatenate([disc_normal, wall_normal], axis=1)
    )


@dataclass(frozen=True)
class Arena:
    """How scenes are drawn."""

    half_extents: tuple[float, float] = (10.0, 10.0)
    """Half the arena's width and height [m]."""
    obstacles: Annotated[int, tyro.conf.arg(prefix_name=False)] = 2
    """Number of discs, 0 to 16."""
    radius_range: tuple[float, float] = (0.3, 1.0)
    """Disc radii are uniform in this range [m]."""
    passage: float = 0.6
    """Least gap [m] between two discs, and between a disc and a wall, so that a robot can pass."""
    allow_overlap: bool = False
    """Accept any placement of the discs, touching and overlapping ones included."""
    min_obstacles: Annotated[int | None, tyro.conf.arg(prefix_name=False)] = None
    """Where given, each layout draws its number of discs from here to `obstacles`."""

    def __post_init__(self) -> None:
        if not 0 <= self.obstacles <= 16:
            raise ValueError(f"the number of obstacles must be between 0 and 16, not {self.obstacles}.")
        if self.min_obstacles is not None and not 0 <= self.min_obstacles <= self.obstacles:
            raise ValueError(
                f"min_obstacles must lie between 0 and the number of obstacles, {self.obstacles}, not be "
                f"{self.min_obstacles}."
            )
        low, high = self.radius_range
        if not 0 < low <= high:
            raise ValueError(
                f"radius_range must be two positive radii [m], the smaller first, not {self.radius_range}."
            )
        if not min(self.half_extents) > 0:
            raise ValueError(f"half_extents must be positive lengths [m], not {self.half_extents}.")
        if self.passage < 0:
            raise ValueError(f"passage must not be negative, but is {self.passage} m.")


def draw_scene(key: Key[Array, ""], arena: Arena) -> tuple[Scene, Bool[Array, ""]]:
    """One random scene, and whether all its discs found a place that keeps `arena.passage` free.

    Discs are placed one after the other, largest first, each at the first of many uniform tries that fits. Pure; for
    many scenes `jax.vmap` with `out_axes=-1`. At least one (possibly absent) disc is allocated.
    """
    discs = max(1, arena.obstacles)
    half = jnp.asarray(arena.half_extents, jnp.result_type(float))
    radius_key, place_key = jax.random.split(key)
    low, high = arena.radius_range
    radius = -jnp.sort(-jax.random.uniform(radius_key, (discs,), minval=low, maxval=high))
    present = _present(jax.random.fold_in(key, 1), arena)
    tries = jax.random.uniform(place_key, (discs, 2, _TRIES), minval=-1, maxval=1)

    def place(i, state):
        centre, success = state
        room = half - radius[i] - (0 if arena.allow_overlap else arena.passage)
        candidates = jnp.maximum(room, 0)[:, None] * tries[i]
        gap = length(candidates[:, None, :] - centre[:, :, None]) - (radius + radius[i])[:, None]
        earlier = (jnp.arange(discs) < i)[:, None]
        fits = jnp.all(jnp.where(earlier, gap >= arena.passage, True), axis=0) & jnp.all(room >= 0)
        fits = fits | arena.allow_overlap
        chosen = candidates[:, jnp.argmax(fits)]
        return centre.at[:, i].set(chosen), success & (jnp.any(fits) | ~present[i])

    start = (jnp.zeros((2, discs), half.dtype), jnp.asarray(True))
    centre, success = jax.lax.fori_loop(0, discs, place, start)
    return Scene(half, centre, radius.astype(half.dtype), present), success


def _present(key: Key[Array, ""], arena: Arena) -> Bool[Array, "discs"]:
    """Which of the discs there are: all, or a random subset whose size is uniform from the least to the largest number,
    so that large and small discs have equal chances."""
    discs = max(1, arena.obstacles)
    if arena.min_obstacles is None:
        return jnp.arange(discs) < arena.obstacles
    number_key, order_key = jax.random.split(key)
    number = jax.random.randint(number_key, (), arena.min_obstacles, arena.obstacles + 1)
    return jax.random.permutation(order_key, discs) < number


def clearance(scene: Scene, point: Point, radius: float) -> Scalar:
    """Distance [m] from a body of this radius about `point` to the nearest boundary; negative where they overlap."""
    return jnp.min(boundaries(scene, point).distance, axis=0) - radius
