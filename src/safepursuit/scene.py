"""Four walls and round obstacles, and random layouts of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jaxtyping import Array, Bool, Float, Key

from safepursuit import ranges
from safepursuit.geometry import length, unit
from safepursuit.registry import Registry
from safepursuit.shapes import Flag, Point, Rows, Scalar

FAR = 1e3
"""Distance [m] reported for padding: larger than any arena, small enough for float32."""

_TRIES = 64
"""Places tried per disc."""


class Scene(NamedTuple):
    """A rectangular arena about the origin with round obstacles, padded to a fixed number.

    A scene without batch axes holds for a whole batch of poses.
    """

    half_extents: Float[Array, "2"] | Float[Array, "2 *batch"]
    """[m]: the walls stand at x = ±half_extents[0] and y = ±half_extents[1]."""
    centre: Float[Array, "2 discs *batch"]
    """[m]"""
    radius: Float[Array, "discs *batch"]
    """[m]"""
    present: Bool[Array, "discs *batch"]
    """False marks padding."""

    @classmethod
    def of(cls, discs: Sequence[Sequence[float]] = (), *, half_extents: Sequence[float]) -> "Scene":
        """One scene from discs (x, y, radius) and half the arena's width and height, all in metres.

        Raises ValueError for numbers that are not finite, a negative radius, or half-extents that are not two positive
        lengths.
        """
        table = np.asarray(discs, float).reshape(-1, 3) if len(discs) else np.empty((0, 3))
        walls = np.asarray(half_extents, float)
        if not np.isfinite(table).all() or (table[:, 2] < 0).any():
            raise ValueError("each disc takes three finite numbers x, y, radius [m], the radius not negative.")
        if walls.shape != (2,) or not np.isfinite(walls).all() or not (walls > 0).all():
            raise ValueError(f"half_extents takes two positive lengths [m], not {half_extents}.")
        x, y, radius = (jnp.asarray(column) for column in table.T)
        return cls(jnp.asarray(walls), jnp.stack([x, y]), radius, jnp.ones(len(table), bool))


class Boundaries(NamedTuple):
    """The surfaces around a point: the discs, then the walls at +x, −x, +y, −y."""

    distance: Rows
    """Signed distance [m] of the point from the surface, positive in free space; `FAR` for padding."""
    normal: Float[Array, "2 rows *batch"]
    """Unit normal at the nearest surface point, into free space, world frame; zero for padding."""
    radius: Rows
    """Radius of curvature [m], infinite for a wall; 0 for padding."""
    velocity: Float[Array, "2 rows *batch"]
    """[m/s], world frame; zero for a static boundary."""


def well_formed(scene: Scene) -> tuple[Bool[Array, "discs *batch"], Bool[Array, "2 *walls"]]:
    """Which discs are padding, or finite with a radius that is not negative; and which half-extents are finite."""
    root = jnp.sqrt(scene.radius)  # of a negative radius: NaN
    discs = jnp.isfinite(scene.centre[0]) & jnp.isfinite(scene.centre[1]) & jnp.isfinite(root)
    return discs | ~scene.present, jnp.isfinite(scene.half_extents)


def boundaries(scene: Scene, point: Point) -> Boundaries:
    """All boundaries as seen from `point`; what is not `well_formed` has the distance NaN.

    Raises ValueError if scene and points have different batch axes.
    """
    half_extents, centre, radius, present, discs, walls = (
        _along(part, axes, point) for part, axes in zip((*scene, *well_formed(scene)), (1, 2, 1, 1, 1, 1), strict=True)
    )
    known = present & discs
    from_centre = point[:, None] - jnp.where(known, centre, 0)  # padding may hold NaN
    disc_distance = jnp.where(known, length(from_centre) - radius, jnp.where(discs, FAR, jnp.nan))
    disc_normal = jnp.where(known, unit(from_centre), 0)
    x, y = point
    half_x, half_y = jnp.where(walls, half_extents, jnp.nan)
    wall_distance = jnp.stack([half_x - x, half_x + x, half_y - y, half_y + y])
    one, zero = jnp.ones_like(x), jnp.zeros_like(x)
    wall_normal = jnp.stack([jnp.stack([-one, one, zero, zero]), jnp.stack([zero, zero, -one, one])])
    curved = jnp.broadcast_to(jnp.where(known, radius, 0), disc_distance.shape)
    normal = jnp.concatenate([disc_normal, wall_normal], axis=1)
    return Boundaries(
        distance=jnp.concatenate([disc_distance, wall_distance]),
        normal=normal,
        radius=jnp.concatenate([curved, jnp.full_like(wall_distance, jnp.inf)]),
        velocity=jnp.zeros_like(normal),
    )


def _along(part: Array | np.ndarray, axes: int, point: Point) -> Array | np.ndarray:
    """A scene's array, whose first `axes` axes are its own, with the point's batch axes appended if it has none."""
    own, batch = part.shape[axes:], point.shape[1:]
    if own == batch:
        return part
    if own and not (len(own) == len(batch) and all(one in (1, other) for one, other in zip(own, batch, strict=True))):
        raise ValueError(f"a scene with the batch axes {own} cannot be seen from points with the batch axes {batch}.")
    return part.reshape(part.shape + (1,) * (len(batch) - len(own)))


@dataclass(frozen=True)
class Arena:
    """The distribution of random scenes."""

    half_extents: tuple[float, float] = (10.0, 10.0)
    """Half the arena's width and height [m]."""
    obstacles: Annotated[int, tyro.conf.arg(prefix_name=False)] = 2
    """Number of discs, 0 to 16."""
    radius_range: tuple[float, float] = (0.3, 1.0)
    """Disc radii are uniform in this range [m]."""
    passage: float = 0.6
    """Least gap [m] between two discs, and between a disc and a wall."""
    allow_overlap: bool = False
    """Allow discs that touch and overlap."""
    min_obstacles: Annotated[int | None, tyro.conf.arg(prefix_name=False)] = None
    """If given, the number of discs of each layout is random, from here to `obstacles`."""
    scene: Annotated[str, tyro.conf.arg(prefix_name=False)] = "discs"
    """Generator of layouts; `safepursuit list scenes` names them."""

    def __post_init__(self) -> None:
        ranges.check(self, positive=("half_extents",), not_negative=("passage",))
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
        SCENES.find(self.scene)


