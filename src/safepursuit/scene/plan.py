"""Floor plans as a room's walls and shapes (docs/rooms.md): what is drawn, wherever it comes from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from safepursuit.scene.occupancy import MOST_EDGES, MapError, chosen

_MOST_BYTES = 2**24
_GAP = 1e-6
"""Distance [m] that lines keep from what is solid: their rounded ends do not lie within it."""


@dataclass(frozen=True)
class Plan:
    """What is drawn, in metres."""

    polygons: list[tuple[Any, float]] = field(default_factory=list)
    """Valid shapely polygons, and the distance [m] within which their outlines lie of those that are drawn."""
    lines: list[Any] = field(default_factory=list)
    """Shapely lines."""
    discs: list[list[float]] = field(default_factory=list)
    """x, y, radius."""


def text_of(file: Path) -> str:
    """The text of a plan. Raises MapError."""
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise MapError(f"the plan {file} has more than {_MOST_BYTES // 2**20} MB: simplify it")
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise MapError(f"the plan {file} does not exist") from None
    except UnicodeDecodeError as error:
        raise MapError(f"the plan {file} is not text in UTF-8: {error.reason}") from None
    except OSError as error:
        raise MapError(f"the plan {file} cannot be read: {error.strerror}") from None


def room_of(plan: Plan, file: Path, wanted: Sequence[np.ndarray]) -> tuple[list, list[dict[str, Any]]]:
    """Corners of the outer wall, and shapes as a scene file has them.

    The largest polygon is the room. Its holes and all other polygons are solid, lines are thin walls. What lies between
    a polygon and the outline that is drawn counts as solid. Where the solid divides the room, the part with most of the
    wanted polygons is taken, or else the largest. Raises MapError.
    """
    import shapely

    if not plan.polygons:
        raise MapError(f"the plan {file} has no polygon: its largest one is the room")
    (room, error), *others = sorted(plan.polygons, key=lambda one: -shapely.Polygon(one[0].exterior).area)
    solid = [_grown(shapely.Polygon(one.exterior), by) for one, by in others]
    free = _grown(room, -error).difference(shapely.union_all(solid))
    if free.is_empty:
        raise MapError(f"the solid polygons of the plan {file} cover its largest one, which is the room")
    within = chosen(shapely.get_parts(free), shapely.union_all([shapely.Polygon(one) for one in wanted]))
    thin = shapely.union_all(plan.lines).intersection(within.buffer(-_GAP))
    walls, *pieces = (np.asarray(one.coords)[:-1].tolist() for one in (within.exterior, *within.interiors))
    shapes: list[dict[str, Any]] = [{"polygon": one} for one in pieces]
    for line in shapely.get_parts(thin):
        points = np.asarray(line.coords).tolist() if line.geom_type == "LineString" else []
        shapes += [{"segment": [one, two]} for one, two in pairwise(points)]
    shapes += [{"disc": one} for one in plan.discs if within.distance(shapely.Point(one[:2])) < one[2]]
    edges = len(walls) + sum(len(one) for one in pieces) + sum("segment" in one for one in shapes)
    if edges > MOST_EDGES:
        raise MapError(f"the plan {file} has {edges} edges, more than {MOST_EDGES}: simplify it")
    return walls, shapes


def _grown(polygon: Any, by: float) -> Any:
    """The polygon and all within a distance of it; where that is negative, what lies so deep within it."""
    return polygon.buffer(by, join_style="mitre") if by else polygon
