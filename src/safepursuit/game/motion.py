"""How a robot moves among solid walls, discs and edges, and how discs that move go on."""

from functools import partial
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from safepursuit.geometry import direction, length, ray_disc_hit, ray_segment_hit, ray_slab_hit, unit, wrap_angle
from safepursuit.robot import Robot
from safepursuit.scene import Scene, boundaries, clearance
from safepursuit.scene.movers import Movers, Walks, onward
from safepursuit.shapes import Control, Flag, Point, Pose, Scalar

Drift: TypeAlias = Float[Array, "2 discs *batch"]
"""How far every disc moves in a step, straight and evenly [m]."""

Way: TypeAlias = Float[Array, "2 moments *batch"]
"""Positions of a robot's centre at equally spaced moments of a step, its ends included; straight in between."""

_PIECES = 8
"""Chords per step on which a curve is followed; their sagitta is below 2e-5 m at the default limits."""


class Move(NamedTuple):
    """The motion of one robot in a step."""

    pose: Pose
    """At the end of the step."""
    control: Control
    way: Way
    wall: Flag
    """Stopped by a wall or an edge."""
    disc: Flag
    """Stopped by a disc, or in contact with one that moves; at most one of both, the nearer, stops it."""


def move(
    robot: Robot, pose: Pose, control: Control, velocity: Control, scene: Scene, drift: Drift | None = None
) -> Move:
    """The step among solid walls and discs; `velocity` is the control executed before.

    With a `drift` discs move in the meantime. A robot at rest is not stopped by one that runs into it; if it drives on
    while they overlap, that is a contact, too.
    """
    follow = _follow_line if robot.integrator == "euler" else _follow_curve
    way, wall, disc = follow(robot, pose, control, velocity, scene, drift)
    if drift is not None:  # a mover may have run into the robot while it stood
        overlaps = length(pose[:2, None] - scene.centre) < scene.radius + robot.radius
        disc |= _moves(robot, control, velocity) & jnp.any(overlaps & scene.present, axis=0)
    heading = wrap_angle(pose[2] + robot.turn(control, velocity))
    return Move(jnp.stack([*way[:, -1], heading]), control, way, wall, disc)


def drifting(scene: Scene, made: Walks, pursuer: Point, robot: Robot) -> tuple[Drift, Movers]:
    """What the scene's movers do in a step, and their state after it; those that chase slide along what stands."""
    assert scene.movers is not None
    count, size = len(made.speed), length(scene.half_extents)
    centre = scene.centre[:, -count:]
    motion, after = onward(scene.movers, centre, pursuer, made, robot.dt, robot.radius, size)
    if made.chases.any():
        standing = scene.standing
        for one in made.chases.nonzero()[0]:
            own, whole = centre[:, one], motion[:, one]
            slid = jnp.zeros_like(whole)
            for share in ((0, 1), (1, 0), (1, 1)):  # the last that is free is chosen
                some = whole * jnp.asarray(share, whole.dtype).reshape(2, *(1,) * (whole.ndim - 1))
                slid = jnp.where(clearance(standing, own + some, float(made.radius[one])) >= 0, some, slid)
            motion = motion.at[:, one].set(slid)
        after = after._replace(velocity=motion / robot.dt)
    return jnp.zeros_like(scene.centre).at[:, -count:].set(motion), after


def _follow_line(
    robot: Robot, pose: Pose, control: Control, velocity: Control, scene: Scene, drift: Drift | None
) -> tuple[Way, Flag, Flag]:
    """Straight on; a stopped robot moves evenly to where it stops."""
    start, ahead, distance = pose[:2], direction(pose[2]), control[0] * robot.dt
    if robot.reverses:
        ahead, distance = jnp.where(distance < 0, -ahead, ahead), jnp.abs(distance)
    end, wall, disc = _advance(robot, start, ahead, distance, scene, drift)
    return jnp.stack([pose[:2], end], axis=1), wall, disc


