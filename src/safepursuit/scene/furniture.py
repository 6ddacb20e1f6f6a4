"""What stands in each of an arena's rooms, and where robots start in it: arrays padded to one size, rooms first."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from safepursuit.scene.reading import parse
from safepursuit.scene.surfaces import Edges, Scene, sides_of


class Furniture(NamedTuple):
    """NumPy arrays; lengths in metres."""

    edges: Edges
    """`start` and `end` (rooms, 2, edges), `present` and `solid` (rooms, edges)."""
    centre: np.ndarray
    """(rooms, 2, discs): first the room's own discs, then those drawn at random."""
    radius: np.ndarray
    """(rooms, discs)"""
    discs: np.ndarray
    """(rooms,) The room's own discs."""
    drawn: np.ndarray
    """(rooms,) Discs drawn at random."""
    radii: np.ndarray
    """(rooms, 2) Least and greatest radius of those."""

    def scene(self, half_extents: Sequence[float], number: Int[Array, ""] | int) -> Scene:
        """One room, without what is drawn at random."""
        kind = jnp.result_type(float)
        start, end, centre, radius = (
            jnp.asarray(part, kind)[number] for part in (*self.edges[:2], self.centre, self.radius)
        )
        there, solid, discs = (jnp.asarray(part)[number] for part in (*self.edges[2:], self.discs))
        present = jnp.arange(len(radius)) < discs
        return Scene(jnp.asarray(half_extents, kind), centre, radius, present, Edges(start, end, there, solid))


@lru_cache(maxsize=16)
def furniture(text: str) -> Furniture:
    """That of the rooms of this text (`reading.parse`)."""
    rooms = parse(text)
    sides = [sides_of(room.segments, (room.outline, *room.polygons)) for room in rooms]
    ends = padded([each for each, _ in sides])
    there = padded([np.ones(len(each), bool) for each, _ in sides])
    start, end = np.moveaxis(ends, (2, 3, 1), (0, 2, 3))
    discs = padded([room.discs for room in rooms], max(1, *(len(room.discs) + room.random[0] for room in rooms)))
    return Furniture(
        Edges(start, end, there, padded([solid for _, solid in sides])),  # type: ignore[arg-type]
        np.moveaxis(discs[..., :2], 1, 2),
        discs[..., 2],
        np.array([len(room.discs) for room in rooms]),
        np.array([room.random[0] for room in rooms]),
        np.array([room.random[1] for room in rooms]),
    )


class Places(NamedTuple):
    """Places evenly over where something can be put."""

    place: np.ndarray
    """(rooms, 2, places) [m]"""
    number: np.ndarray
    """(rooms,) How many of them are not padding."""
    spacing: np.ndarray
    """(rooms,) [m]"""


@lru_cache(maxsize=64)
def places(text: str, role: str, clearance: float) -> Places:
    """Places of each room for a robot's centre, so far [m] from everything, or for discs ("random"), whose rim then is.

    Raises RoomError where there is none.
    """
    found = [room.places(role, clearance + (room.random[1][0] if role == "random" else 0.0)) for room in parse(text)]
    count = np.array([place.shape[1] for place, _ in found])
    place = padded([place.T for place, _ in found])
    return Places(np.moveaxis(place, 1, 2), count, np.array([spacing for _, spacing in found]))


def padded(parts: Sequence[np.ndarray], most: int = 1, filler: float = 0) -> np.ndarray:
    """Arrays that differ in their first axis, filled up to one length and stacked."""
    most = max(most, *(len(part) for part in parts)) if parts else most
    shape = (len(parts), most, *parts[0].shape[1:])
    whole = np.full(shape, filler, parts[0].dtype)
    for row, part in zip(whole, parts, strict=True):
        row[: len(part)] = part
    return whole