def scattered_discs(key: Key[Array, ""], arena: Arena) -> tuple[Scene, Bool[Array, ""]]:
    """Discs anywhere, with free passages between them.

    Returns one random scene, and whether all its discs keep `arena.passage` free. Discs are placed one after the other,
    largest first, each at the first of `_TRIES` uniform places that fits. At least one (possibly absent) disc is
    allocated. For many scenes `jax.vmap` with `out_axes=-1`.
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
    """Which discs are present: all, or a random subset of uniform size, independent of the discs' radii."""
    discs = max(1, arena.obstacles)
    if arena.min_obstacles is None:
        return jnp.arange(discs) < arena.obstacles
    number_key, order_key = jax.random.split(key)
    number = jax.random.randint(number_key, (), arena.min_obstacles, arena.obstacles + 1)
    return jax.random.permutation(order_key, discs) < number


def clearance(scene: Scene, point: Point, radius: float) -> Scalar:
    """Distance [m] from a body of this radius about `point` to the nearest boundary; negative where they overlap."""
    return jnp.min(boundaries(scene, point).distance, axis=0) - radius


Generator: TypeAlias = Callable[[Key[Array, ""], Arena], tuple[Scene, Flag]]
"""A pure function that draws one scene, and whether it succeeded; the arena alone sets the number of discs."""

SCENES: Registry[Generator] = Registry("scene", discs=scattered_discs)
"""Generators of layouts by name."""


def draw_scene(key: Key[Array, ""], arena: Arena) -> tuple[Scene, Flag]:
    """One random scene by the arena's generator, and whether it succeeded; for many `jax.vmap` with `out_axes=-1`."""
    return SCENES.find(arena.scene)(key, arena)
