"""Rooms from files: walls, shapes, random discs, movers and start regions in YAML, checked (docs/rooms.md).

A room is stored as one line of text, which a configuration keeps, so that nothing else is needed to play in it.
"""

import difflib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from safepursuit.scene import movers, occupancy
from safepursuit.scene.movers import Script

SHAPES = {
    "disc": "x, y, radius",
    "box": "x, y, width, height, degrees",
    "polygon": "three corners or more",
    "segment": "two points",
}
"""The kinds of shapes, and what each takes."""

_KEYS = ("walls", "map", "shapes", "random", "movers", "start")
_PLACES = 4000
"""About so many places at which a robot may start are kept."""


class RoomError(ValueError):
    """A scene file that cannot be used; the message is one sentence for the user."""


def gallery() -> dict[str, str]:
    """The rooms that ship, by name, with the sentence in the first line of their files."""
    found = sorted((files(__package__) / "gallery").iterdir(), key=lambda file: file.name)
    texts = ((file.name, file.read_text(encoding="utf-8")) for file in found)
    return {name.removesuffix(".yaml"): text.partition("\n")[0].lstrip("# ") for name, text in texts}


@lru_cache(maxsize=64)
def read(name: str) -> str:
    """The text of a room of the gallery or of a file, checked. Raises RoomError."""
    if name in gallery():
        text = (files(__package__) / "gallery" / f"{name}.yaml").read_text(encoding="utf-8")
    else:
        try:
            text = Path(name).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise RoomError(f"scene file {name} does not exist.") from None
        except (OSError, UnicodeDecodeError) as error:
            raise RoomError(f"scene file {name} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RoomError(f"scene file {name} is not YAML: {' '.join(str(error).split())}.") from None
    reader = _Reader(name)
    content = movers.with_tracks(reader.without_map(content), Path(name).parent, reader)
    room = reader.room(content)
    return json.dumps({"name": name, **content}, allow_nan=False) if room else ""


@lru_cache(maxsize=64)
def parse(text: str) -> "Room":
    """The room of a text from `read`. Raises RoomError."""
    try:
        content = json.loads(text)
        name = content.pop("name")
    except (ValueError, AttributeError, KeyError, TypeError):
        raise RoomError("the room of the configuration is damaged: name its scene file again.") from None
    return _Reader(name).room(content)


@dataclass(frozen=True, eq=False)
class Room:
    """What stands in a room; lengths in metres, in the frame of the file."""

    name: str
    outline: np.ndarray
    """(corners, 2): robots are inside."""
    polygons: tuple[np.ndarray, ...]
    """(corners, 2) each; boxes among them."""
    segments: tuple[np.ndarray, ...]
    """(2, 2) each."""
    discs: np.ndarray
    """(discs, 3) x, y, radius."""
    random: tuple[int, tuple[float, float]]
    """Discs that are drawn anew for each episode, and the range of their radii."""
    start: Mapping[str, np.ndarray]
    """(corners, 2): where the robot of a role starts."""
    movers: tuple[Script, ...] = ()

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Least and greatest x, least and greatest y."""
        (left, low), (right, high) = self.outline.min(axis=0), self.outline.max(axis=0)
        return float(left), float(right), float(low), float(high)

    @property
    def half_extents(self) -> tuple[float, float]:
        """Of the least rectangle about the origin that holds the room."""
        x, y = np.abs(self.outline).max(axis=0)
        return float(x), float(y)

    def free(self, clearance: float) -> Any:
        """The region (shapely) of points that are so far from everything that stands still."""
        import shapely  # late: only rooms need it

        solid = [shapely.Polygon(one) for one in self.polygons] + [shapely.LineString(one) for one in self.segments]
        solid += [shapely.Point(x, y).buffer(radius, quad_segs=32) for x, y, radius in self.discs]
        inner = shapely.union_all([one.buffer(clearance, quad_segs=32) for one in solid])
        return shapely.Polygon(self.outline).buffer(-clearance, quad_segs=32).difference(inner)

    @lru_cache(maxsize=16)  # noqa: B019
    def places(self, role: str, clearance: float) -> tuple[np.ndarray, float]:
        """Places (2, n) evenly over where a robot of this role can start, and their spacing; each is so far [m] from
        everything that stands still. Raises RoomError where there is none."""
        import shapely

        region = self.free(clearance)
        if role in self.start:
            region = region.intersection(shapely.Polygon(self.start[role]))
        if region.area <= 0:
            where = f"start.{role} has" if role in self.start else "it has"
            raise RoomError(
                f"scene {self.name}: {where} no place for the {role} that is {clearance:g} m from everything: enlarge "
                "it, or use a smaller start_clearance or robot."
            )
        spacing = min(math.sqrt(region.area / _PLACES), clearance)
        left, low, right, high = region.bounds
        x, y = np.meshgrid(np.arange(left, right, spacing), np.arange(low, high, spacing))
        found = np.stack([x.ravel(), y.ravel()])[:, shapely.contains_xy(region, x.ravel(), y.ravel())]
        if not found.size:
            found = np.array(region.representative_point().coords).T
        return found, spacing

    def check_passages(self, radius: float, clearance: float) -> None:
        """Raise RoomError where robots of this radius may start in parts of the room between which none can drive."""
        import shapely
        from shapely.ops import nearest_points

        parts = shapely.get_parts(self.free(radius))
        starts = [shapely.MultiPoint(self.places(role, clearance)[0].T) for role in ("pursuer", "evader")]
        used = [[part for part in parts if part.intersects(some)] for some in starts]
        first = used[0][0]
        other = next((part for some in used for part in some if part is not first), None)
        if other is not None:
            one, two = (np.array(point.coords[0]) for point in nearest_points(first, other))
            x, y = 0.5 * (one + two)
            raise RoomError(
                f"scene {self.name}: the passage near ({x:.2f}, {y:.2f}) is too narrow for a robot of "
                f"{2 * radius:g} m: the robots could never meet; widen it, or give start regions on one side of it."
            )


@dataclass(frozen=True)
class _Reader:
    """The checks of a file's content; every complaint names the file."""

    name: str

    def fail(self, sentence: str) -> RoomError:
        return RoomError(f"scene file {self.name}: {sentence}.")

    def room(self, content: Any) -> Room:
        self.keys(content, _KEYS, "the file")
        if "walls" not in content:
            raise self.fail("walls are missing: give the corners of the outer wall")
        outline = self.polygon(content["walls"], "walls")
        shapes = content.get("shapes") or []
        if not isinstance(shapes, list):
            raise self.fail("shapes must be a list")
        found: dict[str, list[np.ndarray]] = {kind: [] for kind in SHAPES}
        for number, shape in enumerate(shapes, 1):
            self.keys(shape, tuple(SHAPES), f"shape {number}")
            if len(shape) != 1:
                raise self.fail(f"shape {number} must be one of {', '.join(SHAPES)}")
            ((kind, value),) = shape.items()
            found[kind].append(getattr(self, kind)(value, f"shape {number} ({kind})"))
        start = content.get("start") or {}
        self.keys(start, ("pursuer", "evader"), "start")
        room = Room(
            self.name,
            outline,
            tuple(found["polygon"] + found["box"]),
            tuple(found["segment"]),
            np.array(found["disc"]).reshape(-1, 3),
            self.random(content.get("random") or {}),
            {role: self.polygon(corners, f"start.{role}") for role, corners in start.items()},
        )
        self.fits(room, shapes)
        entries = content.get("movers") or []
        if not isinstance(entries, list):
            raise self.fail("movers must be a list")
        scripts = [movers.read(entry, f"mover {number}", self) for number, entry in enumerate(entries, 1)]
        if scripts and room.random[0]:
            raise self.fail("random discs would stand in the way of its movers: give shapes in their place")
        return replace(room, movers=movers.placed(scripts, room.free, self))

    def without_map(self, content: Any) -> Any:
        """The content with walls and polygons in place of its map; a map.yaml of map_server is one, too."""
        if isinstance(content, Mapping) and "image" in content and "resolution" in content:
            content = {"map": Path(self.name).name}
        if not isinstance(content, Mapping) or "map" not in content:
            return content
        self.keys(content, _KEYS, "the file")
        if "walls" in content:
            raise self.fail("give walls or a map, not both")
        asked, start = content["map"], content.get("start")
        asked = {"file": asked} if isinstance(asked, str) else asked
        self.keys(asked, ("file", "cell"), "map")
        if not isinstance(asked.get("file"), str):
            raise self.fail("map.file is missing: give the path of a map.yaml")
        wanted = [self.polygon(one, f"start.{role}") for role, one in start.items()] if isinstance(start, dict) else []
        try:
            walls, solid = occupancy.read(Path(self.name).parent / asked["file"], asked.get("cell"), wanted)
        except occupancy.MapError as error:
            raise self.fail(str(error)) from None
        shapes = content.get("shapes") or []
        shapes = [*shapes, *({"polygon": one} for one in solid)] if isinstance(shapes, list) else shapes
        kept = {key: content[key] for key in ("random", "movers", "start") if key in content}
        return {"walls": walls, "shapes": shapes} | kept

    def keys(self, content: Any, known: Sequence[str], where: str) -> None:
        if not isinstance(content, Mapping):
            raise self.fail(f"{where} must hold keys and values: {', '.join(known)}")
        for key in content:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
                raise RoomError(
                    f"scene file {self.name}: unknown key {key!r} in {where}; {hint.rstrip('?')}{'?' if near else '.'}"
                )

    def numbers(self, value: Any, count: int, where: str, what: str) -> np.ndarray:
        sound = isinstance(value, list) and len(value) == count
        if not sound or any(isinstance(one, bool) or not isinstance(one, int | float) for one in value):
            raise self.fail(f"{where} takes {what}, not {value!r}")
        if not all(math.isfinite(one) and abs(one) < 1e4 for one in value):
            raise self.fail(f"{where} must be finite numbers within 10 km [m], not {value!r}")
        return np.array(value, float)

    def corners(self, value: Any, where: str, what: str) -> np.ndarray:
        if not isinstance(value, list):
            raise self.fail(f"{where} takes {what}, not {value!r}")
        return np.array([self.numbers(one, 2, where, "points of two numbers x, y") for one in value]).reshape(-1, 2)

    def polygon(self, value: Any, where: str) -> np.ndarray:
        import shapely

        corners = self.corners(value, where, "three corners or more")
        if len(corners) > 3 and (corners[0] == corners[-1]).all():
            corners = corners[:-1]
        if len(corners) < 3:
            raise self.fail(f"{where} is open: it takes three corners or more, not {len(corners)}")
        shape = shapely.Polygon(corners)
        if not shape.is_valid:
            reason = shapely.is_valid_reason(shape).replace("[", " at (").replace(" ", ", ").replace("]", ")")
            at = reason.partition(", at, ")[2] or reason
            raise self.fail(f"{where} intersects itself near {at}: list its corners in order along the outline")
        if shape.area < 1e-6:
            raise self.fail(f"{where} encloses nothing: its corners are on a line")
        return corners

    def segment(self, value: Any, where: str) -> np.ndarray:
        points = self.corners(value, where, SHAPES["segment"])
        if len(points) != 2 or (points[0] == points[1]).all():
            raise self.fail(f"{where} takes two different points, not {value!r}")
        return points

    def disc(self, value: Any, where: str) -> np.ndarray:
        disc = self.numbers(value, 3, where, SHAPES["disc"])
        if disc[2] <= 0:
            raise self.fail(f"{where} takes a positive radius, not {disc[2]:g}")
        return disc

    def box(self, value: Any, where: str) -> np.ndarray:
        x, y, width, height, degrees = self.numbers(value, 5, where, SHAPES["box"])
        if width <= 0 or height <= 0:
            raise self.fail(f"{where} takes a positive width and height, not {width:g} and {height:g}")
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        corners = 0.5 * np.array([[-width, -height], [width, -height], [width, height], [-width, height]])
        return np.array([x, y]) + corners @ np.array([[c, s], [-s, c]])

    def random(self, value: Any) -> tuple[int, tuple[float, float]]:
        self.keys(value, ("discs", "radius"), "random")
        count = value.get("discs", 0)
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= 16:
            raise self.fail(f"random.discs must be a whole number from 0 to 16, not {count!r}")
        low, high = self.numbers(value.get("radius", [0.1, 0.2]), 2, "random.radius", "two radii")
        if not 0 < low <= high:
            raise self.fail(f"random.radius must be two positive radii, the smaller first, not {low:g} and {high:g}")
        return count, (float(low), float(high))

    def fits(self, room: Room, shapes: list) -> None:
        """Everything is inside the outline, and nothing crosses another thing."""
        import shapely

        inside = shapely.Polygon(room.outline)
        wider = inside.buffer(1e-9)
        things: list[tuple[str, Any]] = []
        for number, shape in enumerate(shapes, 1):
            ((kind, value),) = shape.items()
            where = f"shape {number} ({kind})"
            made = getattr(self, kind)(value, where)
            if kind == "disc":
                thing = shapely.Point(made[:2]).buffer(made[2])
            else:
                thing = shapely.LineString(made) if kind == "segment" else shapely.Polygon(made)
            if (kind != "disc" and not wider.covers(thing)) or not inside.intersects(thing):
                raise self.fail(f"{where} crosses the outer wall or lies outside")
            for earlier, other in things:
                if thing.disjoint(other) or 0 < thing.intersection(other).area < 1e-9:  # they touch, but for rounding
                    continue
                if thing.crosses(other) or thing.overlaps(other) or (kind != "disc" and thing.within(other)):
                    at = thing.intersection(other).centroid
                    raise self.fail(f"{earlier} and {where} cross near ({at.x:.2f}, {at.y:.2f}): end one at the other")
            things.append((where, thing))
        solid = shapely.union_all([thing for _, thing in things])
        for role, corners in room.start.items():
            if inside.intersection(shapely.Polygon(corners)).difference(solid).area < 1e-9:
                raise self.fail(f"start.{role} lies in a wall or outside the room")
