"""Sensors: what a robot observes. The safety layer uses the true state, whatever the sensor."""

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from safepursuit.game.rules import Game
from safepursuit.game.starts import initial_shapes
from safepursuit.game.state import GameState, Role, other
from safepursuit.geometry import (
    direction,
    length,
    ray_disc_hit,
    ray_segment_hit,
    ray_slab_hit,
    to_body_frame,
    unit,
)
from safepursuit.registry import Registry
from safepursuit.scene import Scene, Way, Ways, meeting_time, way
from safepursuit.shapes import Point, Scalar


class Observation(NamedTuple):
    """One robot's observation: a vector, and a set of features of discs.

    As given by the sensor "discs": in the body frame, every entry within [−1, 1] (but the speed of a faster evader).
    Speeds and turn rates of both robots are in units of the pursuer's limits.
    """

    ego: Float[Array, "features *batch"]
    """Opponent's bearing (cos, sin), distance (linear, and 1/(1+D) for close quarters), heading (cos, sin) and velocity
    (forward, left); own last speed and turn rate; opponent's last speed and turn rate; the arena's centre (forward,
    left) and axes (cos, sin of the own heading)."""
    discs: Float[Array, "disc_features discs *batch"]
    """Per disc: direction (cos, sin), distance, nearness of its surface 1/(1+gap), radius; in a room with movers also
    its velocity (forward, left), in units of the pursuer's limit or of the fastest mover's, whichever is higher."""
    present: Bool[Array, "discs *batch"]


def _opponent(state: GameState, game: Game, role: Role, far: Array | float) -> list[Scalar]:
    """The first twelve entries of `Observation.ego`: the opponent, its distance in units of `far` [m], and the motion
    of both robots."""
    (own, own_control, _), (other, other_control, _) = state.robots if role == "pursuer" else state.robots[::-1]
    body = game.robot
    heading = own[2]
    offset = to_body_frame(heading, other[:2] - own[:2])
    distance = length(offset)
    course = direction(other[2] - heading)
    speed = other_control[0] / body.max_speed
    return [
        *unit(offset),
        distance / far,
        1 / (1 + distance),
        *course,
        *(speed * course),
        own_control[0] / body.max_speed,
        own_control[1] / body.max_turn_rate,
        speed,
        other_control[1] / body.max_turn_rate,
    ]


def discs_and_opponent(state: GameState, game: Game, role: Role) -> Observation:
    """Everything: the opponent, the own motion, the arena, and the discs as a set."""
    own, body = state.robot(role).pose, game.limits(role)
    heading = own[2]
    diagonal = 2 * length(state.scene.half_extents)
    ego = jnp.stack(
        [
            *_opponent(state, game, role, diagonal),
            *(to_body_frame(heading, -own[:2]) / (0.5 * diagonal)),
            jnp.cos(heading),
            jnp.sin(heading),
        ]
    )
    to_disc = to_body_frame(heading, state.scene.centre - own[:2, None])
    range_ = length(to_disc)
    gap = jnp.maximum(range_ - state.scene.radius - body.radius, 0)
    features = [*unit(to_disc), range_ / diagonal, 1 / (1 + gap), jnp.minimum(state.scene.radius, 1)]
    if state.scene.movers is not None:
        features += [*to_body_frame(heading, velocities(state.scene)) / _fastest(game)]
    discs = jnp.stack(features)
    return Observation(ego, jnp.where(state.scene.present, discs, 0), state.scene.present)


def velocities(scene: Scene) -> Float[Array, "2 discs *batch"]:
    """Of all discs [m/s], world frame."""
    still = jnp.zeros_like(scene.centre)
    return still if scene.movers is None else still.at[:, -len(scene.movers.speed) :].set(scene.movers.velocity)


def _fastest(game: Game) -> float:
    """The highest speed [m/s] of the pursuer and of the movers."""
    layout = game.arena.layout
    return max([game.robot.max_speed, *(script.speed for script in (layout.movers if layout else ()))])


RAYS = 32
"""Rays of the sensor "rays", evenly around the robot; the first one looks ahead, the next ones to the left."""


def rays_and_opponent(state: GameState, game: Game, role: Role) -> Observation:
    """The opponent, the way to it, the own motion, and rays as of a lidar: nearness of what stands in the room, of any
    shape. Nothing depends on where the room is, or on its size.

    A vector: the first twelve entries of `Observation.ego`, with the distance in units of what the robot drives in an
    episode; whether nothing stands between the robots; the direction (cos, sin) in which the shortest way to the
    opponent begins, and its nearness 1/(1 + length); the same of the way to where it will be met (`meeting`); per ray
    the nearness 1/(1 + gap) of what it hits, with the gap [m] counted from the body, and the closing speed in units of
    the pursuer's limit; where it hits a mover, with the mover's part in it.
    """
    own, control, _ = state.robot(role)
    opponent = state.robot(other(role)).pose
    turns = jnp.arange(RAYS, dtype=own.dtype).reshape(RAYS, *(1,) * (own.ndim - 1)) * (2 * jnp.pi / RAYS)
    sight = opponent[:2] - own[:2]
    rays = jnp.concatenate([direction(own[2] + turns), unit(sight)[:, None]], axis=1)
    ranges = first_hits(state.scene, own[:2], rays)
    gap = jnp.maximum(ranges[:-1] - game.limits(role).radius, 0)
    visible = (ranges[-1] >= length(sight)).astype(own.dtype)
    closing = jnp.broadcast_to(control[0] / game.robot.max_speed * jnp.cos(turns), gap.shape)
    if state.scene.movers is not None:
        closing -= _along_rays(state.scene, own[:2], rays[:, :-1], ranges[:-1]) / game.robot.max_speed
    robot = game.robot
    begins = [
        [*unit(to_body_frame(own[2], one.next - own[:2])), 1 / (1 + one.length)] for one in ways(state, game, role)
    ]
    others = _opponent(state, game, role, robot.max_speed * robot.dt * game.horizon)
    return flat(jnp.concatenate([jnp.stack([*others, visible, *begins[0], *begins[1]]), 1 / (1 + gap), closing]))


