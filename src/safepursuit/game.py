"""The pursuit-evasion game of two unicycles in a walled arena with round obstacles.

Verbs, as in Gymnasium's functional API: `initial`, `observe`, `transition`, `reward`; all pure, batch on trailing axes.

    state      poses [m, m, rad] of pursuer and evader, their last controls, the scene, the step counter
    control    (v, ω) of each robot [m/s, rad/s], held for dt seconds
    capture    the centres come within `capture_radius` at any time during the step  →  terminated
    time-out   `horizon` steps without capture                                      →  truncated (never both)
    contact    a robot's body would enter a wall or disc: walls and discs are solid, so it stops where it touches, keeps
               its turn, and the step is recorded as a collision of that kind, by that robot. Bodies of the two robots
               that touch are a collision too, of each robot that was moving towards the other.

The game knows no safety layer. Version 1.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from safepursuit import robot as motion
from safepursuit.compiling import SELDOM, Program
from safepursuit.geometry import (
    direction,
    length,
    ray_disc_hit,
    ray_slab_hit,
    segment_minimum,
    to_body_frame,
    unit,
    wrap_angle,
)
from safepursuit.robot import Unicycle
from safepursuit.scene import WALLS, Arena, Scene, boundaries, clearance, draw_scene
from safepursuit.shapes import Control, Count, Flag, Point, Pose, Scalar

Role: TypeAlias = Literal["pursuer", "evader"]

Way: TypeAlias = Float[Array, "2 moments *batch"]
"""Where a robot's centre is at equal moments of a step, the first and the last included; straight in between."""

_START_TRIES = 64
_ARC_PIECES = 8
"""Chords per step on which the exact arc is followed; their sagitta is below 2e-5 m at the default limits."""


@dataclass(frozen=True)
class Reward:
    """The pursuer's reward, summed from these parts. The evader's is the negative, but that each robot pays for its own
    collisions alone."""

    capture: float = 10.0
    """At capture."""
    approach: float = 0.3
    """For each metre by which the distance shrinks in a step (shaping)."""
    time: float = 0.0
    """Subtracted at each step."""
    collision: float = 0.1
    """Subtracted at each step with a collision of the robot's own."""


@dataclass(frozen=True)
class Game:
    """The rules. All lengths in metres."""

    arena: Arena = field(default_factory=Arena)
    robot: Unicycle = field(default_factory=Unicycle)
    """Both robots; the evader's speed limit is scaled by `evader_speed_ratio`."""
    evader_speed_ratio: float = 1.0
    min_evader_speed_ratio: float | None = None
    """Where given, each episode draws the evader's speed limit, uniformly from here to `evader_speed_ratio`."""
    capture_radius: float = 0.5
    horizon: int = 600
    """Steps until time-out."""
    start_distance: tuple[float, float] = (3.0, 15.0)
    """Range of the initial distance of the two centres."""
    start_clearance: float = 0.25
    """Least initial clearance of both bodies from walls and discs; puts them into the shield's safe set."""
    collision_terminates: bool = False
    """End the episode at the pursuer's first collision."""
    reward: Reward = field(default_factory=Reward)

    def __post_init__(self) -> None:
        if self.capture_radius < 2 * self.robot.radius:
            raise ValueError(
                f"capture_radius is {self.capture_radius:g} m, but the bodies touch at {2 * self.robot.radius:g} m: "
                "capture must come before contact."
            )
        if self.horizon < 1:
            raise ValueError(f"horizon must be at least one step, not {self.horizon}.")
        if not self.evader_speed_ratio > 0:
            raise ValueError(f"evader_speed_ratio must be positive, not {self.evader_speed_ratio}.")
        if self.min_evader_speed_ratio is not None and not 0 < self.min_evader_speed_ratio <= self.evader_speed_ratio:
            raise ValueError(
                f"min_evader_speed_ratio must be positive and at most evader_speed_ratio, {self.evader_speed_ratio:g}, "
                f"not {self.min_evader_speed_ratio:g}."
            )
        low, high = self.start_distance
        if not self.capture_radius < low <= high:
            raise ValueError(
                f"start_distance {self.start_distance} must be a range beyond the capture radius of "
                f"{self.capture_radius:g} m."
            )

    @property
    def evader(self) -> Unicycle:
        """The evader's limits, the highest ones where they are drawn for each episode (`GameState.evader_speed`)."""
        r = self.robot
        return Unicycle(r.radius, r.max_speed * self.evader_speed_ratio, r.max_turn_rate, r.dt, r.integrator)


