"""The safety layer: barrier rows and actuator box in a quadratic program, then the speed governor.

    (v, w)*  =  argmin (v − v̄)² + (d/Δ)² (w − w̄)²   subject to the rows of theorem 2 and the actuator box
    v        ≤  governed speed of theorem 1

The metric is the displacement of the virtual control point. Theorem 1 alone makes every output safe, whatever the
program returned; theorem 2 makes the program feasible forever and the governor idle (theory.md §2.3). Building the
program (`problem`) and solving it (`filter`) are two functions, so that a test can look at the program.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from safepursuit import qp
from safepursuit import robot as motion
from safepursuit.barriers import barrier
from safepursuit.barriers.barrier import Barriers
from safepursuit.barriers.gains import GainRule, Gains, as_rule
from safepursuit.geometry import direction, length, unit
from safepursuit.qp import Halfplanes
from safepursuit.robot import Unicycle
from safepursuit.scene import WALLS, Scene, boundaries
from safepursuit.shapes import Control, Flag, Pose, Rows, Scalar

_BOX_ROWS = 4

CHANGED = 1e-3
"""Half-widths of the actuator box from which two controls count as different."""

_FEW = 16
"""Boundaries (12 discs and the walls) up to which the nearest come first; for more, order costs more than it saves."""


@dataclass(frozen=True)
class Shield:
    """The parameters of the safety layer."""

    offset: float = 0.1
    """d [m]: how far ahead of the centre the virtual control point lies."""
    gain: float = 0.5
    """Class-K gain γ in (0, 1] of every boundary, a step, where no network sets it; 1 allows the most."""
    margin: float = 1e-5
    """Added to the robot's radius by the governor, and twice by the rows [m]. Covers float32 round-off in an arena of
    tens of metres; the rows keep further off, so that the governor does not cut in where the robot slides along."""
    robot_barrier: bool = False
    """Also limit the own approach to the other robot (theory.md §2.4); off, because capture itself comes first."""
    robot_gain: float = 0.5
    """γ of the inter-robot row, a step."""
    min_separation: float = 0.35
    """Distance of centres [m] the inter-robot row defends."""
    allow_blocking: bool = False
    """Accept an inter-robot gain that keeps the pursuer from ever capturing."""

    def __post_init__(self) -> None:
        for name in ("gain", "robot_gain"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"shield {name} must lie in (0, 1], not {getattr(self, name)}.")
        if not self.offset > 0:
            raise ValueError(f"shield offset must be positive, not {self.offset}.")
        if self.margin < 0:
            raise ValueError(f"shield margin must not be negative, but is {self.margin}.")


class Surroundings(NamedTuple):
    """What the safety layer needs to know of a pose in a scene, whatever control is asked of it."""

    barriers: Barriers
    """Those of theorem 2, one a disc and one a wall; if they are few, nearest first."""
    boundary: Int[Array, "rows *batch"]
    """Which boundary of `scene.boundaries` each barrier belongs to."""
    speed_limit: Scalar
    """v̄_A [m/s] of theorem 1 for any turn rate within the limit; NaN for a pose that is not finite."""
    clearance: Scalar
    """Distance [m] of the body from the nearest boundary."""
    other: Barriers | None = None
    """With an inter-robot barrier: D − D_min [m], and the normal from the other robot to this one; no rows."""


class Shielded(NamedTuple):
    """A control made safe, and what it took."""

    control: Control
    """The safe control [m/s, rad/s]."""
    nominal: Control
    """What was asked for [m/s, rad/s] (0 where that was not a finite number)."""
    intervened: Flag
    """A barrier row or the governor changed the control; the actuator box alone does not count."""
    correction: Scalar
    """‖control − nominal‖ in half-widths of the actuator box."""
    feasible: Flag
    """The program had a solution (always, by theorem 2)."""
    residual: Scalar
    """Largest amount [m] by which the program's answer exceeds a row: rounding, or the violation if infeasible."""
    clearance: Scalar
    """Distance [m] of the body from the nearest boundary before the step."""
    active: Bool[Array, "rows *batch"]
    """Which boundary (discs, walls, then the other robot if barred) held the control."""
    governed: Flag
    """The speed governor acted (never, from a state in the safe set of theorem 2)."""
    on_boundary: Flag
    """Any row, the actuator box included, was active, so that the projection's Jacobian lost rank."""