def ways(state: GameState, game: Game, role: Role) -> Ways:
    """The shortest ways of the robot in this role: those that the scene holds, or that its room leads to."""
    scene, own, radius = state.scene, state.robot(role).pose[:2], game.limits(role).radius
    if isinstance(scene.room, Ways):
        return scene.room
    there = way(scene, own, state.robot(other(role)).pose[:2], radius)
    return Ways(there, way(scene, own, meeting(state, game, role, there), radius))


def meeting(state: GameState, game: Game, role: Role, there: Way) -> Point:
    """Where the robot in this role, at full speed, meets the opponent if it keeps its course until something stops it.

    `there` is the way to the opponent; where it is not straight, the meeting takes as long as that way.
    """
    (own, _, _), (pose, control, _) = state.robots if role == "pursuer" else state.robots[::-1]
    speed = game.limits(role).max_speed
    ahead = jnp.where(control[0] < 0, -1.0, 1.0) * direction(pose[2])
    time = meeting_time(there, pose[:2] - own[:2], jnp.abs(control[0]) * ahead, speed)
    free = first_hits(state.scene, pose[:2], ahead[:, None])[0] - game.limits(other(role)).radius
    return pose[:2] + jnp.clip(time * jnp.abs(control[0]), 0, jnp.maximum(free, 0)) * ahead


def first_hits(scene: Scene, point: Point, rays: Float[Array, "2 rays *batch"]) -> Float[Array, "rays *batch"]:
    """Distance [m] from a point within the arena along unit vectors to the first wall, disc or edge."""
    limits = scene.half_extents
    walls = [ray_slab_hit(point[axis], rays[axis], limits[axis]) for axis in (0, 1)]
    hits = jnp.minimum(*walls)
    every = rays[:, :, None]
    hits = jnp.minimum(hits, jnp.min(_disc_hits(scene, point, rays), axis=1))
    if scene.edges is not None:
        start, end = (part[:, None] - point[:, None, None] for part in (scene.edges.start, scene.edges.end))
        edges = jnp.where(scene.edges.present, ray_segment_hit(start, end, every, 0.0), jnp.inf)
        hits = jnp.minimum(hits, jnp.min(edges, axis=1))
    return hits


def _disc_hits(scene: Scene, point: Point, rays: Float[Array, "2 rays *batch"]) -> Float[Array, "rays discs *batch"]:
    from_disc, every = point[:, None, None] - scene.centre[:, None], rays[:, :, None]
    return jnp.where(scene.present, ray_disc_hit(from_disc, every, scene.radius[None]), jnp.inf)


def _along_rays(
    scene: Scene, point: Point, rays: Float[Array, "2 rays *batch"], ranges: Float[Array, "rays *batch"]
) -> Float[Array, "rays *batch"]:
    """The speed [m/s], away from the point, of what each ray hits first; 0 but for movers."""
    moving = -len(scene.movers.speed)  # type: ignore[union-attr]
    first = _disc_hits(scene, point, rays)[:, moving:] <= ranges[:, None] + 1e-6
    leaving = jnp.sum(velocities(scene)[:, None, moving:] * rays[:, :, None], axis=0)
    count = jnp.maximum(jnp.sum(first, axis=1), 1)
    return jnp.sum(jnp.where(first, leaving, 0), axis=1) / count


Sensor: TypeAlias = Callable[[GameState, Game, Role], Observation]
"""What the robot in this role observes of a state; pure, batch on trailing axes. See `flat` for a vector alone."""

SENSORS: Registry[Sensor] = Registry("sensor", discs=discs_and_opponent, rays=rays_and_opponent)
"""Sensors by name."""


def flat(vector: Float[Array, "features *batch"]) -> Observation:
    """An observation that is a vector alone."""
    batch = vector.shape[1:]
    return Observation(vector, jnp.zeros((0, 0, *batch), vector.dtype), jnp.zeros((0, *batch), bool))


def observe(state: GameState, game: Game, role: Role = "pursuer") -> Observation:
    """What the robot in this role observes, by the game's sensor."""
    return SENSORS.find(game.sensor)(state, game, role)


@cache
def observation_shapes(game: Game) -> Observation:
    """The shapes of what a robot observes in one game, with a trailing axis of length 1."""
    return jax.eval_shape(partial(observe, game=game), initial_shapes(game, 1))
