"""Random rooms: the content of scene files from a random generator, with passages of 0.7 m and more."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

Draw: TypeAlias = np.random.Generator
Content: TypeAlias = dict[str, Any]

_GAP = 0.75
"""Least gap [m] between things that stand in a room, and between them and the walls."""

_DIGITS = 2


def room(draw: Draw) -> Content:
    """A room of up to 10 m with or without corners that point inwards, and what stands in it, in any direction."""
    width, height = draw.uniform(5, 10, 2)
    x, y = draw.uniform(0.35, 0.65, 2) * (width, height)
    third, quarter = (0.3 * width, 0.7 * width), (0.25 * width, 0.75 * width)
    outline = [
        [(0, 0), (width, 0), (width, height), (0, height)],
        [(0, 0), (width, 0), (width, y), (x, y), (x, height), (0, height)],
        [(0, 0), (width, 0), (width, height), *((third[i], at) for i, at in _notch(height, y)), (0, height)],
        [(0, 0), (width, 0), (width, y), *((quarter[i], at) for i, at in _notch(y, height)), (0, y)],
    ][draw.integers(4)]
    corners = np.array(outline)
    for axis, side in enumerate((width, height)):
        if draw.random() < 0.5:
            corners[:, axis] = side - corners[:, axis]
    return {"walls": _rounded(corners), "shapes": _furniture(draw, corners, [], int(draw.integers(2, 6)))}


def office(draw: Draw) -> Content:
    """Rooms that share walls, with a door frame or two in each wall, and a few desks."""
    width, height = draw.uniform(8, 12), draw.uniform(7, 10)
    rooms, walls, doors = [(0.0, 0.0, width, height)], [], np.empty((0, 4))
    wanted = int(draw.integers(4, 7))
    for _ in range(60):
        rooms.sort(key=lambda one: -(one[2] - one[0]) * (one[3] - one[1]))
        left, low, right, high = rooms[0]
        across = right - left > high - low
        place = draw.uniform(0.38, 0.62)
        at = left + place * (right - left) if across else low + place * (high - low)
        ends = np.array([(at, low), (at, high)] if across else [(left, at), (right, at)])
        frames = doors.reshape(-1, 2, 1, 2)  # of each door, seen from both ends of the wall
        gaps = np.maximum(frames.min(axis=1) - ends, ends - frames.max(axis=1)).max(axis=-1)
        if len(rooms) == wanted or max(right - left, high - low) < 4.2:
            break
        if gaps.size and gaps.min() < 0.4:
            continue
        rooms[0] = (left, low, at, high) if across else (left, low, right, at)
        rooms.append((at, low, right, high) if across else (left, at, right, high))
        length = np.ptp(ends.sum(axis=1))
        places = draw.uniform(0.15, 0.85, 1 + (length > 5 and draw.random() < 0.4))
        spans = _apart([(0.3 + share * (length - 1.8), draw.uniform(1.0, 1.3)) for share in sorted(places)])
        ahead = (ends[1] - ends[0]) / length
        marks = [0.0, *itertools.chain(*((begin, begin + size) for begin, size in spans)), length]
        walls += [ends[0] + np.outer(pair, ahead) for pair in zip(marks[::2], marks[1::2], strict=True)]
        new = [[*(ends[0] + begin * ahead), *(ends[0] + (begin + size) * ahead)] for begin, size in spans]
        doors = np.concatenate([doors, new])
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)])
    shapes = [{"segment": _rounded(wall)} for wall in walls]
    shapes += _furniture(draw, corners, walls, int(draw.integers(0, 4)), "box")
    return {"walls": _rounded(corners), "shapes": shapes}


def warehouse(draw: Draw) -> Content:
    """Rows of racks with aisles between them."""
    depth, aisle, cross = draw.uniform(0.5, 1.0), draw.uniform(1.1, 1.8), draw.uniform(1.1, 1.8)
    rows, columns = int(draw.integers(2, 5)), int(draw.integers(1, 4))
    length = draw.uniform(2.2, 7.0 / columns)
    size = np.array([columns * (length + cross) + cross, rows * (depth + aisle) + aisle])
    racks = [
        (cross + 0.5 * length + column * (length + cross), aisle + 0.5 * depth + row * (depth + aisle))
        for row in range(rows)
        for column in range(columns)
    ]
    kept = [place for place in racks if draw.random() < 0.85] or racks
    turned = draw.random() < 0.5
    order = slice(None, None, -1) if turned else slice(None)
    sides = np.array([length, depth])[order]
    boxes = [{"box": [*_rounded(np.array(place)[order]), *_rounded(sides), 0]} for place in kept[:9]]
    width, height = size[order]
    return {"walls": _rounded(np.array([(0, 0), (width, 0), (width, height), (0, height)])), "shapes": boxes}


def maze(draw: Draw) -> Content:
    """Thin walls between square cells: from everywhere a way to everywhere, with loops and dead ends."""
    columns, lines = (int(one) for one in draw.integers(3, 6, 2))
    cell = draw.uniform(1.7, 2.3)
    # Whether a wall stands to the right of a cell, and above it.
    walls = {"right": np.ones((columns - 1, lines), bool), "above": np.ones((columns, lines - 1), bool)}
    known, way = {(0, 0)}, [(0, 0)]
    while way:  # depth first
        here = way[-1]
        ahead = [one for one in _beside(here, columns, lines) if one not in known]
        if not ahead:
            way.pop()
            continue
        there = ahead[draw.integers(len(ahead))]
        kind = "right" if there[1] == here[1] else "above"
        walls[kind][min(here, there)] = False
        known.add(there)
        way.append(there)
    for stands in walls.values():
        stands &= draw.random(stands.shape) < 0.65
    segments = [
        [(column + 1, first), (column + 1, last)]
        for column in range(columns - 1)
        for first, last in _runs(walls["right"][column], walls["above"], column)
    ]
    segments += [
        [(first, line + 1), (last, line + 1)]
        for line in range(lines - 1)
        for first, last in _runs(walls["above"][:, line])
    ]
    corners = cell * np.array([(0, 0), (columns, 0), (columns, lines), (0, lines)])
    shapes = [{"segment": _rounded(cell * np.array(ends))} for ends in segments]
    return {"walls": _rounded(corners), "shapes": shapes}


KINDS: dict[str, Callable[[Draw], Content]] = {"room": room, "office": office, "warehouse": warehouse, "maze": maze}
"""Generators of rooms by name."""


def _notch(outer: float, inner: float) -> list[tuple[int, float]]:
    """Four corners of a notch or a nose in a wall: which of its two sides, and how high."""
    return [(1, outer), (1, inner), (0, inner), (0, outer)]


def _furniture(draw: Draw, outline: np.ndarray, walls: list[np.ndarray], count: int, kind: str = "") -> list[Content]:
    """Up to `count` shapes with free gaps about them."""
    import shapely

    inside = shapely.Polygon(outline)
    taken = [inside.exterior, *map(shapely.LineString, walls)]
    shapes: list[Content] = []
    for _ in range(30 * count):
        if len(shapes) == count:
            break
        chosen = kind or ("box", "polygon", "segment", "disc")[draw.integers(4)]
        centre = draw.uniform(outline.min(axis=0), outline.max(axis=0))
        reach = draw.uniform(0.25, 0.8)
        angles = np.sort(draw.uniform(0, 2 * np.pi, 4))
        width, height, turn = draw.uniform(0.5, 1.6), draw.uniform(0.3, 0.8), float(draw.integers(0, 180))
        ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        shape, thing = {
            "box": ([*_rounded(centre), *_rounded(np.array([width, height])), turn], _box(centre, width, height, turn)),
            "polygon": (_rounded(centre + reach * ring), shapely.Polygon(centre + reach * ring)),
            "segment": (_rounded(centre + reach * ring[:2]), shapely.LineString(centre + reach * ring[:2])),
            "disc": ([*_rounded(centre), round(0.6 * reach, _DIGITS)], shapely.Point(centre).buffer(0.6 * reach)),
        }[chosen]
        if inside.contains(thing) and min(thing.distance(one) for one in taken) >= _GAP:
            if thing.length < 0.5 or (chosen == "polygon" and thing.area < 0.05):
                continue
            shapes.append({chosen: shape})
            taken.append(thing)
    return shapes


def _box(centre: np.ndarray, width: float, height: float, degrees: float) -> Any:
    import shapely
    from shapely import affinity

    half = np.array([width, height]) / 2
    box = shapely.box(*(centre - half), *(centre + half))
    return affinity.rotate(box, degrees)


def _apart(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Doors (where one begins, its width) along a wall, without those that are too near to the one before."""
    kept = spans[:1]
    return kept + [one for one in spans[1:] if one[0] > sum(kept[0]) + 0.8]


def _beside(cell: tuple[int, int], columns: int, lines: int) -> Iterator[tuple[int, int]]:
    for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        if 0 <= cell[0] + x < columns and 0 <= cell[1] + y < lines:
            yield cell[0] + x, cell[1] + y


def _runs(stands: np.ndarray, crossing: np.ndarray | None = None, column: int = 0) -> Iterator[tuple[int, int]]:
    """First and last line of each wall along a row of cells, ended where a wall crosses it: shapes do not cross."""
    first = None
    for place, wall in enumerate([*stands, False]):
        cut = crossing is not None and 0 < place < len(stands) and crossing[column : column + 2, place - 1].all()
        if first is not None and (cut or not wall):
            yield first, place
            first = None
        if wall and first is None:
            first = place


def _rounded(numbers: np.ndarray) -> Any:
    return np.round(numbers, _DIGITS).tolist()
