"""What stands in a room, and how a point sees it: discs, four walls, and straight edges of any other shape."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from safepursuit.geometry import length, unit
from safepursuit.scene.movers import Movers
from safepursuit.shapes import Count, Flag, Point, Rows, Scalar

FAR = 1e3
"""Distance [m] reported for padding: larger than any arena, small enough for float32."""


class Edges(NamedTuple):
    """Straight walls of finite length, padded to a fixed number; a polygon is its edges. Both sides are solid."""

    start: Float[Array, "2 edges *batch"]
    """[m]"""
    end: Float[Array, "2 edges *batch"]
    """[m]"""
    present: Bool[Array, "edges *batch"]
    """False marks padding."""
    solid: Bool[Array, "edges *batch"]
    """The edge is one of the outline of something solid, not a free-standing wall."""

    @classmethod
    def of(cls, segments: Sequence = (), polygons: Sequence = ()) -> "Edges | None":
        """From segments ((x, y), (x, y)) and outlines of solid things, each a list of corners in either direction [m].

        None where there is nothing. Raises ValueError for numbers that are not finite, or fewer than three corners.
        """
        sides, solid = sides_of(segments, polygons)
        if not len(sides):
            return None
        start, end = (jnp.asarray(part) for part in np.moveaxis(sides, (1, 2), (0, 1)))
        return cls(start, end, jnp.ones(len(sides), bool), jnp.asarray(solid))


def sides_of(segments: Sequence = (), polygons: Sequence = ()) -> tuple[np.ndarray, np.ndarray]:
    """The two ends of every segment and of every side of a polygon, (edges, 2, 2) [m], and which are a polygon's.

    Arguments and errors of `Edges.of`.
    """
    sides, solid = [np.asarray(one, float).reshape(-1, 2) for one in segments], len(segments) * [False]
    for polygon in polygons:
        corners = np.asarray(polygon, float).reshape(-1, 2)
        if len(corners) < 3:
            raise ValueError(f"a polygon takes at least three corners, not {len(corners)}.")
        sides += list(np.stack([corners, np.roll(corners, -1, axis=0)], axis=1))
        solid += len(corners) * [True]
    if any(len(side) != 2 or not np.isfinite(side).all() for side in sides):
        raise ValueError("each segment takes two points of two finite numbers [m].")
    return np.array(sides).reshape(-1, 2, 2), np.array(solid, bool)


@jax.tree_util.register_static
@dataclass(frozen=True)
class Rooms:
    """The rooms of an arena, as the text that `reading.parse` takes."""

    text: str


class Which(NamedTuple):
    """Which of an arena's rooms a scene is."""

    number: Count
    rooms: Rooms


class Way(NamedTuple):
    """The shortest way of a body's centre to a target, around what always stands in the room."""

    next: Point
    """[m] The end of its first straight piece: the target itself, or a corner."""
    length: Scalar
    """[m]"""
    straight: Flag
    """Nothing is in the way."""


class Ways(NamedTuple):
    """The shortest ways of a robot that something outside the scene has found."""

    opponent: Way
    """To the opponent."""
    meeting: Way
    """To where the opponent will be met (`game.sensors.meeting`)."""


