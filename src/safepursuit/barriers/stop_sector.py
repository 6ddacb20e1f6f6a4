"""The certificate of a robot with inertia: the sector that a command and the stop after it stay within (theorem 3).

    S = {p + λ e(θ + φ) : 0 ≤ λ ≤ L, φ⁻ ≤ φ ≤ φ⁺}

with L the way of the step and of the stop after it, and [φ⁻, φ⁺] the hull of all headings on it. A command is certified
if the body, moved along S, touches no obstacle. No convexity and no derivative of a distance is used. A step backwards
is that of a robot that looks the other way: S with −e in place of e.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from safepursuit.barriers.barrier import in_heading_frame
from safepursuit.geometry import direction, ray_segment_hit
from safepursuit.robot import Budget, Inertial, Robot
from safepursuit.scene import Boundaries, Edges
from safepursuit.shapes import Control, Flag, Point, Pose, Rows, Scalar

WIDEST = 3.0
"""A sector as wide [rad] counts as the whole disc: near π its two edges no longer say on which side of them it lies."""


class Motion(NamedTuple):
    """A moving robot among boundaries, as seen from its centre in its heading frame."""

    velocity: Control
    distance: Rows
    """Of the centre from the surface [m]."""
    facing: Rows
    """n·e of the boundary's normal n."""
    side: Rows
    """n·e⊥."""
    radius: Rows
    """Radius of curvature [m]; infinite for a wall."""
    edges: Edges | None = None
    """Of the last boundaries: where they stand, from its centre in the world frame."""
    ahead: Point | None = None
    """e in the world frame, where there are edges."""
    moves: Bool[Array, "rows *batch"] | None = None
    """Which boundaries move: those are as large as all that they can touch until the robot stands still."""

    @classmethod
    def of(cls, pose: Pose, velocity: Control, around: Boundaries) -> "Motion":
        """From the boundaries around the centre of the robot."""
        ahead, edges = direction(pose[2]), around.edges
        facing, side = in_heading_frame(ahead, around.normal)
        known = None if edges is None else ahead
        return cls(velocity, around.distance, facing, side, around.radius, edges, known, around.moves)

    @property
    def rows(self) -> int:
        """The axis of boundaries, counted from the end of a shape."""
        return -self.distance.ndim

    @property
    def backwards(self) -> "Motion":
        """As seen by a robot that looks the other way and drives as this one does: its speed has the other sign."""
        ahead = None if self.ahead is None else -self.ahead
        velocity = jnp.stack([-self.velocity[0], self.velocity[1]])
        return self._replace(velocity=velocity, facing=-self.facing, side=-self.side, ahead=ahead)


class Certified(NamedTuple):
    control: Control
    """Certified, or stop."""
    changed: Flag
    """The control differs from the one that was asked for."""
    stopped: Flag
    """Neither the wanted nor the slowest turn rate could be certified: the control is *stop*."""


def certify(robot: Inertial, budget: Budget, margin: float, gain: float, motion: Motion, control: Control) -> Certified:
    """The control at a certified speed: with its own turn rate, else with the one of *stop*, else *stop* itself.

    `control` is within the robot's reach; `budget` holds at its execution. Where no command is certified, *stop* is
    safe because the last certified command covers it (theorem 3); from a standstill clear of everything the first one
    is. Where the body is nearer to a boundary than `margin` [m], a step must bring it away by `gain` [m], so that
    rounding does not carry it on (theory.md §2.5). Control and motion must be finite.

    A robot that reverses is certified both ways: for the one that it does not take there is nothing to certify, unless
    an error of the speed leaves open which one that is (theory.md §2.8).
    """
    calm = robot.reach(jnp.zeros_like(control), motion.velocity)[1]
    turn_rates = jnp.stack([control[1], calm])
    hull = headings(robot, budget, motion.velocity[1], turn_rates)

    def ahead(seen: Motion, asked: Array) -> tuple[Array, Array]:
        """Which turn rates are certified, and the speed for each."""
        fastest, slowest = _speeds(robot, budget, seen)
        way = free_way(robot, budget, margin, seen, *hull) / (1 + budget.slip)
        limit = robot.speed_for(fastest, way)
        speed = jnp.minimum(asked, limit)
        driven = 0.5 * robot.dt * (seen.velocity[0] + speed)
        escapes = (driven <= 0) | (driven * _nearing(robot, margin, seen, *hull) <= -gain)
        return (limit >= slowest) & escapes, speed

    certified, speed = ahead(motion, control[0])
    if robot.reverses:
        behind, back = ahead(motion.backwards, -speed)
        certified, speed = certified & behind, -back
    (first, second), (own, slower) = certified, speed
    safe = jnp.where(first, jnp.stack([own, control[1]]), jnp.where(second, jnp.stack([slower, calm]), 0))
    stopped = ~(first | second)
    changed = ~first | (own != control[0] if robot.reverses else own < control[0])
    return Certified(safe, changed, stopped)


