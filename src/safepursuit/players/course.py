"""Courses: directions to head in, world frame, that scripted players share. Batch on trailing axes."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from safepursuit.geometry import direction, length, unit
from safepursuit.robot import Unicycle
from safepursuit.scene import Scene, boundaries
from safepursuit.shapes import Control, Point, Pose, Scalar

Course = Float[Array, "2 *batch"]

BERTH = 0.1
"""Gap [m] between body and disc at which a path leads around it."""

_FORESIGHT = 6.0
"""Longest time [s] over which a robot's motion is extrapolated."""

_NOTICE = 1.5
"""Distance of the body from a wall or disc [m] below which `clear_of_boundaries` starts to turn along it."""


def around_discs(own: Point, target: Point, scene: Scene, robot: Unicycle) -> Course:
    """Straight at the target, or along the tangent of the first disc in the way, on the side of the smaller detour.

    The tangent-bug rule (Kamon, Rimon & Rivlin 1998) for round obstacles, each grown by the body and `BERTH`. From
    inside that rim the course is along it.
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
    first = first & (jnp.cumsum(first, axis=0) == 1)

    def of_first(value: Array) -> Array:
        return jnp.sum(jnp.where(first, value, 0), axis=0)

    distance = jnp.maximum(of_first(length(to_disc)), 1e-6)
    bearing = jnp.arctan2(of_first(to_disc[1]), of_first(to_disc[0]))
    opening = jnp.arcsin(jnp.clip(of_first(rim) / distance, 0, 1))
    side = jnp.where(of_first(across) > 0, -1.0, 1.0)
    return jnp.where(jnp.any(first, axis=0), direction(bearing + side * opening), ahead)


def clear_of_boundaries(own: Point, course: Course, scene: Scene, robot: Unicycle) -> Course:
    """The course bent along walls and around discs before they are reached.

    Within `_NOTICE` of a boundary the part that heads into it is taken out in proportion to how near it is, and a push
    away from it added; where nothing is left, the way along the boundary towards the arena's middle remains.
    """
    near_by = boundaries(scene, own)
    nearness = jnp.clip(1 - (near_by.distance - robot.radius) / _NOTICE, 0, 1)
    for row in range(near_by.distance.shape[0]):
        normal, near = near_by.normal[:, row], nearness[row]
        into = jnp.minimum(jnp.sum(course * normal, axis=0), 0)
        course = course - near * into * normal
    push = jnp.sum(nearness**2 * near_by.normal, axis=1)
    # Facing a wall squarely leaves no course at all: break the tie along the wall, towards the arena's middle.
    tangent = jnp.stack([-push[1], push[0]])
    inward = jnp.sign(-jnp.sum(tangent * own, axis=0))
    return course + 0.5 * push + 0.3 * jnp.where(inward == 0, 1.0, inward) * tangent


def within_walls(point: Point, scene: Scene, robot: Unicycle) -> Point:
    """The nearest place in the arena where a body has room."""
    x, y = point
    half_x, half_y = scene.half_extents[0] - robot.radius, scene.half_extents[1] - robot.radius
    return jnp.stack([jnp.clip(x, -half_x, half_x), jnp.clip(y, -half_y, half_y)])


def interception_time(gap: Point, velocity: Point, speed: Scalar | float, longest: float) -> Scalar:
    """Earliest time [s] at which a pursuer of this speed can meet a target at `gap` that keeps its velocity.

    The smallest t ≥ 0 with |gap + velocity t| = speed t; `longest` where there is none, or only later.
    """
    a = velocity[0] ** 2 + velocity[1] ** 2 - speed**2
    b = gap[0] * velocity[0] + gap[1] * velocity[1]
    c = gap[0] ** 2 + gap[1] ** 2
    # a t² + 2 b t + c = 0; written so that equal speeds (a = 0) are no special case.
    discriminant = b**2 - a * c
    root = jnp.sqrt(jnp.maximum(discriminant, 0))
    denominator = root - b
    meets = (discriminant >= 0) & (denominator > 0)
    time = jnp.where(meets, c / jnp.where(meets, denominator, 1), longest)
    return jnp.minimum(time, longest)


def towards_interception(own: Point, other: Pose, other_control: Control, scene: Scene, robot: Unicycle) -> Course:
    """To where the other robot will be met if it keeps its course until the wall stops it, around the discs."""
    velocity = other_control[0] * direction(other[2])
    time = interception_time(other[:2] - own, velocity, robot.max_speed, _FORESIGHT)
    aim = within_walls(other[:2] + time * velocity, scene, robot)
    return around_discs(own, aim, scene, robot)
