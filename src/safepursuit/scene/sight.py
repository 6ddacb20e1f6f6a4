"""Whether the straight way between two places is free."""

import jax.numpy as jnp

from safepursuit.geometry import length
from safepursuit.scene.surfaces import Edges, Scene, _along, edges_from, nearest_on
from safepursuit.shapes import Count, Flag, Point, Scalar

_ROUNDING = 0.999


def blocked(scene: Scene, own: Point, target: Point, berth: Scalar | float, discs: Count | int) -> Flag:
    """Whether an edge, or one of the first `discs` discs, comes nearer than `berth` [m] to the straight way between two
    places, or crosses it.

    Where an end of the way is nearer already, the way may be as near as that end: so whoever stands at a wall can leave
    it and be reached.
    """
    way = target - own
    square = jnp.maximum(way[0] ** 2 + way[1] ** 2, 1e-12)
    to_centre, present = _along(scene.centre, 2, own) - own[:, None], _along(scene.present, 1, own)
    radius = _along(scene.radius, 1, own) + berth
    near = _beside(to_centre, way, square, jnp.minimum(radius, jnp.minimum(*_ends(to_centre, way))))
    numbers = jnp.arange(near.shape[0]).reshape(-1, *(1,) * (near.ndim - 1))
    found = jnp.any(near & present & (numbers < discs), axis=0)
    edges = edges_from(scene, own)
    if edges is None:
        return found
    along = edges.end - edges.start
    from_target = Edges(edges.start - way[:, None], edges.end - way[:, None], edges.present, edges.solid)
    least = jnp.minimum(length(nearest_on(edges)), length(nearest_on(from_target)))
    least = jnp.minimum(least, berth)
    here, there = (_cross(along, -one.start) for one in (edges, from_target))
    left, right = (_cross(way[:, None], end) for end in (edges.start, edges.end))
    crosses = (here * there < 0) & (left * right < 0)
    near = _beside(edges.start, way, square, least) | _beside(edges.end, way, square, least)
    return found | jnp.any((crosses | near) & edges.present, axis=0)


def _ends(point, way):
    """Distances of a point, as seen from one end of the way, from both of them."""
    return length(point), length(point - way[:, None])


def _beside(point, way, square, limit):
    """Whether a point is nearer than `limit` to the way, between its ends."""
    share = point[0] * way[0] + point[1] * way[1]
    return (share > 0) & (share < square) & (_cross(way[:, None], point) ** 2 < square * (_ROUNDING * limit) ** 2)


def _cross(one, other):
    return one[0] * other[1] - one[1] * other[0]