def _speeds(robot: Inertial, budget: Budget, motion: Motion) -> tuple[Scalar, Scalar]:
    """How fast [m/s] the robot may be ahead, by the error of its speed, and then at least is after a step."""
    fastest = motion.velocity[0] + budget.speed
    if robot.reverses:
        fastest = jnp.maximum(fastest, 0)
    return fastest, jnp.maximum(fastest - robot.braking * robot.dt, 0)


def headings(
    robot: Inertial, budget: Budget, before: Scalar, turn_rate: Float[Array, "*turns"]
) -> tuple[Float[Array, "*turns"], Float[Array, "*turns"]]:
    """φ⁻ ≤ 0 ≤ φ⁺ [rad]: hull of the headings, relative to the present one, of a step from turn rate `before` to
    `turn_rate` and of the stop after it; of one or of several turn rates, which come first.

    All headings grow with both turn rates, so that an error of `before` is covered by its two ends. Where the turn rate
    changes its sign within the step, the heading turns back before ½ωΔ.
    """
    step = robot.turn_acceleration * robot.dt
    ends = []
    for sign, extreme in ((-1, jnp.minimum), (1, jnp.maximum)):
        start = before + sign * budget.turn_rate
        end = jnp.clip(turn_rate, start - step, start + step) if budget.turn_rate else turn_rate
        half = 0.5 * robot.dt * start
        furthest = extreme(extreme(0, half), half + 0.5 * robot.dt * end + robot.stopping_turn(end))
        ends.append((1 + budget.slip) * furthest + sign * budget.heading)
    low, high = ends
    return low, high


def until_rest(robot: Robot, budget: Budget, velocity: Control | None) -> Scalar | float:
    """Δ + T [s]: how long at most the robot moves on after its next command, whatever it is, if *stop* follows; with
    the delay of the budget, counted from the measurement."""
    step = (1 + budget.delay) * robot.dt
    if not isinstance(robot, Inertial):
        return step
    assert velocity is not None
    speed = jnp.abs(velocity[0]) if robot.reverses else velocity[0]
    fastest = jnp.minimum(speed + budget.speed + robot.acceleration * robot.dt, robot.max_speed)
    return step + robot.stopping_time(fastest)


