"""Shortest ways in rooms: where to head for next, and how far it is."""

import jax.numpy as jnp

from safepursuit.geometry import FORESIGHT, interception_time, length
from safepursuit.scene.corners import corners
from safepursuit.scene.sight import blocked
from safepursuit.scene.surfaces import Scene, Way, Ways
from safepursuit.shapes import Point, Scalar


def way(scene: Scene, own: Point, target: Point, radius: float) -> Way:
    """The way for a body of this radius [m] from its place to a target; world frame, batch on trailing axes.

    Exact but for the berth at corners, and for which corner comes first, which is that of a place less than a diameter
    away. Straight where the scene is not one of an arena's rooms, where nothing leads to the target, and past discs
    that are drawn at random. Where the scene holds ways, that to the opponent.
    """
    gap = target - own
    straight = length(gap)
    if isinstance(scene.room, Ways):
        return scene.room.opponent
    if scene.room is None:
        return Way(target, straight, jnp.ones(straight.shape, bool))
    known = corners(scene.room.rooms.text, radius)
    number = jnp.broadcast_to(scene.room.number, straight.shape)
    kind = own.dtype

    def of_room(part):
        return jnp.asarray(part, None if part.dtype.kind in "iu" else kind)

    left, low, cell, columns, lines = jnp.moveaxis(of_room(known.grid)[number], -1, 0)

    def row(point):
        """The spot of a place's cell."""
        x = jnp.clip((point[0] - left) / cell, 0, columns - 1).astype(int)
        y = jnp.clip((point[1] - low) / cell, 0, lines - 1).astype(int)
        return of_room(known.row)[number, y * columns.astype(int) + x]

    first = of_room(known.first)
    place = jnp.moveaxis(of_room(known.place)[number], (-2, -1), (0, 1))
    berth, discs = of_room(known.berth)[number], of_room(known.discs)[number]
    leads, ends = (jnp.moveaxis(first[number, row(point)], -1, 0).astype(int) for point in (own, target))
    index = jnp.arange(len(leads)).reshape(-1, *(1,) * straight.ndim)
    onward = of_room(known.between)[number, leads, index]
    begin = jnp.take_along_axis(length(place - own[:, None]), leads, axis=0)
    whole = begin + onward + jnp.where(ends == index, length(place - target[:, None]), jnp.inf)
    best = jnp.argmin(whole, axis=0)[None]
    around = jnp.take_along_axis(whole, best, axis=0)[0]
    lead = jnp.take_along_axis(leads, best, axis=0)
    # Whoever has come around the first corner already heads for the next one.
    further = of_room(known.after)[number, lead[0], best[0]].astype(int)
    corner, next_corner = (
        jnp.take_along_axis(place, jnp.broadcast_to(one, (2, *lead.shape)), axis=1)[:, 0] for one in (lead, further)
    )
    passed = (lead[0] != best[0]) & ~blocked(scene, own, next_corner, berth, discs)
    corner = jnp.where(passed, next_corner, corner)
    free = ~blocked(scene, own, target, berth, discs) | ~jnp.isfinite(around)
    return Way(jnp.where(free, target, corner), jnp.where(free, straight, around), free)


def meeting_time(there: Way, gap: Point, velocity: Point, speed: float) -> Scalar:
    """When a body of this speed [m/s] meets a target at `gap` [m] of constant velocity [m/s], at most `FORESIGHT` [s].

    `there` is the way to the target; where it is not straight, the meeting takes as long as that way.
    """
    late = jnp.minimum(there.length / speed, FORESIGHT)
    return jnp.where(there.straight, interception_time(gap, velocity, speed), late)