def _advance(
    robot: Robot, start: Point, ahead: Point, distance: Scalar, scene: Scene, drift: Drift | None
) -> tuple[Point, Flag, Flag]:
    """Straight ahead for the distance, or until the body touches; at the rim only inward motion is stopped."""
    rays = jnp.broadcast_to(ahead[:, None], scene.centre.shape)
    if drift is None:
        disc_hits = ray_disc_hit(start[:, None] - scene.centre, rays, scene.radius + robot.radius)
    else:  # as the discs see it; in shares of the robot's way
        seen = distance * rays - drift
        far = length(seen)
        share = ray_disc_hit(start[:, None] - scene.centre, unit(seen), scene.radius + robot.radius)
        disc_hits = distance * share / jnp.where(far > 0, far, 1)
        disc_hits = jnp.where((far > 0) & (distance > 0), disc_hits, jnp.inf)
    disc = jnp.min(jnp.where(scene.present, disc_hits, jnp.inf), axis=0)
    limits = scene.half_extents - robot.radius
    wall = jnp.minimum(ray_slab_hit(start[0], ahead[0], limits[0]), ray_slab_hit(start[1], ahead[1], limits[1]))
    if scene.edges is not None:
        first, last = (part - start[:, None] for part in (scene.edges.start, scene.edges.end))
        hits = ray_segment_hit(first, last, ahead[:, None], robot.radius)
        wall = jnp.minimum(wall, jnp.min(jnp.where(scene.edges.present, hits, jnp.inf), axis=0))
    nearest = jnp.minimum(disc, wall)
    blocked = nearest < distance
    travelled = jnp.where(blocked, nearest, distance)
    return start + travelled * ahead, blocked & (wall <= disc), blocked & (disc < wall)


def _follow_curve(
    robot: Robot, pose: Pose, control: Control, velocity: Control, scene: Scene, drift: Drift | None
) -> tuple[Way, Flag, Flag]:
    """The robot's way, checked at the ends of `_PIECES` chords; the body stops on the first chord that enters.

    A graze within a chord is undetected if it is shallower than 2e-5 m (at the default limits).
    """
    targets = robot.way(pose, control, _PIECES, velocity)
    places = jnp.concatenate([pose[:2, None], targets[:, :-1]], axis=1)
    if drift is None:
        to_wall, to_disc = jax.vmap(partial(_distances, scene), in_axes=1)(targets)
    else:
        after = [scene._replace(centre=scene.centre + (1 + piece) / _PIECES * drift) for piece in range(_PIECES)]
        gaps = [_distances(later, targets[:, piece]) for piece, later in enumerate(after)]
        to_wall, to_disc = (jnp.stack(each) for each in zip(*gaps, strict=True))
    enters = jnp.minimum(to_wall, to_disc) < robot.radius
    if drift is not None:
        enters &= _moves(robot, control, velocity)
    place, target, wall = places[:, 0], targets[:, 0], to_wall[0] <= to_disc[0]
    for piece in reversed(range(_PIECES)):  # the first chord that enters is chosen last
        place = jnp.where(enters[piece], places[:, piece], place)
        target = jnp.where(enters[piece], targets[:, piece], target)
        wall = jnp.where(enters[piece], to_wall[piece] <= to_disc[piece], wall)
    if drift is not None:
        begun = jnp.argmax(enters, axis=0) / _PIECES
        scene, drift = scene._replace(centre=scene.centre + begun * drift), drift / _PIECES
    stop, _, _ = _advance(robot, place, unit(target - place), length(target - place), scene, drift)
    stopped, way = jnp.zeros(pose.shape[1:], bool), [pose[:2]]
    for piece in range(_PIECES):
        stopped |= enters[piece]
        way.append(jnp.where(stopped, stop, targets[:, piece]))
    return jnp.stack(way, axis=1), stopped & wall, stopped & ~wall


def _moves(robot: Robot, control: Control, velocity: Control) -> Flag:
    return (control[0] != 0) | ((velocity[0] != 0) & robot.has_inertia)


def _distances(scene: Scene, point: Point) -> tuple[Scalar, Scalar]:
    """To the nearest wall and to the nearest disc [m]."""
    around = boundaries(scene, point)
    flat = around.straight
    to_wall = jnp.min(jnp.where(flat, around.distance, jnp.inf), axis=0)
    return to_wall, jnp.min(jnp.where(flat, jnp.inf, around.distance), axis=0)