def free_way(
    robot: Inertial,
    budget: Budget,
    margin: float,
    motion: Motion,
    low: Float[Array, "*turns"],
    high: Float[Array, "*turns"],
) -> Float[Array, "*turns"]:
    """The longest L [m] for which the body, moved along the sector of these headings, touches no boundary; of one
    sector or of several, which come first.

    The nearest point of a boundary counts where its bearing is in the sector; else the body first meets it, if at all,
    along one of the two edges: all boundaries are convex. Where the body, enlarged, overlaps one already, a way
    that leads away from its nearest point does not come nearer later.
    """
    moved = budget.mover_speed * until_rest(robot, budget, motion.velocity) if budget.mover_speed else 0.0
    body = robot.radius + margin + budget.pose + moved
    room = motion.distance - body
    gap = jnp.maximum(room, 0)
    edges, along, across = _edges(motion, low, high)
    between = (across[0] >= 0) & (across[1] <= 0) & (along[0] + along[1] >= 0)
    inside = between | jnp.expand_dims(high - low >= WIDEST, motion.rows)
    flat = jnp.isinf(motion.radius)
    # Where the enlarged body overlaps already, every way is blocked but one that leads away from wherever a disc's
    # centre may be; from a mover none does.
    away: Array | float = 0.0
    if budget.pose:
        away = jnp.where(flat, 0, -budget.pose / jnp.maximum(motion.distance + motion.radius, budget.pose))
    moves: Array | bool = budget.mover_speed > 0
    if motion.moves is not None:
        moves = motion.moves | moves
    blocked = (room < 0) & ((along > away) | moves)

    def free(some: slice, hits: Array) -> Array:
        reach = jnp.minimum(*jnp.where(of(some, blocked), 0, hits))
        return jnp.min(jnp.where(of(some, inside), of(some, gap), reach), axis=motion.rows)

    def of(some: slice, array: Array) -> Array:
        return jax.lax.slice_in_dim(array, some.start, some.stop, axis=array.ndim + motion.rows)

    rounded = slice(0, len(gap) - (0 if motion.edges is None else len(motion.edges.present)))
    rim = jnp.where(flat, 0, motion.radius) + body
    hits = _to_rounded(*(of(rounded, one) for one in (along, across, gap, rim, flat)))
    if motion.edges is None:
        return free(rounded, hits)
    straight = slice(rounded.stop, len(gap))
    hit = partial(_to_edges, motion, body)
    for _ in range(1 + low.ndim + 1 + motion.rows):
        hit = jax.vmap(hit, in_axes=1)
    leaving = jnp.where(of(straight, room) < 0, jnp.inf, hit(edges))
    return jnp.minimum(free(rounded, hits), free(straight, leaving))


def _edges(motion: Motion, low: Array, high: Array) -> tuple[Array, Array, Array]:
    """The two edges of each sector, in the heading frame, and the cosine and sine of the angle from each of them to
    the nearest point of each boundary."""
    # Behind the barrier, because XLA would compute cosines and sines anew for every boundary.
    edges = jax.lax.optimization_barrier(direction(jnp.stack([low, high])))
    rays = tuple(jnp.expand_dims(part, motion.rows) for part in edges)
    towards = -motion.facing, -motion.side
    return edges, _dot(rays, towards), _cross(rays, towards)


def _to_rounded(along: Array, across: Array, gap: Array, rim: Array, flat: Array) -> Array:
    """The way [m] along each ray until the body touches each disc, whose radius with the body's is `rim`, or wall."""
    centre = gap + rim  # of a disc, from the robot
    # Of (centre · along) − √(rim² − (centre · across)²), in the form without cancellation.
    square = rim**2 - (centre * across) ** 2
    meets = (along > 0) & (flat | (square > 0))
    root = jnp.sqrt(jnp.where(meets & ~flat, square, 1))
    divisor = jnp.where(flat, along, (centre * along + root) / (centre + rim))
    return jnp.where(meets, gap / jnp.where(meets, divisor, 1), jnp.inf)


def _to_edges(motion: Motion, body: Scalar | float, ray: Array) -> Rows:
    """The way [m] along a ray until a body of this radius touches each edge; infinite for padding."""
    edges, ahead = motion.edges, motion.ahead
    assert edges is not None
    assert ahead is not None
    world = jnp.stack([_dot(ray, (ahead[0], -ahead[1])), _dot(ray, (ahead[1], ahead[0]))])
    rays = jnp.broadcast_to(world[:, None], edges.start.shape)
    return jnp.where(edges.present, ray_segment_hit(edges.start, edges.end, rays, body), jnp.inf)


def _nearing(robot: Inertial, margin: float, motion: Motion, low: Array, high: Array) -> Array:
    """The greatest share of a way along these headings that leads to a boundary nearer than `margin`; −∞ without."""
    _, along, _ = _edges(motion, low, high)
    near = motion.distance < robot.radius + margin
    return jnp.max(jnp.where(near, jnp.maximum(*along), -jnp.inf), axis=motion.rows)


def _dot(one: Array | tuple, other: Array | tuple) -> Float[Array, "..."]:
    return one[0] * other[0] + one[1] * other[1]


def _cross(one: Array | tuple, other: Array | tuple) -> Float[Array, "..."]:
    return one[0] * other[1] - one[1] * other[0]
