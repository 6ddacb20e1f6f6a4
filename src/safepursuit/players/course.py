"""Courses of scripted players: directions to head in, world frame, batch on trailing axes."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from safepursuit.geometry import length, ray_segment_hit, unit
from safepursuit.robot import Robot
from safepursuit.scene import BERTH, FAR, Scene, edges_from, meeting_time, nearest_on, way
from safepursuit.shapes import Point, Scalar

Course = Float[Array, "2 *batch"]

_NOTICE = 1.5
"""Distance of the body from a wall or disc [m] below which `clear_of_boundaries` turns along it."""


def around_discs(own: Point, target: Point, scene: Scene, robot: Robot) -> Course:
    """Straight at the target, or along the tangent of the first disc in the way, on the side of the smaller detour.

    The tangent-bug rule (Kamon, Rimon & Rivlin 1998) for round obstacles, each enlarged by the body and `BERTH`. Within
    that rim the course is along it.
    """
    way = target - own
    ahead, reach = unit(way), length(way)
    to_disc = jnp.where(scene.present, scene.centre - own[:, None], 0)
    rim = jnp.where(scene.present, scene.radius + robot.radius + BERTH, 0)
    along = ahead[0] * to_disc[0] + ahead[1] * to_disc[1]
    across = ahead[0] * to_disc[1] - ahead[1] * to_disc[0]  # positive: the disc's centre lies to the left
    half_chord = jnp.sqrt(jnp.maximum(rim**2 - across**2, 0))
    blocks = scene.present & (along > 0) & (jnp.abs(across) < rim) & (along - half_chord < reach)
    entry = jnp.where(blocks, along - half_chord, jnp.inf)
    first = blocks & (entry == jnp.min(entry, axis=0))
    ties = jnp.maximum(jnp.sum(first, axis=0), 1)

    def of_first(value: Array) -> Array:
        return jnp.sum(jnp.where(first, value, 0), axis=-ahead.ndim) / ties

    centre = of_first(to_disc)
    distance = jnp.maximum(length(centre), 1e-6)
    # The tangent: the direction to the centre turned by the rim's half angle, to the left if the centre is right.
    sine = jnp.clip(of_first(rim) / distance, 0, 1)
    cosine = jnp.sqrt(1 - sine**2)
    sine = jnp.where(of_first(across) > 0, -sine, sine)
    x, y = centre / distance
    tangent = jnp.stack([cosine * x - sine * y, sine * x + cosine * y])
    return jnp.where(jnp.any(first, axis=0), tangent, ahead)


def along_way(own: Point, target: Point, scene: Scene, robot: Robot) -> Course:
    """Towards the next corner of the shortest way to the target (`scene.way`), around the discs."""
    return around_discs(own, way(scene, own, target, robot.radius).next, scene, robot)


def clear_of_boundaries(own: Point, course: Course, scene: Scene, robot: Robot) -> Course:
    """The course bent along walls and around discs before they are reached.

    Within `_NOTICE` of a boundary the inward part is removed in proportion to the nearness, and a push away added; if
    nothing is left, the course is along the boundary towards the arena's middle.
    """
    x, y = own
    ahead_x, ahead_y = course
    push_x = push_y = jnp.zeros_like(x)

    def bent(state, boundary):
        (ahead_x, ahead_y, push_x, push_y), (distance, normal_x, normal_y) = state, boundary
        near = jnp.clip(1 - (distance - robot.radius) / _NOTICE, 0, 1)
        into = near * jnp.minimum(ahead_x * normal_x + ahead_y * normal_y, 0)
        ahead_x, ahead_y = ahead_x - into * normal_x, ahead_y - into * normal_y
        return ahead_x, ahead_y, push_x + near**2 * normal_x, push_y + near**2 * normal_y

    # One boundary after the other, coordinate by coordinate: rollout players call this hundreds of times per step, and
    # XLA on CPU is ten times slower on stacked vectors.
    state = ahead_x, ahead_y, push_x, push_y
    for boundary in _one_by_one(own, scene):
        state = bent(state, boundary)
    edges = edges_from(scene, own)
    if edges is not None:
        away = -nearest_on(edges)
        distance = jnp.where(edges.present, length(away), FAR)
        normals = unit(away)
        state, _ = jax.lax.scan(lambda state, one: (bent(state, one), None), state, (distance, *normals))
    ahead_x, ahead_y, push_x, push_y = state
    # Squarely facing a wall nothing is left: break the tie along the wall, towards the origin.
    along = jnp.where(push_y * x - push_x * y >= 0, 0.3, -0.3)
    return jnp.stack([ahead_x + 0.5 * push_x - along * push_y, ahead_y + 0.5 * push_y + along * push_x])


def _one_by_one(own: Point, scene: Scene) -> Iterator[tuple[Scalar, Scalar | float, Scalar | float]]:
    """Distance [m] and normal of `scene.boundaries` at a point, one boundary at a time."""
    x, y = own
    for disc in range(scene.radius.shape[0]):
        gap = jnp.where(scene.present[disc], own - scene.centre[:, disc], FAR)
        distance = jnp.sqrt(gap[0] ** 2 + gap[1] ** 2 + 1e-12)
        radius = jnp.where(scene.present[disc], scene.radius[disc], 0)
        yield distance - radius, gap[0] / distance, gap[1] / distance
    half_x, half_y = scene.half_extents
    yield half_x - x, -1.0, 0.0
    yield half_x + x, 1.0, 0.0
    yield half_y - y, 0.0, -1.0
    yield half_y + y, 0.0, 1.0


def within_walls(point: Point, scene: Scene, robot: Robot) -> Point:
    """The nearest point at which the body is within the four walls."""
    x, y = point
    half_x, half_y = scene.half_extents[0] - robot.radius, scene.half_extents[1] - robot.radius
    return jnp.stack([jnp.clip(x, -half_x, half_x), jnp.clip(y, -half_y, half_y)])


def up_to_edges(start: Point, end: Point, scene: Scene, robot: Robot) -> Point:
    """How far a body gets on the straight way from start to end before it touches an edge."""
    edges = edges_from(scene, start)
    if edges is None:
        return end
    ahead, whole = unit(end - start), length(end - start)
    rays = jnp.broadcast_to(ahead[:, None], edges.start.shape)
    hits = jnp.where(edges.present, ray_segment_hit(edges.start, edges.end, rays, robot.radius), jnp.inf)
    return start + jnp.minimum(whole, jnp.min(hits, axis=0)) * ahead


def towards_interception(own: Point, other: Point, velocity: Point, scene: Scene, robot: Robot) -> Course:
    """Towards interception of the other robot at constant velocity [m/s] up to the wall, around the discs.

    Where something is in between, it is met as late as the way to it takes, and the way leads around what is there.
    """
    time = meeting_time(way(scene, own, other, robot.radius), other - own, velocity, robot.max_speed)
    aim = within_walls(other + time * velocity, scene, robot)
    return along_way(own, up_to_edges(other, aim, scene, robot), scene, robot)