def check(shield: Shield, robot: Unicycle, capture_radius: float) -> None:
    """Raise ValueError where these parameters break an assumption of the theorems or forbid capture."""
    if robot.max_speed * robot.dt > shield.offset:
        raise ValueError(
            f"the robot moves up to {robot.max_speed * robot.dt:g} m a step, more than the shield's offset of "
            f"{shield.offset:g} m: theorem 2 needs max_speed · dt ≤ offset; raise the offset or shorten the step."
        )
    if shield.robot_barrier and not shield.allow_blocking:
        barrier.check_robot_gain(robot, shield.robot_gain, shield.min_separation, capture_radius)


def survey(
    shield: Shield,
    robot: Unicycle,
    pose: Pose,
    scene: Scene,
    opponent: Pose | None = None,
    *,
    nearest_first: bool = True,
) -> Surroundings:
    """Look around from a pose; everything the safety layer does there follows from the result.

    The order of the barriers saves the projection work and changes nothing else: if they are many, or with
    `nearest_first` False, they stay in that of `scene.boundaries`.
    """
    ahead = direction(pose[2])
    around = boundaries(scene, pose[:2] + shield.offset * ahead)
    body = _padded(shield, robot, 2)
    discs = barrier.vcp_standoff(body, shield.offset, jnp.where(scene.present, scene.radius, 0))
    walls = jnp.full_like(around.distance[-WALLS:], barrier.vcp_wall_standoff(body, shield.offset))
    value = around.distance - jnp.concatenate([discs, walls])
    arranged = _ascending if nearest_first and len(value) <= _FEW else _as_they_come
    *barriers, order = arranged(value, *_in_heading_frame(ahead, around.normal))

    from_centre = boundaries(scene, pose[:2])
    slack = from_centre.distance - _padded(shield, robot, 1).radius
    swing = barrier.governor_swing(robot, jnp.full_like(pose[2], robot.max_turn_rate))
    speed = barrier.governed_speed(robot, *_in_heading_frame(ahead, from_centre.normal), slack, swing)
    other = None
    if shield.robot_barrier and opponent is not None:
        away = pose[:2] - opponent[:2]
        other = Barriers(length(away) - shield.min_separation, *_in_heading_frame(ahead, unit(away)))
    return Surroundings(
        barriers=Barriers(*barriers),
        boundary=order,
        speed_limit=jnp.where(jnp.all(jnp.isfinite(pose), axis=0), speed, jnp.nan),
        clearance=jnp.min(from_centre.distance, axis=0) - robot.radius,
        other=other,
    )


def problem(shield: Shield, robot: Unicycle, surroundings: Surroundings, gains: Gains | None = None) -> Halfplanes:
    """The safe set of (v, w), w = sin(ωΔ), as half-planes: the box, two rows a boundary, as surveyed, and the
    inter-robot row if asked for.

    `gains` is γ in [0, 1], one number, one a boundary in the order of `surroundings`, or a rule that makes these; None
    takes `shield.gain`. u = 0 is always inside.
    """
    box = _box(robot, surroundings.clearance)
    return qp.join(qp.sides(box), _rows(shield, robot, _ingredients(shield, surroundings, gains)))


def filter(
    nominal: Control,
    pose: Pose,
    scene: Scene,
    *,
    robot: Unicycle,
    shield: Shield,
    gains: Rows | float | None = None,
    opponent: Pose | None = None,
) -> Shielded:
    """The safe control nearest to `nominal` (in the displacement of the virtual control point), never braking in vain.

    Safe from every pose whose body is clear of the scene, for any gains in [0, 1] and any nominal control; a nominal
    control that is not finite is replaced by braking. `gains` is one number, or one a boundary in the order of
    `scene.boundaries`. Differentiable in `nominal`, `pose` and `gains`.
    """
    surroundings = survey(shield, robot, pose, scene, opponent)
    if gains is not None and jnp.ndim(gains):
        every = jnp.broadcast_to(gains, surroundings.boundary.shape)
        gains = jnp.take_along_axis(every, surroundings.boundary, axis=0)
    return guard(nominal, surroundings, robot=robot, shield=shield, gains=gains)


