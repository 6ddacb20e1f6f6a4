"""The corners around which shortest ways lead in each of an arena's rooms, and which of them comes first from where.

Computed once per arena and body, on the host. A corner is a reflex corner of the region that keeps a berth from
everything; the shortest way between two places is straight, or leads from one such corner to the next.
"""

import math
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy  # loads its parts when they are used
from jaxtyping import Array, Bool, Float, Int

from safepursuit.scene.furniture import furniture, padded
from safepursuit.scene.reading import parse
from safepursuit.scene.room import Room
from safepursuit.scene.sight import blocked
from safepursuit.scene.surfaces import Scene
from safepursuit.shapes import Point

BERTH = 0.1
"""Gap [m] between the body and a corner or disc on a way around it; less where a passage takes less."""

_KEPT_LESS = 0.76
"""Share of the berth that straight pieces of a way need not keep: they cut the round corners of what keeps it."""

_MOST_SPOTS = 20_000
_MOST_CORNERS = 255
"""Of a room; beyond, the shortest ways in it are not known."""

_SLIVER = 0.01
"""Parts of the free region that are less than this share of it do not count."""


class Corners(NamedTuple):
    """NumPy arrays, rooms first; lengths in metres."""

    place: np.ndarray
    """(rooms, 2, corners)"""
    between: np.ndarray
    """(rooms, corners, corners) Length of the shortest way; infinite where there is none, and for padding."""
    first: np.ndarray
    """(rooms, spots, corners) The corner that comes first on the way from a spot to a corner: the latter itself where
    the way is straight, the last one, which is padding, where there is none."""
    after: np.ndarray
    """(rooms, corners, corners) The same from a corner, where it is another one."""
    row: np.ndarray
    """(rooms, cells) The spot of each cell of a grid, or the nearest one: a place where the body is clear. All such
    places in a cell see each other, as its diagonal is less than the body's diameter."""
    grid: np.ndarray
    """(rooms, 5) Lowest left corner x, y, side of a cell, and cells along x and y."""
    discs: np.ndarray
    """(rooms,) Discs that always stand in the room."""
    berth: np.ndarray
    """(rooms,) What straight pieces of a way keep: the radius, and a part of the berth."""


@lru_cache(maxsize=8)
def corners(text: str, radius: float) -> Corners:
    """Those of the rooms of a text (`reading.parse`), for bodies of this radius [m]."""
    rooms, stand = parse(text), furniture(text)
    half = tuple(float(side) for side in np.max([room.half_extents for room in rooms], axis=0))
    regions = [_with_berth(room, radius) for room in rooms]
    places = [_reflex(region) for region, _ in regions]
    places = [some if len(some) <= _MOST_CORNERS else some[:0] for some in places]
    berth = np.array([radius + (1 - _KEPT_LESS) * one for _, one in regions])
    grids = [_grid(room, radius) for room in rooms]
    most = 1 + max(len(some) for some in places)  # the last one is padding: it stands for “there is no way”
    place, spot = np.moveaxis(padded(places, most), 1, 2), np.moveaxis(padded([spots for spots, *_ in grids]), 1, 2)
    between, first, after = [], [], []
    with jax.ensure_compile_time_eval():
        for number, own in enumerate(places):
            scene = stand.scene(half, number)
            how = berth[number], stand.discs[number]
            seen, along = (np.asarray(_visible(scene, one[number], place[number], *how)) for one in (spot, place))
            ways = _lengths(place[number], along, len(own))
            between.append(ways)
            first.append(_first(spot[number], place[number], seen, ways))
            after.append(_first(place[number], place[number], along & ~np.eye(most, dtype=bool), ways))
    return Corners(
        place,
        np.stack(between),
        np.stack(first),
        np.stack(after),
        padded([row for _, row, *_ in grids]),
        np.array([grid for *_, grid in grids]),
        stand.discs,
        berth,
    )


def _with_berth(room: Room, radius: float) -> tuple[Any, float]:
    """The region (shapely) that keeps the widest berth with which all of the room is still reached, and the berth."""
    import shapely

    free = room.free(radius)
    parts = [part for part in shapely.get_parts(free) if part.area > _SLIVER * free.area]
    region, berth = free, 0.0
    for berth in (BERTH, BERTH / 2, BERTH / 4, BERTH / 10):
        region = _kept(room, radius, berth)
        within = [shapely.get_parts(region.intersection(part)) for part in parts]
        if all(sum(one.area > _SLIVER * free.area for one in some) == 1 for some in within):
            break
    return region, berth