class GameState(NamedTuple):
    pursuer: Pose
    evader: Pose
    pursuer_control: Control
    """Executed in the last step; 0 at the start."""
    evader_control: Control
    scene: Scene
    step: Count
    """Steps played."""
    evader_speed: Scalar | None = None
    """The evader's speed limit in this episode [m/s], where the rules draw one for each."""


class Contact(NamedTuple):
    """What a robot hit in a step, by its own motion."""

    wall: Flag
    obstacle: Flag
    robot: Flag


class Transition(NamedTuple):
    state: GameState
    terminated: Flag
    """Captured (or, if the rules say so, the pursuer collided)."""
    truncated: Flag
    """Time-out without termination."""
    captured: Flag
    pursuer_contact: Contact
    evader_contact: Contact
    separation: Scalar
    """Least distance [m] of the centres during the step."""


class Observation(NamedTuple):
    """What one robot sees, in its own frame, every entry within [−1, 1] (but the speed of a faster evader).

    Speeds are in units of the pursuer's limit for both robots, so that a faster or slower opponent looks like one.
    """

    ego: Float[Array, "features *batch"]
    """Opponent's bearing (cos, sin), distance (linear, and 1/(1+D) for close quarters), heading (cos, sin) and velocity
    (forward, left); own last speed and turn rate; opponent's last speed and turn rate; the arena's centre (forward,
    left) and axes (cos, sin of the own heading)."""
    discs: Float[Array, "disc_features discs *batch"]
    """For each disc: direction (cos, sin), distance, nearness of its surface 1/(1+gap), radius."""
    present: Bool[Array, "discs *batch"]


EGO_FEATURES = 16
DISC_FEATURES = 5


@partial(Program, effort=SELDOM, static_argnames=("game", "count"))
def _draw(key, game: Game, count: int) -> tuple[GameState, Flag]:
    states, success = jax.vmap(partial(_draw_one, game=game), out_axes=-1)(jax.random.split(key, count))
    # Whoever found no place gets a copy of the last one before it that did (at the front, of the first that did): the
    # first starts of a key are the same, however many are drawn.
    index = jax.lax.cummax(jnp.where(success, jnp.arange(count), -1))
    index = jnp.where(index < 0, jnp.argmax(success), index)
    return jax.tree.map(lambda leaf: leaf[..., index], states), success


def _draw_one(key, game: Game) -> tuple[GameState, Flag]:
    scene_key, place_key, heading_key = jax.random.split(key, 3)
    scene, success = draw_scene(scene_key, game.arena)
    room = scene.half_extents - game.robot.radius - game.start_clearance
    places = room[:, None, None] * jax.random.uniform(place_key, (2, 2, _START_TRIES), minval=-1, maxval=1)
    tries = jax.vmap(lambda point: clearance(scene, point, game.robot.radius), in_axes=-1)
    free = tries(places.reshape(2, -1)).reshape(2, _START_TRIES) >= game.start_clearance
    distance = length(places[:, 0] - places[:, 1])
    low, high = game.start_distance
    fits = free[0] & free[1] & (distance >= low) & (distance <= high) & jnp.all(room > 0)
    chosen = places[:, :, jnp.argmax(fits)]
    heading = jax.random.uniform(heading_key, (1, 2), minval=-jnp.pi, maxval=jnp.pi)
    poses = jnp.concatenate([chosen, heading])
    rest = jnp.zeros(2, poses.dtype)
    speed = None
    if game.min_evader_speed_ratio is not None:
        low, high = (game.robot.max_speed * ratio for ratio in (game.min_evader_speed_ratio, game.evader_speed_ratio))
        speed = jax.random.uniform(jax.random.fold_in(key, 1), (), poses.dtype, low, high)
    state = GameState(poses[:, 0], poses[:, 1], rest, rest, scene, jnp.asarray(0, jnp.int32), speed)
    return state, success & jnp.any(fits)


