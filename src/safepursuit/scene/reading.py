"""Rooms from files: walls, shapes, random discs, movers and start regions in YAML, checked (docs/rooms.md).

Rooms are stored as one line of text, which a configuration keeps, so that nothing else is needed to play in them.
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

from safepursuit.scene import generated, geojson, movers, occupancy, plan, svg
from safepursuit.scene.room import Room, RoomError

SHAPES = {
    "disc": "x, y, radius",
    "box": "x, y, width, height, degrees",
    "polygon": "three corners or more",
    "segment": "two points",
}
"""The kinds of shapes, and what each takes."""

_PLANS = (geojson.SUFFIX, svg.SUFFIX)

FILES = (".yaml", ".yml", *_PLANS)
"""The endings of files of rooms."""

_KEYS = ("walls", "map", "shapes", "random", "movers", "start")
_MOST_ROOMS = 200

_GENEROUS = 0.25
"""Radius [m] of a body that can reach all of a generated room."""


def gallery() -> dict[str, str]:
    """The rooms that ship, by name, with the sentence in the first line of their files."""
    found = sorted((files(__package__) / "gallery").iterdir(), key=lambda file: file.name)
    texts = ((file.name, file.read_text(encoding="utf-8")) for file in found)
    return {name.removesuffix(".yaml"): text.partition("\n")[0].lstrip("# ") for name, text in texts}


def read(name: str) -> str:
    """The text of a room of the gallery or of a file, or of a list of rooms, checked. Raises RoomError."""
    return _shipped(name) if name in gallery() else _checked(name)


def _checked(name: str) -> str:
    content = _load(name)
    if isinstance(content, Mapping) and "rooms" in content:
        return json.dumps({"name": name, "rooms": _Reader(name).rooms(content)}, allow_nan=False)
    return json.dumps(_Reader(name).named(content), allow_nan=False)


_shipped = lru_cache(maxsize=64)(_checked)
"""Of the gallery alone: a file may be changed between two readings."""


def _load(name: str) -> Any:
    """What the file holds."""
    if Path(name).suffix in _PLANS:
        return {"map": Path(name).name}
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
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RoomError(f"scene file {name} is not YAML: {' '.join(str(error).split())}.") from None


def generate(kind: str, seed: int) -> dict[str, Any]:
    """The content of a random room of this kind (`generated.KINDS`), with its name: the same for the same seed.

    Drawn anew until it passes the checks of a file and all of it can be reached.
    """
    import shapely

    for attempt in range(100):
        content, name = generated.KINDS[kind](np.random.default_rng([seed, attempt])), f"{kind} {seed}"
        try:
            room = _Reader(name).room(content)
        except RoomError:
            continue
        if len(shapely.get_parts(room.free(_GENEROUS))) == 1:
            return {"name": name, **content}
    raise RoomError(f"no {kind} found with the seed {seed}: take another.")


@lru_cache(maxsize=64)
def parse(text: str) -> tuple[Room, ...]:
    """The rooms of a text from `read`. Raises RoomError."""
    content = _content(text)
    contents = content.get("rooms", [content])
    return tuple(_Reader(one.pop("name")).room(one) for one in contents)


def name_of(text: str) -> str:
    """The name of the room or file of a text from `read`. Raises RoomError."""
    return str(_content(text)["name"])


def _content(text: str) -> Any:
    try:
        content = json.loads(text)
        assert all("name" in one for one in (content, *content.get("rooms", [])))
    except (ValueError, AttributeError, TypeError, AssertionError):
        raise RoomError("the room of the configuration is damaged: name its scene file again.") from None
    return content


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

    def named(self, content: Any) -> dict[str, Any]:
        """The content of one room, checked, without a map and with its name."""
        content = movers.with_tracks(self.without_map(content), Path(self.name).parent, self)
        self.room(content)
        return {"name": self.name, **content}

    def rooms(self, content: Mapping) -> list[dict[str, Any]]:
        """The contents, with their names, of a list of rooms: of the gallery, of files, or generated."""
        self.keys(content, ("rooms",), "a list of rooms")
        entries, found = content["rooms"], []
        if not isinstance(entries, list) or not entries:
            raise self.fail("rooms must be a list of rooms of the gallery, scene files or {generate: …}")
        for number, entry in enumerate(entries, 1):
            if isinstance(entry, str):
                file = entry if entry in gallery() else str(Path(self.name).parent / entry)
                one = _load(file)
                if isinstance(one, Mapping) and "rooms" in one:
                    raise self.fail(f"{entry} is a list of rooms itself: name its rooms")
                if isinstance(one, Mapping) and one.get("movers"):
                    raise self.fail(f"{entry} has movers: a list takes rooms in which nothing moves")
                found.append(_Reader(file).named(one))
            else:
                found += self.generated(entry, f"room {number} of the list")
            if len(found) > _MOST_ROOMS:
                raise self.fail(f"it lists more than {_MOST_ROOMS} rooms")
        return found

    def generated(self, entry: Any, where: str) -> list[dict[str, Any]]:
        """The contents of {generate: kind, number: n, seed: s}: those of the seeds s, s + 1, … s + n − 1."""
        self.keys(entry, ("generate", "number", "seed"), where)
        kind, number, seed = entry.get("generate"), entry.get("number", 1), entry.get("seed", 0)
        if kind not in generated.KINDS:
            raise self.fail(f"{where} must generate one of {', '.join(generated.KINDS)}, not {kind!r}")
        for name, value, low, high in (("number", number, 1, _MOST_ROOMS), ("seed", seed, 0, 2**31)):
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise self.fail(f"{name} of {where} must be a whole number from {low} to {high}, not {value!r}")
        return [generate(kind, one) for one in range(seed, seed + number)]

    def without_map(self, content: Any) -> Any:
        """The content with walls and shapes in place of its map or plan; a map.yaml of map_server is one, too."""
        if isinstance(content, Mapping) and "image" in content and "resolution" in content:
            content = {"map": Path(self.name).name}
        if not isinstance(content, Mapping) or "map" not in content:
            return content
        self.keys(content, _KEYS, "the file")
        if "walls" in content:
            raise self.fail("give walls or a map, not both")
        asked, start = content["map"], content.get("start")
        asked = {"file": asked} if isinstance(asked, str) else asked
        self.keys(asked, ("file", "cell", "scale"), "map")
        if not isinstance(asked.get("file"), str):
            raise self.fail("map.file is missing: give the path of a map.yaml, a plan.geojson or a plan.svg")
        wanted = [self.polygon(one, f"start.{role}") for role, one in start.items()] if isinstance(start, dict) else []
        file = Path(self.name).parent / asked["file"]
        try:
            if file.suffix == geojson.SUFFIX:
                self.keys(asked, ("file",), "a plan in GeoJSON")
                walls, solid = plan.room_of(geojson.read(file), file, wanted)
            elif file.suffix == svg.SUFFIX:
                self.keys(asked, ("file", "scale"), "a plan in SVG")
                walls, solid = plan.room_of(svg.read(file, self.scale(asked.get("scale"))), file, wanted)
            else:
                self.keys(asked, ("file", "cell"), "a map")
                walls, solid = occupancy.read(file, asked.get("cell"), wanted)
        except occupancy.MapError as error:
            raise self.fail(str(error)) from None
        shapes = content.get("shapes") or []
        shapes = [*shapes, *solid] if isinstance(shapes, list) else shapes
        kept = {key: content[key] for key in ("random", "movers", "start") if key in content}
        return {"walls": walls, "shapes": shapes} | kept

    def scale(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 1e-6 <= value <= 1e3:
            raise self.fail(
                "map.scale must say how many metres a unit of the drawing is, in a scene file such as "
                f"map: {{file: plan.svg, scale: 0.01}}, not {value!r}"
            )
        return float(value)

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