def guard(
    nominal: Control,
    surroundings: Surroundings,
    *,
    robot: Unicycle,
    shield: Shield,
    gains: Gains | None = None,
) -> Shielded:
    """`filter` where the surroundings are known already; gains, if one a boundary, in their order, or by a rule."""
    finite = jnp.all(jnp.isfinite(nominal), axis=0)
    nominal = jnp.where(finite, nominal, 0)
    build, ingredients = partial(_rows, shield, robot), _ingredients(shield, surroundings, gains)
    box, metric = _box(robot, nominal[0]), _metric(shield, robot, nominal.dtype)
    solution = qp.project_onto(motion.to_swing(robot, nominal), build, ingredients, metric, box)
    rows = qp.join(qp.sides(box), build(ingredients))
    control = motion.limit(robot, motion.from_swing(robot, solution.u))
    control, governed = govern(control, surroundings)
    feasible = solution.violation <= 0
    return Shielded(
        control=control,
        nominal=nominal,
        intervened=(_greatest(solution.multipliers[_BOX_ROWS:]) > 0) | ~feasible | governed,
        correction=length(motion.to_unit_box(robot, control) - motion.to_unit_box(robot, nominal)),
        feasible=feasible,
        residual=_greatest(rows.A[:, 0] * solution.u[0] + rows.A[:, 1] * solution.u[1] - rows.b),
        clearance=surroundings.clearance,
        active=_by_boundary(solution.active[_BOX_ROWS:], surroundings.boundary),
        governed=governed,
        on_boundary=(_greatest(solution.multipliers) > 0) | ~feasible | governed,
    )


def unfiltered(nominal: Control, surroundings: Surroundings, *, robot: Unicycle, governed: bool = False) -> Shielded:
    """What happens without the program: the nominal control cut off at the actuator limits, and, if `governed`, slowed
    by theorem 1. In the same terms as `guard`, so that the two can be compared."""
    control = motion.limit(robot, nominal)
    acted = none = jnp.zeros(nominal.shape[1:], bool)
    if governed:
        control, acted = govern(control, surroundings)
    return Shielded(
        control=control,
        nominal=nominal,
        intervened=acted,
        correction=length(motion.to_unit_box(robot, control) - motion.to_unit_box(robot, nominal)),
        feasible=~none,
        residual=jnp.zeros_like(surroundings.clearance),
        clearance=surroundings.clearance,
        active=jnp.zeros(surroundings.boundary.shape, bool),
        governed=acted,
        on_boundary=acted,
    )


def adopt(control: Control, nominal: Control, surroundings: Surroundings, *, robot: Unicycle) -> Shielded:
    """A control that was made from `nominal` by other means than the program, such as a map onto the safe set.

    It is cut off at the actuator limits and governed all the same, so that safety does not rest on those means. In the
    same terms as `guard`; any change beyond `CHANGED` half-widths counts as an intervention.
    """
    done = unfiltered(motion.limit(robot, control), surroundings, robot=robot, governed=True)
    correction = length(motion.to_unit_box(robot, done.control) - motion.to_unit_box(robot, nominal))
    within = length(motion.to_unit_box(robot, done.control) - motion.to_unit_box(robot, motion.limit(robot, nominal)))
    return done._replace(nominal=nominal, intervened=done.governed | (within > CHANGED), correction=correction)


def govern(control: Control, surroundings: Surroundings) -> tuple[Control, Flag]:
    """Theorem 1 alone: the same turn rate, the speed cut to what is safe. Brakes, never steers.

    `control` must respect the actuator limits. Returns the control, and whether the speed was cut.
    """
    limit = surroundings.speed_limit
    governed = control[0] > limit
    safe = jnp.stack([jnp.where(governed, limit, control[0]), control[1]])
    # A pose that is not finite gives no distance to trust, and a control that is not none to drive: stand still.
    known = jnp.isfinite(limit) & jnp.all(jnp.isfinite(control), axis=0)
    return jnp.where(known, safe, 0), governed | ~known


def distance(shield: Shield, robot: Unicycle, shielded: Shielded) -> Scalar:
    """‖u − Π(u)‖²_W of a filtered nominal control, relative to full speed; with the projection held constant.

    Its gradient with respect to the nominal control is therefore exactly that of the squared distance to the safe set
    (theory.md §3 B). 1 means: beyond the safe set by as much as full speed.
    """
    nominal = motion.to_swing(robot, shielded.nominal)
    projected = jax.lax.stop_gradient(motion.to_swing(robot, shielded.control))
    turn_weight = (shield.offset / robot.dt) ** 2
    return ((nominal[0] - projected[0]) ** 2 + turn_weight * (nominal[1] - projected[1]) ** 2) / robot.max_speed**2


