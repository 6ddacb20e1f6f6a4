"""Occupancy grids of ROS's map_server (map.yaml and its picture) as outlines of what is solid (docs/rooms.md)."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

MOST_EDGES = 2000
"""Rooms of more edges are refused."""

_MOST_CELLS = 4096**2
_MOST_CORNERS = 20_000
_AHEAD = 48
"""So many corners ahead the end of a straightened piece is looked for."""

_UNKNOWN = 205
"""The grey by which map_saver writes an unknown cell; the free_thresh of 0.25 that Nav2 writes beside it would make it
free."""


class MapError(ValueError):
    """A map that cannot be used; the message says why, without the final stop."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Which cells of a map are known to be free."""

    free: np.ndarray
    """(rows, columns), the lowest row first; all other cells are solid, occupied or unknown."""
    resolution: float
    """Side of a cell [m]."""
    origin: tuple[float, float, float]
    """Pose [m, m, rad] of the lowest left corner, heading along the rows, counter-clockwise."""

    def world(self, corners: np.ndarray) -> np.ndarray:
        """(n, 2) from cells to metres."""
        x, y, yaw = self.origin
        turn = np.array([[math.cos(yaw), math.sin(yaw)], [-math.sin(yaw), math.cos(yaw)]])
        return np.array([x, y]) + self.resolution * corners @ turn

    def cells(self, corners: np.ndarray) -> np.ndarray:
        """(n, 2) from metres to cells."""
        x, y, yaw = self.origin
        turn = np.array([[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]])
        return (corners - np.array([x, y])) @ turn / self.resolution


def load(file: Path) -> Grid:
    """The grid of a map.yaml, free where map_server reads a cell as free and opaque. Raises MapError."""
    try:
        about = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MapError(f"map {file} does not exist") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise MapError(f"map {file} cannot be read: {' '.join(str(error).split())}") from None
    missing = [key for key in ("image", "resolution", "origin") if not isinstance(about, Mapping) or key not in about]
    if missing:
        raise MapError(f"map {file} lacks {', '.join(missing)}: give the map.yaml that map_saver writes")
    resolution, free_thresh, occupied = (
        _number(about.get(key, default), key, low, high)
        for key, default, low, high in (
            ("resolution", None, 1e-4, 100.0),
            ("free_thresh", 0.196, 0.0, 1.0),
            ("occupied_thresh", 0.65, 0.0, 1.0),
        )
    )
    if free_thresh >= occupied:
        raise MapError(f"free_thresh must be less than occupied_thresh, not {free_thresh:g} and {occupied:g}")
    origin = about["origin"]
    if not isinstance(origin, list) or len(origin) != 3:
        raise MapError(f"origin takes x, y, yaw [m, m, rad] of the map's lowest left corner, not {origin!r}")
    x, y, yaw = (_number(one, "origin", -1e4, 1e4) for one in origin)
    if about.get("negate", 0) not in (0, 1):
        raise MapError(f"negate must be 0 or 1, not {about['negate']!r}")
    if about.get("mode", "trinary") not in ("trinary", "scale"):
        raise MapError(f"mode must be trinary or scale, not {about['mode']!r}: save the map anew in one of these")
    light, opaque = _picture(file.parent / str(about["image"]))
    occupancy = light if about.get("negate", 0) else 1 - light
    known = opaque & (np.rint(255 * light) != _UNKNOWN)
    return Grid((known & (occupancy < free_thresh))[::-1], resolution, (x, y, yaw))