def _kept(room: Room, radius: float, berth: float) -> Any:
    """The region that keeps the berth, with as few corners as let their chords keep a quarter of it."""
    import shapely

    gap = radius + berth
    quarter = max(1, math.ceil(0.25 * math.pi / math.acos(1 - _KEPT_LESS * berth / gap)))
    solid = [shapely.Point(x, y).buffer(_around(size + gap), quad_segs=2) for x, y, size in room.discs]
    solid += [shapely.Polygon(one).buffer(gap, quad_segs=quarter) for one in room.polygons]
    solid += [shapely.LineString(one).buffer(gap, quad_segs=quarter) for one in room.segments]
    return shapely.Polygon(room.outline).buffer(-gap, quad_segs=quarter).difference(shapely.union_all(solid))


def _around(radius: float) -> float:
    """That of the corners of a regular octagon around a circle."""
    return radius / math.cos(math.pi / 8)


def _reflex(region: Any) -> np.ndarray:
    """The corners (n, 2) of a region (shapely) at which its inner angle is more than π."""
    import shapely

    found = [np.empty((0, 2))]
    for part in shapely.get_parts(region):
        whole = shapely.geometry.polygon.orient(part)  # the region lies to the left of every ring
        for ring in (whole.exterior, *whole.interiors):
            corner = shapely.get_coordinates(ring)[:-1]
            before, after = corner - np.roll(corner, 1, axis=0), np.roll(corner, -1, axis=0) - corner
            turn = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
            found.append(corner[turn < -1e-9])
    return np.concatenate(found)


def _grid(room: Room, radius: float) -> tuple[np.ndarray, np.ndarray, tuple[float, ...]]:
    """Spots (n, 2), the spot of each cell (row by row), and `Corners.grid`."""
    import shapely

    left, right, low, high = room.bounds
    cell = max(1.4 * radius, math.sqrt((right - left) * (high - low) / _MOST_SPOTS))
    columns, lines = math.ceil((right - left) / cell), math.ceil((high - low) / cell)
    x, y = np.meshgrid(left + cell * (np.arange(columns) + 0.5), low + cell * (np.arange(lines) + 0.5))
    region = room.free(0.999 * radius)
    shapely.prepare(region)
    spot, known = np.stack([x, y], axis=-1), np.zeros(x.shape, bool)
    steps = sorted(((i, j) for i in range(-2, 3) for j in range(-2, 3)), key=lambda step: math.hypot(*step))
    for i, j in steps:  # the nearest to the cell's middle that is clear
        here = x + 0.24 * i * cell, y + 0.24 * j * cell
        clear = ~known & shapely.contains_xy(region, *here)
        spot[clear], known = np.stack(here, axis=-1)[clear], known | clear
    nearest = scipy.ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    number = np.cumsum(known.ravel()).reshape(known.shape) - 1
    return spot[known], number[tuple(nearest)].ravel().astype(np.int32), (left, low, cell, float(columns), float(lines))


@jax.jit
def _visible(
    scene: Scene,
    starts: Float[Array, "2 starts"],
    ends: Float[Array, "2 ends"],
    berth: Float[Array, ""],
    discs: Int[Array, ""],
) -> Bool[Array, "starts ends"]:
    """Between which places the way is straight."""

    def free(own: Point, target: Point) -> Bool[Array, ""]:
        return ~blocked(scene, own, target, berth, discs)

    return jax.vmap(jax.vmap(free, (None, -1)), (-1, None))(starts, ends)


def _lengths(place: np.ndarray, along: np.ndarray, count: int) -> np.ndarray:
    """The shortest ways between the first `count` corners."""
    straight = np.linalg.norm(place[:, :, None] - place[:, None], axis=0)
    whole = np.full(straight.shape, np.inf)
    if count:
        graph = np.where(along, np.maximum(straight, 1e-9), 0)[:count, :count]
        whole[:count, :count] = scipy.sparse.csgraph.dijkstra(np.minimum(graph, graph.T), directed=False)
    return whole


def _first(spot: np.ndarray, place: np.ndarray, seen: np.ndarray, between: np.ndarray) -> np.ndarray:
    """(spots, corners) The corner that comes first on the way."""
    straight = np.where(seen, np.linalg.norm(spot[:, :, None] - place[:, None], axis=0), np.inf)
    found = np.empty(straight.shape, np.uint8)
    for target, ways in enumerate(between):
        whole = straight + ways
        found[:, target] = np.where(np.isfinite(whole).any(axis=1), np.argmin(whole, axis=1), len(between) - 1)
    return found
