"""Rooms: what stands in one, and where robots can be in it (docs/rooms.md)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from safepursuit.scene.movers import Script

_PLACES = 4000
"""About so many places at which a robot may start are kept."""
_MOST_CELLS = 4_000_000
"""Among so many they are sought at most."""


class RoomError(ValueError):
    """A scene file that cannot be used; the message is one sentence for the user."""


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

    @lru_cache(maxsize=1024)  # noqa: B019
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
        if (right - left) * (high - low) > _MOST_CELLS * spacing**2:
            raise RoomError(
                f"scene {self.name}: places to start, {spacing:g} m apart, are sought over {right - left:g} m × "
                f"{high - low:g} m, which is too much: give smaller start regions."
            )
        x, y = np.meshgrid(np.arange(left, right, spacing), np.arange(low, high, spacing))
        found = np.stack([x.ravel(), y.ravel()])[:, shapely.contains_xy(region, x.ravel(), y.ravel())]
        if not found.size:
            found = np.array(region.representative_point().coords).T
        return found, spacing

    @lru_cache(maxsize=1024)  # noqa: B019
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