class _Ingredients(NamedTuple):
    """What the program's rows are made of."""

    barriers: Barriers
    boundary: Int[Array, "rows *batch"]
    other: Barriers | None
    gains: GainRule


def _ingredients(shield: Shield, surroundings: Surroundings, gains: Gains | None) -> _Ingredients:
    barriers, boundary, *_, other = surroundings
    return _Ingredients(barriers, boundary, other, as_rule(shield.gain if gains is None else gains, barriers))


def _rows(shield: Shield, robot: Unicycle, ingredients: _Ingredients) -> Halfplanes:
    """All but the actuator box, which most controls meet at most."""
    barriers, boundary, other, gains = ingredients
    rows = [barrier.vcp_rows(robot, shield.offset, barriers, gains(barriers, boundary))]
    if other is not None:
        rows.append(barrier.robot_row(robot, other.facing, other.side, other.value, shield.robot_gain))
    return qp.join(*rows)


def _as_they_come(*values: Rows) -> tuple[Array, ...]:
    """All as they are, and last the index of each row."""
    index = jnp.arange(len(values[0])).reshape((-1,) + (1,) * (values[0].ndim - 1))
    return *values, jnp.broadcast_to(index, values[0].shape)


def _ascending(value: Rows, *others: Rows) -> tuple[Array, ...]:
    """All sorted by `value` along the rows, equal ones in their order, and last the index each row had."""
    rows = value.shape[0]
    index = jnp.arange(rows).reshape((rows,) + (1,) * (value.ndim - 1))
    # XLA on CPU sorts one problem at a time, by a comparator it calls: four to twelve times slower than counting. The
    # places are a sum over an axis, not a chain of additions, which everyone who uses them would compute again.
    earlier = (value < value[:, None]) | ((value == value[:, None]) & (index < index[:, None]))
    place = jnp.sum(earlier.astype(index.dtype), axis=1)

    def sort(values: Array) -> Array:
        result = jnp.zeros_like(values)
        for row in range(rows):
            result = jnp.where(place[row] == index, values[row], result)
        return result

    return tuple(sort(values) for values in (value, *others, jnp.broadcast_to(index, value.shape)))


def _padded(shield: Shield, robot: Unicycle, margins: int) -> Unicycle:
    """The robot with the shield's margin added to its radius so many times."""
    radius = robot.radius + margins * shield.margin
    return Unicycle(radius, robot.max_speed, robot.max_turn_rate, robot.dt, robot.integrator)


def _greatest(values: Rows) -> Scalar:
    """The largest of the rows, at least 0. Compare it with 0 instead of asking `any`: that reduction is slow on CPU."""
    return jnp.max(values, axis=0, initial=0)


def _metric(shield: Shield, robot: Unicycle, dtype) -> Float[Array, "2"]:
    return jnp.asarray([1.0, (shield.offset / robot.dt) ** 2], dtype)


def _box(robot: Unicycle, like: Scalar) -> qp.Box:
    """The actuator limits 0 ≤ v ≤ v̄, |w| ≤ sin φ̄, as often as `like` has entries."""
    swing = math.sin(robot.max_swing)
    low, high = (jnp.asarray(limits, like.dtype) for limits in ([0.0, -swing], [robot.max_speed, swing]))
    return qp.Box(*(jnp.broadcast_to(one.reshape(2, *(1,) * like.ndim), (2, *like.shape)) for one in (low, high)))


def _by_boundary(held: Bool[Array, "rows *batch"], boundary: Int[Array, "boundaries *batch"]) -> Array:
    """Which boundaries, in the scene's order, hold the control, given their rows, two each, as surveyed; what rows
    are left (the inter-robot one) follows."""
    count = boundary.shape[0]
    pairs = held[: 2 * count].reshape(count, 2, *held.shape[1:])
    each = pairs[:, 0] | pairs[:, 1]  # `any` is slow on CPU
    in_order = jnp.put_along_axis(jnp.zeros_like(each), boundary, each, axis=0, inplace=False)
    return jnp.concatenate([in_order, held[2 * count :]])


def _in_heading_frame(ahead: Float[Array, "2 *batch"], normal: Float[Array, "2 *shape"]) -> tuple[Array, Array]:
    """(n·e, n·e⊥) of normals (2, rows, …) or (2, …)."""
    return ahead[0] * normal[0] + ahead[1] * normal[1], ahead[0] * normal[1] - ahead[1] * normal[0]
