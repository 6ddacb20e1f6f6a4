"""Floor plans in GeoJSON (RFC 7946), in metres, as a room's walls and shapes (docs/rooms.md)."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from safepursuit.scene.occupancy import MOST_EDGES, MapError, chosen

SUFFIX = ".geojson"

_MOST_BYTES = 2**24
_GAP = 1e-6
"""Distance [m] that lines keep from what is solid: their rounded ends do not lie within it."""

_GEOMETRIES = ("Polygon", "LineString", "Point")


def read(file: Path, wanted: Sequence[np.ndarray]) -> tuple[list, list[dict[str, Any]]]:
    """Corners of the outer wall, and shapes as a scene file has them.

    The largest polygon is the room. Its holes and all other polygons are solid, lines are thin walls, and points with a
    property `radius` [m] are discs. Where the solid divides the room, the part with most of the wanted polygons is
    taken, or else the largest. Raises MapError.
    """
    import shapely

    parts: dict[str, list] = {kind: [] for kind in _GEOMETRIES}
    for number, (geometry, properties) in enumerate(_features(_content(file), "the file"), 1):
        for part in _parts(geometry, f"feature {number}"):
            kind = part.geom_type
            if kind == "Point":
                parts[kind].append([part.x, part.y, _radius(properties, number)])
            elif kind in parts:
                parts[kind].append(part)
    if not parts["Polygon"]:
        raise MapError(f"the plan {file} has no polygon: its largest one is the room")
    room, *solid = sorted(parts["Polygon"], key=lambda one: -shapely.Polygon(one.exterior).area)
    free = room.difference(shapely.union_all([shapely.Polygon(one.exterior) for one in solid]))
    if free.is_empty:
        raise MapError(f"the solid polygons of the plan {file} cover its largest one, which is the room")
    within = chosen(shapely.get_parts(free), shapely.union_all([shapely.Polygon(one) for one in wanted]))
    thin = shapely.union_all(parts["LineString"]).intersection(within.buffer(-_GAP))
    walls, *pieces = (np.asarray(one.coords)[:-1].tolist() for one in (within.exterior, *within.interiors))
    shapes: list[dict[str, Any]] = [{"polygon": one} for one in pieces]
    for line in shapely.get_parts(thin):
        points = np.asarray(line.coords).tolist() if line.geom_type == "LineString" else []
        shapes += [{"segment": [one, two]} for one, two in pairwise(points)]
    shapes += [{"disc": one} for one in parts["Point"] if within.distance(shapely.Point(one[:2])) < one[2]]
    edges = len(walls) + sum(len(one) for one in pieces) + sum("segment" in one for one in shapes)
    if edges > MOST_EDGES:
        raise MapError(f"the plan {file} has {edges} edges, more than {MOST_EDGES}: simplify it")
    return walls, shapes


def _content(file: Path) -> Any:
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise MapError(f"the plan {file} has more than {_MOST_BYTES // 2**20} MB: simplify it")
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MapError(f"the plan {file} does not exist") from None
    except OSError as error:
        raise MapError(f"the plan {file} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, MapError):
            raise
        raise MapError(f"the plan {file} is not GeoJSON: {' '.join(str(error).split())}") from None


def _features(content: Any, where: str) -> Iterator[tuple[Any, Mapping]]:
    """Geometries with their properties."""
    kind = content.get("type") if isinstance(content, Mapping) else None
    if kind == "FeatureCollection":
        features = content.get("features")
        if not isinstance(features, list):
            raise MapError("features must be a list")
        for number, one in enumerate(features, 1):
            if not isinstance(one, Mapping) or one.get("type") != "Feature":
                raise MapError(f"feature {number} must have the type Feature")
            yield from _features(one, f"feature {number}")
    elif kind == "Feature":
        properties = content.get("properties")
        if content.get("geometry") is not None:
            yield content["geometry"], properties if isinstance(properties, Mapping) else {}
    elif kind is not None and ("coordinates" in content or "geometries" in content):
        yield content, {}
    else:
        raise MapError(f"{where} must have a type of GeoJSON, such as FeatureCollection, not {kind!r}")


def _parts(geometry: Any, where: str) -> list:
    """The polygons, lines and points of a geometry."""
    import shapely

    try:
        whole = shapely.force_2d(shapely.from_geojson(json.dumps(geometry)))
    except (shapely.errors.GEOSException, RecursionError) as error:
        reason = str(error).partition(": ")[2].partition(": '")[0] or str(error)
        raise MapError(f"{where} is not a geometry of GeoJSON: {' '.join(reason.split())}") from None
    if not np.isfinite(shapely.get_coordinates(whole)).all():
        raise MapError(f"{where} has coordinates that are not finite")
    parts = [whole]
    while any(hasattr(one, "geoms") for one in parts):
        parts = [piece for one in parts for piece in getattr(one, "geoms", [one])]
    for one in parts:
        if not one.is_valid:
            raise MapError(f"{where} is damaged: {shapely.is_valid_reason(one)}")
    return [one for one in parts if not one.is_empty]


def _radius(properties: Mapping, number: int) -> float:
    radius = properties.get("radius")
    if isinstance(radius, bool) or not isinstance(radius, int | float) or not 0 < radius < 1e4:
        raise MapError(f"feature {number} is a point, which takes a property radius [m], a positive number")
    return float(radius)