def initial(key: Key[Array, ""], game: Game, count: int) -> GameState:
    """`count` random starts (trailing batch axis): layouts with free passages, both robots clear, at rest.

    Raises ValueError where the rules cannot be met, after `count` (at least 256) attempts.
    """
    states, success = _draw(key, game, count)
    if not np.asarray(success).any():
        states, success = _draw(key, game, max(count, 256))
        if not np.asarray(success).any():
            raise ValueError(_no_room(game))
        states = jax.tree.map(lambda leaf: leaf[..., :count], states)
    return states


def initial_shapes(game: Game, count: int) -> GameState:
    """The shapes of what `initial` gives, without drawing anything."""
    return _draw.jitted.eval_shape(jax.random.key(0), game, count)[0]


def _no_room(game: Game) -> str:
    arena = game.arena
    width, height = (2 * extent for extent in arena.half_extents)
    return (
        f"no layout found for {arena.obstacles} discs of radius {arena.radius_range[0]:g}–{arena.radius_range[1]:g} m "
        f"with gaps of {arena.passage:g} m and robots {game.start_distance[0]:g}–{game.start_distance[1]:g} m apart in "
        f"a {width:g} m × {height:g} m arena: use fewer or smaller discs, a larger arena, a smaller passage or "
        "start distance, or allow_overlap."
    )


def transition(state: GameState, pursuer_control: Control, evader_control: Control, game: Game) -> Transition:
    """Both robots act for one step; controls are cut off at the actuator limits.

    Differentiable in poses and controls wherever nothing is touched.
    """
    pursuer_control = motion.limit(game.robot, pursuer_control)
    evader_control = motion.limit(game.evader, evader_control)
    if state.evader_speed is not None:
        evader_control = evader_control.at[0].min(state.evader_speed)
    pursuer, way, pursuer_wall, pursuer_disc = _move(game.robot, state.pursuer, pursuer_control, state.scene)
    evader, evader_way, evader_wall, evader_disc = _move(game.evader, state.evader, evader_control, state.scene)
    between = evader_way - way
    separation = jnp.min(segment_minimum(between[:, :-1], between[:, 1:] - between[:, :-1]), axis=0)

    captured = separation <= game.capture_radius
    touching = separation < 2 * game.robot.radius
    towards = unit(state.evader[:2] - state.pursuer[:2])
    closing = jnp.sum(towards * (pursuer[:2] - state.pursuer[:2]), axis=0) > 0
    evader_closing = jnp.sum(towards * (evader[:2] - state.evader[:2]), axis=0) < 0
    contact = Contact(pursuer_wall, pursuer_disc, touching & closing)
    evader_contact = Contact(evader_wall, evader_disc, touching & evader_closing)

    played = state.step + 1
    terminated = captured | (collided(contact) if game.collision_terminates else jnp.zeros_like(captured))
    return Transition(
        state=GameState(pursuer, evader, pursuer_control, evader_control, state.scene, played, state.evader_speed),
        terminated=terminated,
        truncated=(played >= game.horizon) & ~terminated,
        captured=captured,
        pursuer_contact=contact,
        evader_contact=evader_contact,
        separation=separation,
    )


def collided(contact: Contact) -> Flag:
    return contact.wall | contact.obstacle | contact.robot


def reward(before: GameState, outcome: Transition, game: Game, role: Role = "pursuer") -> Scalar:
    """The reward of the robot in this role for one step (see `Reward`)."""
    weights = game.reward
    after = outcome.state
    progress = length(before.evader[:2] - before.pursuer[:2]) - length(after.evader[:2] - after.pursuer[:2])
    caught = outcome.captured.astype(progress.dtype)
    gain = weights.capture * caught + weights.approach * progress - weights.time
    contact = outcome.pursuer_contact if role == "pursuer" else outcome.evader_contact
    own = gain if role == "pursuer" else -gain
    return own - weights.collision * collided(contact).astype(progress.dtype)