def _number(value: Any, where: str, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise MapError(f"{where} must be a number from {low:g} to {high:g}, not {value!r}")
    return float(value)


def _picture(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Lightness from 0 to 1 and which pixels are opaque (rows, columns), the highest row first."""
    from PIL import Image  # late: only maps need it

    try:
        with warnings.catch_warnings(), file.open("rb") as source:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(source)
            width, height = picture.size
            if width * height > _MOST_CELLS:
                raise MapError(f"the picture {file} has {width} × {height} cells, more than {_MOST_CELLS}: crop it")
            if picture.mode.startswith("I"):
                light = np.asarray(picture, float) / 65535
                return light, np.ones(light.shape, bool)
            layers = np.asarray(picture.convert("RGBA"))
    except FileNotFoundError:
        raise MapError(f"the picture {file} of the map does not exist") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        if isinstance(error, MapError):
            raise
        raise MapError(f"the picture {file} of the map cannot be read: {' '.join(str(error).split())}") from None
    return layers[..., :3].mean(axis=-1) / 255, layers[..., 3] == 255


def read(file: Path, cell: Any, wanted: Sequence[np.ndarray]) -> tuple[list, list[dict[str, list]]]:
    """`outlines` of a map.yaml, the solid pieces as a scene file has them; without a cell [m] that of the map.

    Raises MapError.
    """
    grid = load(file)
    outer, solid = outlines(grid, grid.resolution if cell is None else _number(cell, "map.cell", 0.0, 10.0), wanted)
    return outer.tolist(), [{"polygon": one.tolist()} for one in solid]


def outlines(grid: Grid, cell: float, wanted: Sequence[np.ndarray] = ()) -> tuple[np.ndarray, list[np.ndarray]]:
    """Outer wall and solid pieces, (corners, 2) each [m], of the largest free region, or of that with most of the
    wanted polygons.

    All that is not free stays covered. What is added lies within half of `cell` [m] of something that is not free;
    so a body of any radius that was that much farther from everything stays as free as its radius. Raises MapError.
    """
    import shapely

    regions = _regions(grid.free)
    if not len(regions):
        raise MapError("the map has no free cell: look at negate and free_thresh")
    starts = shapely.union_all([shapely.Polygon(grid.cells(one)) for one in wanted])
    exact = chosen(regions, starts)
    corners = shapely.get_num_coordinates(exact)
    room = exact
    if corners <= _MOST_CORNERS:
        room = chosen(shapely.get_parts(_straightened(exact, 0.5 * cell / grid.resolution)), starts)
    rings = [_ring(one) for one in (room.exterior, *room.interiors)] if corners <= _MOST_CORNERS else []
    edges = sum(map(len, rings)) or corners
    if edges > MOST_EDGES:
        raise MapError(
            f"the map has {edges} edges, more than {MOST_EDGES}: give a larger cell for its simplification, such as "
            f"map: {{file: …, cell: {2 * max(cell, grid.resolution):g}}}, or save it with a coarser resolution"
        )
    outer, *solid = (np.round(grid.world(one), 12) for one in rings)
    return outer, solid


def _regions(free: np.ndarray) -> Any:
    """Connected free regions (shapely) in cells: the union of the runs of every row; corners do not connect."""
    import shapely

    steps = np.diff(np.pad(free, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    (row, left), (_, right) = np.nonzero(steps == 1), np.nonzero(steps == -1)
    return shapely.get_parts(shapely.union_all(shapely.box(left, row, right, row + 1)))


def chosen(regions: Any, starts: Any) -> Any:
    """The region that holds most of the starts, or the largest."""
    import shapely

    shared = shapely.area(shapely.intersection(regions, starts))
    return regions[np.argmax(shared if shared.any() else shapely.area(regions))]


def _straightened(exact: Any, growth: float) -> Any:
    """The region without the pockets that straight pieces of its boundary cut off, all within `growth` of its rim."""
    import shapely

    core = exact.buffer(-growth * (1 + 1e-6), quad_segs=8)
    shapely.prepare(core)
    pockets = []
    for number, line in enumerate((exact.exterior, *exact.interiors)):
        ring = _ring(line)
        pockets += _pockets(ring if line.is_ccw == (number == 0) else ring[::-1], core)
    return exact.difference(shapely.union_all(pockets)) if pockets else exact


def _ring(line: Any) -> np.ndarray:
    """Corners (n, 2) of a ring without those on a straight line."""
    corners = np.asarray(line.coords)[:-1]
    ahead, behind = np.roll(corners, -1, axis=0) - corners, corners - np.roll(corners, 1, axis=0)
    return corners[ahead[:, 0] * behind[:, 1] != ahead[:, 1] * behind[:, 0]]


def _pockets(ring: np.ndarray, core: Any) -> list:
    """What chords cut off a ring, free space on its left, without touching the core (polygons of shapely).

    Greedily: from each corner the farthest one ahead such that all between them lie to the right of the chord, and
    again on what comes of it, until nothing changes.
    """
    import shapely

    kept = list(range(len(ring)))
    found: dict[tuple[int, int], Any] = {}
    while True:
        points, count, at = ring[kept], len(kept), 0
        next_kept, changed = [], False
        while at < count:
            next_kept.append(kept[at])
            end = at + 1
            window = min(_AHEAD, count - max(at, 1))  # the first corner may be the end, too, but of no chord to itself
            ends = _visible(points, at, window)
            if len(ends):
                chains = [_chain(ring, kept[at], kept[(at + one) % count]) for one in ends]
                pieces = [shapely.Polygon(chain) for chain in chains]
                fits = np.flatnonzero(~shapely.intersects(core, pieces))
                if len(fits):
                    best = fits[-1]
                    end = at + int(ends[best])
                    found[kept[at], kept[end % count]] = pieces[best].buffer(0)
                    changed = True
            at = end
        if not changed or len(next_kept) < 3:
            return list(found.values())
        kept = next_kept


def _chain(ring: np.ndarray, first: int, last: int) -> np.ndarray:
    return ring[first : last + 1] if first < last else np.concatenate([ring[first:], ring[: last + 1]])


def _visible(points: np.ndarray, at: int, window: int) -> np.ndarray:
    """How far ahead, 2 to `window`, the corners are to whose chord all between them are on the right."""
    ahead = points[(at + 1 + np.arange(window)) % len(points)] - points[at]
    if window < 2:
        return np.empty(0, int)
    (x, y), (x_next, y_next) = ahead[0], ahead[1] - ahead[0]
    if x * y_next - y * x_next <= 0:  # no hollow begins here
        return np.empty(0, int)
    side = ahead[:, None, 0] * ahead[None, :, 1] - ahead[:, None, 1] * ahead[None, :, 0]
    clear = np.max(np.tril(side, -1), axis=1) <= 0
    clear[0] = False
    return np.flatnonzero(clear) + 1
