"""Floor plans in GeoJSON (RFC 7946), in metres."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from safepursuit.scene.occupancy import MapError
from safepursuit.scene.plan import Plan, text_of

SUFFIX = ".geojson"


def read(file: Path) -> Plan:
    """What a file draws: polygons, lines, and points with a property `radius` [m] as discs. Raises MapError."""
    found = Plan()
    for number, (geometry, properties) in enumerate(_features(_loaded(file), "the file"), 1):
        for part in _parts(geometry, f"feature {number}"):
            if part.geom_type == "Point":
                found.discs.append([part.x, part.y, _radius(properties, number)])
            elif part.geom_type == "Polygon":
                found.polygons.append((part, 0.0))
            elif part.geom_type == "LineString":
                found.lines.append(part)
    return found


def _loaded(file: Path) -> Any:
    try:
        return json.loads(text_of(file))
    except MapError:
        raise
    except (ValueError, RecursionError) as error:
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