class Scene(NamedTuple):
    """A rectangular arena about the origin with round obstacles, padded to a fixed number, and walls of any shape.

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
    edges: Edges | None = None
    """None where nothing but discs and the four walls is in the arena."""
    movers: Movers | None = None
    """How the last discs move; None where everything stands still."""
    room: Which | Ways | None = None
    """Where the shortest ways are known from: one of an arena's rooms, or whoever has found them; None where ways are
    straight."""

    @classmethod
    def of(
        cls,
        discs: Sequence[Sequence[float]] = (),
        *,
        half_extents: Sequence[float],
        segments: Sequence = (),
        polygons: Sequence = (),
        movers: Movers | None = None,
    ) -> "Scene":
        """One scene from discs (x, y, radius), half the arena's width and height, and `Edges.of`, all in metres; the
        last discs may be `movers`.

        Raises ValueError for numbers that are not finite, a negative radius, half-extents that are not two positive
        lengths, polygons of fewer than three corners, or more movers than discs.
        """
        table = np.asarray(discs, float).reshape(-1, 3) if len(discs) else np.empty((0, 3))
        walls = np.asarray(half_extents, float)
        if not np.isfinite(table).all() or (table[:, 2] < 0).any():
            raise ValueError("each disc takes three finite numbers x, y, radius [m], the radius not negative.")
        if walls.shape != (2,) or not np.isfinite(walls).all() or not (walls > 0).all():
            raise ValueError(f"half_extents takes two positive lengths [m], not {half_extents}.")
        if movers is not None and len(movers.speed) > len(table):
            raise ValueError(f"the last discs are the movers, but {len(movers.speed)} movers are more than the discs.")
        x, y, radius = (jnp.asarray(column) for column in table.T)
        there = jnp.ones(len(table), bool)
        return cls(jnp.asarray(walls), jnp.stack([x, y]), radius, there, Edges.of(segments, polygons), movers)

    @property
    def standing(self) -> "Scene":
        """What does not move."""
        if self.movers is None:
            return self
        last = -len(self.movers.speed)
        return self._replace(
            centre=self.centre[:, :last], radius=self.radius[:last], present=self.present[:last], movers=None
        )

    def reached(self, time: Scalar | float) -> "Scene":
        """The scene with every mover as large as all that it can touch within this time [s]."""
        if self.movers is None:
            return self
        speed = jnp.where(self.movers.speed >= 0, self.movers.speed, jnp.nan)  # NaN: not well formed
        axes = max(speed.ndim - 1, jnp.ndim(time), self.radius.ndim - 1)

        def batched(part: Array, own: int) -> Array:
            return part.reshape(part.shape + (1,) * (own + axes - part.ndim))

        further = batched(speed, 1) * time
        batch = jnp.broadcast_shapes(further.shape[1:], batched(self.radius, 1).shape[1:])
        centre, radius, present = (
            jnp.broadcast_to(batched(jnp.asarray(part), own), (*part.shape[:own], *batch))
            for part, own in ((self.centre, 2), (self.radius, 1), (self.present, 1))
        )
        return self._replace(centre=centre, radius=radius.at[-len(speed) :].add(further), present=present)


class Boundaries(NamedTuple):
    """The surfaces around a point: the discs, then the walls at +x, −x, +y, −y, then the edges."""

    distance: Rows
    """Signed distance [m] of the point from the surface, positive in free space; `FAR` for padding."""
    normal: Float[Array, "2 rows *batch"]
    """Unit normal at the nearest surface point, into free space, world frame; zero for padding."""
    radius: Rows
    """Radius of curvature [m], infinite for a wall; 0 for padding and for edges, whose ends are the sharpest part of
    them (theory.md §2.6)."""
    velocity: Float[Array, "2 rows *batch"]
    """[m/s], world frame; zero for a static boundary."""
    edges: Edges | None = None
    """The edges as seen from the point, in the world frame: `start` and `end` count from it."""
    moves: Bool[Array, "rows *batch"] | None = None
    """Which of them are movers; None where everything stands still."""

    @property
    def straight(self) -> Bool[Array, "rows *batch"]:
        """Which of them are walls and edges."""
        flat = jnp.isinf(self.radius)
        return flat if self.edges is None else flat.at[-len(self.edges.present) :].set(True)


def well_formed(scene: Scene) -> tuple[Bool[Array, "..."], ...]:
    """Which discs are padding, or finite with a radius that is not negative; which half-extents are finite; and which
    edges, if any, are padding or finite."""
    root = jnp.sqrt(scene.radius)  # of a negative radius: NaN
    discs = jnp.isfinite(scene.centre[0]) & jnp.isfinite(scene.centre[1]) & jnp.isfinite(root)
    known = discs | ~scene.present, jnp.isfinite(scene.half_extents)
    if scene.edges is None:
        return known
    ends = jnp.isfinite(scene.edges.start) & jnp.isfinite(scene.edges.end)
    return *known, (ends[0] & ends[1]) | ~scene.edges.present


def boundaries(scene: Scene, point: Point) -> Boundaries:
    """All boundaries as seen from `point`; what is not `well_formed` has the distance NaN.

    Raises ValueError if scene and points have different batch axes.
    """
    parts = *scene[:4], *well_formed(scene)[:2]
    half_extents, centre, radius, present, discs, walls = (
        _along(part, axes, point) for part, axes in zip(parts, (1, 2, 1, 1, 1, 1), strict=True)
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
    distances, normals, edges = [disc_distance, wall_distance], [disc_normal, wall_normal], edges_from(scene, point)
    if edges is not None:
        away = -nearest_on(edges)
        distances.append(jnp.where(edges.present, length(away), _along(_far(scene), 1, point)))
        normals.append(jnp.where(edges.present, unit(away), 0))
    normal = jnp.concatenate(normals, axis=1)
    return Boundaries(
        distance=jnp.concatenate(distances),
        normal=normal,
        radius=jnp.concatenate(
            [curved, jnp.full_like(wall_distance, jnp.inf), *(jnp.zeros_like(one) for one in distances[2:])]
        ),
        velocity=_velocity(scene, normal, point),
        edges=edges,
        moves=_moves(scene, normal),
    )


def _velocity(scene: Scene, normal: Array, point: Point) -> Array:
    """Of each boundary; with the shape of the normals."""
    still = jnp.zeros_like(normal)
    if scene.movers is None:
        return still
    own, rows = _along(scene.movers.velocity, 2, point), _movers(scene)
    return still.at[:, rows].set(jnp.broadcast_to(own, still[:, rows].shape))


def _moves(scene: Scene, normal: Array) -> Array | None:
    return None if scene.movers is None else jnp.zeros(normal.shape[1:], bool).at[_movers(scene)].set(True)


def _movers(scene: Scene) -> slice:
    """Which of the boundaries are movers."""
    discs = len(scene.radius)
    return slice(discs - len(scene.movers.speed), discs)  # type: ignore[union-attr]


def nearest_on(edges: Edges) -> Float[Array, "2 edges *batch"]:
    """The point of each edge that is nearest to the origin of its coordinates."""
    along = edges.end - edges.start
    square = along[0] ** 2 + along[1] ** 2
    share = -(edges.start[0] * along[0] + edges.start[1] * along[1]) / jnp.where(square > 0, square, 1)
    return edges.start + jnp.clip(share, 0, 1) * along


def enclosed(scene: Scene, point: Point) -> Flag:
    """Whether the point lies within something solid: a ray in the direction +x leaves an odd number of outlines."""
    edges = edges_from(scene, point)
    if edges is None:
        return jnp.zeros(point.shape[1:], bool)
    (x, y), (x_end, y_end) = edges.start, edges.end
    spans = (y > 0) != (y_end > 0)
    crosses = spans & (x + (x_end - x) * -y / jnp.where(spans, y_end - y, 1) > 0)
    solid = _along(scene.edges.solid, 1, point) & edges.present  # type: ignore[union-attr]
    return jnp.sum(crosses & solid, axis=0) % 2 == 1


def edges_from(scene: Scene, point: Point) -> Edges | None:
    """The edges as seen from the point; those that are not `well_formed` are absent, as padding is."""
    if scene.edges is None:
        return None
    start, end, present, solid = (
        _along(part, axes, point) for part, axes in zip(scene.edges, (2, 2, 1, 1), strict=True)
    )
    known = present & _along(well_formed(scene)[2], 1, point)
    start, end = (jnp.where(known, part, 0) - point[:, None] for part in (start, end))
    known, solid = (jnp.broadcast_to(part, start.shape[1:]) for part in (known, solid))
    return Edges(start, end, known, solid)


def _far(scene: Scene) -> Float[Array, "..."]:
    """The distance of edges that cannot be seen: `FAR`, or NaN where they should be."""
    return jnp.where(well_formed(scene)[2], FAR, jnp.nan)


def _along(part: Array | np.ndarray, axes: int, point: Point) -> Array | np.ndarray:
    """A scene's array, whose first `axes` axes are its own, with the point's batch axes appended if it has none."""
    own, batch = part.shape[axes:], point.shape[1:]
    if own == batch:
        return part
    if own and not (len(own) == len(batch) and all(one in (1, other) for one, other in zip(own, batch, strict=True))):
        raise ValueError(f"a scene with the batch axes {own} cannot be seen from points with the batch axes {batch}.")
    return part.reshape(part.shape + (1,) * (len(batch) - len(own)))


def clearance(scene: Scene, point: Point, radius: float) -> Scalar:
    """Distance [m] from a body of this radius about `point` to the nearest boundary; negative where they overlap."""
    return jnp.min(boundaries(scene, point).distance, axis=0) - radius
