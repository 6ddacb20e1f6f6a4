"""Plane geometry: angles, frames, distances of moving points.

Pure functions of arrays, components first and batch last (see `shapes`).
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from safepursuit.shapes import Point, Scalar


def wrap_angle(angle: Scalar) -> Scalar:
    """The same angle in [−π, π) [rad]."""
    wrapped = jnp.mod(angle + jnp.pi, 2 * jnp.pi) - jnp.pi
    return jnp.where(wrapped >= jnp.pi, -jnp.pi, wrapped)  # just below −π, rounding gives +π


def direction(angle: Scalar) -> Point:
    """Unit vector e(θ) = (cos θ, sin θ), world frame."""
    return jnp.stack([jnp.cos(angle), jnp.sin(angle)])


def length(vector: Float[Array, "2 *shape"]) -> Float[Array, "*shape"]:
    """Euclidean length, with derivative zero (not NaN) at the zero vector."""
    square = vector[0] ** 2 + vector[1] ** 2
    none = square == 0  # not the opposite of > 0: the length of NaN is NaN
    return jnp.where(none, 0, jnp.sqrt(jnp.where(none, 1, square)))


def unit(vector: Float[Array, "2 *shape"]) -> Float[Array, "2 *shape"]:
    """The vector scaled to length one; zero for the zero vector."""
    size = length(vector)
    return vector / jnp.where(size > 0, size, 1)


def to_body_frame(heading: Scalar, vector: Float[Array, "2 *shape"]) -> Float[Array, "2 *shape"]:
    """World-frame vectors in the body frame of a robot with this heading: x forward, y left."""
    c, s = jnp.cos(heading), jnp.sin(heading)
    return jnp.stack([c * vector[0] + s * vector[1], c * vector[1] - s * vector[0]])


def segment_minimum(start: Float[Array, "2 *shape"], motion: Float[Array, "2 *shape"]) -> Float[Array, "*shape"]:
    """Least distance to the origin of a point that moves straight from `start` by `motion` [m].

    With `start` the vector from an obstacle's centre, or from the other robot, and `motion` its change during the step,
    this is the least distance during the whole step.
    """
    travel = motion[0] ** 2 + motion[1] ** 2
    along = -(start[0] * motion[0] + start[1] * motion[1])
    fraction = jnp.clip(along / jnp.where(travel > 0, travel, 1), 0, 1)
    return length(start + fraction * motion)


def ray_disc_hit(
    start: Float[Array, "2 *#shape"], ray: Float[Array, "2 *#shape"], radius: Float[Array, "*#shape"]
) -> Float[Array, "*#shape"]:
    """Distance [m] from `start` along the unit vector `ray` to a disc about the origin.

    Infinite for a miss; 0 at the rim or (by rounding) inside, on an inward ray.
    """
    along = start[0] * ray[0] + start[1] * ray[1]
    across = start[0] * ray[1] - start[1] * ray[0]
    discriminant = radius**2 - across**2
    meets = (along < 0) & (discriminant > 0)
    reach = -along - jnp.sqrt(jnp.where(meets, discriminant, 1))
    return jnp.where(meets, jnp.maximum(reach, 0), jnp.inf)


def ray_segment_hit(
    start: Float[Array, "2 *#shape"],
    end: Float[Array, "2 *#shape"],
    ray: Float[Array, "2 *#shape"],
    radius: Float[Array, "*#shape"] | float,
) -> Float[Array, "*#shape"]:
    """Distance [m] from the origin along the unit vector `ray` to all points within `radius` of the segment.

    Those are a strip between two parallel lines, and a disc about either end. Infinite for a miss; 0 at the rim or
    (by rounding) inside, on an inward ray.
    """
    along = end - start
    size = length(along)
    rim = jnp.broadcast_to(jnp.asarray(radius, size.dtype), size.shape)
    along = along / jnp.where(size > 0, size, 1)
    aside = along[1] * start[0] - along[0] * start[1]  # of the origin, to the left of the segment
    rate = along[0] * ray[1] - along[1] * ray[0]
    side = jnp.where(aside >= 0, 1, -1)
    approach = -side * rate
    room = jnp.maximum(side * aside - rim, 0)
    meets = (approach > 0) & (size > 0)
    reach = room / jnp.where(meets, approach, 1)
    place = reach * (ray[0] * along[0] + ray[1] * along[1]) - (start[0] * along[0] + start[1] * along[1])
    between = meets & (place >= 0) & (place <= size)
    if isinstance(radius, float) and radius == 0:
        return jnp.where(between, reach, jnp.inf)
    # Beside an end where it meets the strip, or stands in it, the ray meets the disc about that end first, or nothing;
    # in the strip between the ends, if at all, that of the end ahead.
    forward = ray[0] * along[0] + ray[1] * along[1]
    corner = jnp.where((place < 0) | ((place <= size) & (forward < 0)), start, end)
    ends = jnp.where((room > 0) & ~meets, jnp.inf, ray_disc_hit(-corner, ray, rim))
    return jnp.where(between, reach, ends)


def ray_slab_hit(
    position: Float[Array, "*#shape"], ray: Float[Array, "*#shape"], limit: Float[Array, "*#shape"]
) -> Float[Array, "*#shape"]:
    """Distance [m] until a coordinate, now `position` and changing by `ray` per metre, leaves ±`limit`."""
    room = jnp.where(ray > 0, limit - position, limit + position)
    speed = jnp.abs(ray)
    return jnp.where(speed > 0, jnp.maximum(room, 0) / jnp.where(speed > 0, speed, 1), jnp.inf)


FORESIGHT = 6.0
"""Longest time [s] over which a robot's motion is extrapolated."""


def interception_time(gap: Point, velocity: Point, speed: Scalar | float, longest: float = FORESIGHT) -> Scalar:
    """Earliest time [s] at which a pursuer of this speed can meet a target at `gap` [m] of constant velocity.

    The smallest t ≥ 0 with |gap + velocity t| = speed t, at most `longest`, also where there is none.
    """
    a = velocity[0] ** 2 + velocity[1] ** 2 - speed**2
    b = gap[0] * velocity[0] + gap[1] * velocity[1]
    c = gap[0] ** 2 + gap[1] ** 2
    # a t² + 2 b t + c = 0, in the form that is regular at equal speeds (a = 0).
    discriminant = b**2 - a * c
    root = jnp.sqrt(jnp.maximum(discriminant, 0))
    denominator = root - b
    meets = (discriminant >= 0) & (denominator > 0)
    time = jnp.where(meets, c / jnp.where(meets, denominator, 1), longest)
    return jnp.minimum(time, longest)