def observe(state: GameState, game: Game, role: Role = "pursuer") -> Observation:
    """What the robot in this role knows (see `Observation`)."""
    robots = (state.pursuer, state.pursuer_control), (state.evader, state.evader_control)
    (own, own_control), (other, other_control) = robots if role == "pursuer" else robots[::-1]
    body = game.robot  # the evader's differs in its speed limit only
    heading = own[2]
    diagonal = 2 * length(state.scene.half_extents)
    offset = to_body_frame(heading, other[:2] - own[:2])
    distance = length(offset)
    course = direction(other[2] - heading)
    speed = other_control[0] / body.max_speed
    ego = jnp.stack(
        [
            *unit(offset),
            distance / diagonal,
            1 / (1 + distance),
            *course,
            *(speed * course),
            own_control[0] / body.max_speed,
            own_control[1] / body.max_turn_rate,
            speed,
            other_control[1] / body.max_turn_rate,
            *(to_body_frame(heading, -own[:2]) / (0.5 * diagonal)),
            jnp.cos(heading),
            jnp.sin(heading),
        ]
    )
    to_disc = to_body_frame(heading, state.scene.centre - own[:2, None])
    range_ = length(to_disc)
    gap = jnp.maximum(range_ - state.scene.radius - body.radius, 0)
    discs = jnp.stack([*unit(to_disc), range_ / diagonal, 1 / (1 + gap), jnp.minimum(state.scene.radius, 1)])
    return Observation(ego, jnp.where(state.scene.present, discs, 0), state.scene.present)


def _move(robot: Unicycle, pose: Pose, control: Control, scene: Scene) -> tuple[Pose, Way, Flag, Flag]:
    """The step among solid walls and discs: the new pose, the way there, and whether a wall or a disc stopped it (the
    nearer one)."""
    follow = _follow_line if robot.integrator == "euler" else _follow_arc
    way, wall, disc = follow(robot, pose, control, scene)
    return jnp.stack([*way[:, -1], wrap_angle(pose[2] + control[1] * robot.dt)]), way, wall, disc


def _follow_line(robot: Unicycle, pose: Pose, control: Control, scene: Scene) -> tuple[Way, Flag, Flag]:
    """Straight on; a robot that is stopped counts as having moved evenly to where it was."""
    end, wall, disc = _advance(robot, pose[:2], direction(pose[2]), control[0] * robot.dt, scene)
    return jnp.stack([pose[:2], end], axis=1), wall, disc


def _advance(robot: Unicycle, start: Point, ahead: Point, distance: Scalar, scene: Scene) -> tuple[Point, Flag, Flag]:
    """Straight ahead until the distance is covered or the body touches; at the rim only motion inwards is stopped."""
    rays = jnp.broadcast_to(ahead[:, None], scene.centre.shape)
    disc_hits = ray_disc_hit(start[:, None] - scene.centre, rays, scene.radius + robot.radius)
    disc = jnp.min(jnp.where(scene.present, disc_hits, jnp.inf), axis=0)
    limits = scene.half_extents - robot.radius
    wall = jnp.minimum(ray_slab_hit(start[0], ahead[0], limits[0]), ray_slab_hit(start[1], ahead[1], limits[1]))
    nearest = jnp.minimum(disc, wall)
    blocked = nearest < distance
    travelled = jnp.where(blocked, nearest, distance)
    return start + travelled * ahead, blocked & (wall <= disc), blocked & (disc < wall)


def _follow_arc(robot: Unicycle, pose: Pose, control: Control, scene: Scene) -> tuple[Way, Flag, Flag]:
    """The exact arc, checked at the ends of `_ARC_PIECES` pieces; the body stops on the chord that first enters.

    A graze between two of those points goes unnoticed if it is shallower than 2e-5 m (at the default limits).
    """
    way = [pose[:2]]
    wall = disc = jnp.zeros(pose.shape[1:], bool)
    for piece in range(1, _ARC_PIECES + 1):
        place = way[-1]
        target = pose[:2] + motion.displacement(robot, pose[2], control, robot.dt * piece / _ARC_PIECES)
        around = boundaries(scene, target).distance
        to_disc, to_wall = jnp.min(around[:-WALLS], axis=0), jnp.min(around[-WALLS:], axis=0)
        free = ~(wall | disc)
        enters = free & (jnp.minimum(to_disc, to_wall) < robot.radius)
        moved, _, _ = _advance(robot, place, unit(target - place), length(target - place), scene)
        way.append(jnp.where(enters, moved, jnp.where(free, target, place)))
        wall, disc = wall | (enters & (to_wall <= to_disc)), disc | (enters & (to_disc < to_wall))
    return jnp.stack(way, axis=1), wall, disc
