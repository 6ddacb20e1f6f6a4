"""The safety layer: barrier rows and actuator box in a quadratic program, then the speed governor.

    (v, w)*  =  argmin (v − v̄)² + (d/Δ)² (w − w̄)²   subject to the rows of theorem 2 and the actuator box
    v        ≤  governed speed of theorem 1

The metric is the displacement of the virtual control point. Theorem 1 alone makes every output safe, whatever the
program returns; theorem 2 keeps the program feasible and the governor idle (theory.md §2.3).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jaxtyping import Array, Bool

from safepursuit import qp, ranges
from safepursuit.barriers import Barrier, Barriers, ControlPoint, GainRule, Gains, Separation, as_rule
from safepursuit.barriers.barrier import in_heading_frame
from safepursuit.barriers.governor import governed_speed, governor_swing, least_speed, may_leave
from safepursuit.barriers.separation import check_robot_gain
from safepursuit.barriers.stop_sector import Motion, certify, until_rest
from safepursuit.geometry import direction, length
from safepursuit.qp import Halfplanes
from safepursuit.qp.search import greatest
from safepursuit.robot import Budget, Inertial, Robot, Unicycle
from safepursuit.scene import Scene, boundaries, well_formed
from safepursuit.shapes import Control, Flag, Pose, Rows, Scalar, floating

_BOX_ROWS = 4

CHANGED = 1e-3
"""Half-widths of the actuator box from which two controls count as different."""

MAX_HEADING = 1e4
"""Headings [rad] beyond this, either way, are not believed: float32 has no more than milliradians of them."""


@dataclass(frozen=True)
class Shield:
    """The parameters of the safety layer."""

    offset: float = 0.1
    """d [m]: how far ahead of the centre the virtual control point lies."""
    gain: float = 0.5
    """Class-K gain γ in (0, 1] of every boundary, per step, where no network sets it; 1 restricts least."""
    margin: float = 1e-5
    """Added to the robot's radius by the governor, and twice by the rows [m]: for rounding, in float32 enough for an
    arena of 29 m × 29 m (`least_margin`); twice, so that the governor stays idle where the robot slides along a
    boundary."""
    inflation: float = 0.0
    """Also added to the robot's radius by governor and rows [m]: distance to keep from walls and discs, whatever for.
    Captures, contacts and `clearance` are those of the body alone."""
    robot_barrier: bool = False
    """Also limit the approach to the other robot (theory.md §2.4); off, because capture needs it."""
    robot_gain: float = 0.5
    """γ of the inter-robot row, per step."""
    min_separation: float = 0.35
    """Distance of centres [m] that the inter-robot row keeps."""
    allow_blocking: bool = False
    """Accept an inter-robot gain that keeps the pursuer from ever capturing."""
    budget: Annotated[Budget, tyro.conf.arg(prefix_name=False)] = field(default_factory=Budget)
    """Errors that the layer accounts for."""

    def __post_init__(self) -> None:
        ranges.check(
            self,
            "shield",
            positive=("offset",),
            positive_share=("gain", "robot_gain"),
            not_negative=("margin", "inflation", "min_separation"),
        )

    @property
    def kinds(self) -> tuple[Barrier, ...]:
        """The kinds of barriers whose rows make up the program."""
        own = (Separation(self.min_separation, self.robot_gain),) if self.robot_barrier else ()
        return ControlPoint(self.offset, self.added + self.margin), *own

    @property
    def added(self) -> float:
        """What governor and certificate add to the robot's radius [m]; the rows add the margin once more."""
        return self.inflation + self.budget.pose + self.margin


UNICYCLE, SHIELD = Unicycle(), Shield()
"""The robot and the parameters where none are given."""


class Backwards(NamedTuple):
    """Theorem 1 for a robot that drives backwards."""

    speed_limit: Scalar
    """The highest speed, as a size [m/s], for any turn rate within the limit; 0 where pose or scene are not to be
    believed."""
    least_speed: Scalar
    """As `Surroundings.least_speed`, as a size."""


class Surroundings(NamedTuple):
    """A pose in a scene as the safety layer uses it, for any nominal control."""

    found: tuple[Barriers, ...]
    """The barriers of each kind, in the order of `Shield.kinds`."""
    speed_limit: Scalar
    """v̄_A [m/s] of theorem 1 for any turn rate within the limit; NaN where pose or scene are not to be believed."""
    clearance: Scalar
    """Distance [m] of the body from the nearest boundary, as it is now; NaN where pose or scene are not finite."""
    clear: Flag
    """Pose and scene are to be believed, and the body overlaps nothing that stands by more than the margin and the
    budget's error of the position: from here the theorems hold."""
    least_speed: Scalar
    """[m/s] where rounding has moved the body beyond the margin: it stands still or gets away; 0 elsewhere."""
    motion: Motion | None = None
    """Of a robot with inertia: what its certificate is found from. Its barriers are those of the pose at which it would
    come to rest."""
    backwards: Backwards | None = None
    """Of a robot without inertia that reverses."""

    @property
    def velocity(self) -> Control | None:
        """Of a robot with inertia."""
        return None if self.motion is None else self.motion.velocity

    @property
    def barriers(self) -> Barriers:
        """Those of the scene's boundaries (theorem 2)."""
        return self.found[0]


class Shielded(NamedTuple):
    """A safe control, and how it was found."""

    control: Control
    """The safe control [m/s, rad/s]."""
    nominal: Control
    """The control before the safety layer [m/s, rad/s] (0 where it was not finite)."""
    intervened: Flag
    """A barrier row or the governor changed the control; the actuator box alone does not count."""
    correction: Scalar
    """‖control − nominal‖ in half-widths of the actuator box."""
    feasible: Flag
    """The guarantee holds: the pose is finite, its heading within `MAX_HEADING`, the scene well formed, the body clear
    of it, the gains are finite, and the program had a solution (then it always has, by theorem 2)."""
    residual: Scalar
    """Largest amount [m] by which the program's answer exceeds a row: rounding, or the violation if infeasible."""
    clearance: Scalar
    """Distance [m] of the body from the nearest boundary before the step."""
    active: Bool[Array, "rows *batch"]
    """Which boundary (discs, walls, then the other robot if it has a row) held the control."""
    governed: Flag
    """The speed governor acted (from a state in the safe set of theorem 2 never ahead, but behind a robot that
    reverses), or the certificate of theorem 3."""
    stopped: Flag
    """No command could be certified, and the control is *stop*."""
    lost_gradient: Flag
    """The map from the nominal control lost rank: a row, of the actuator box too, was active."""


def least_margin(robot: Robot, half_extents: Sequence[float], dtype: Any = None) -> float:
    """The least margin [m] that covers rounding in an arena of these half-extents [m] (theory.md §2.5).

    `dtype` is that of the poses, by default JAX's. Each step of a stop adds the rounding of a position.
    """
    reach = math.hypot(*half_extents) + robot.radius
    return (
        (3.5 + 0.5 * robot.steps_to_stop)
        * float(jnp.finfo(jnp.result_type(float) if dtype is None else dtype).eps)
        * reach
    )


def fitting(robot: Robot, half_extents: Sequence[float], dtype: Any = None) -> Shield:
    """`Shield()`, with the margin that an arena of these half-extents [m] needs if it needs more."""
    return Shield(margin=max(Shield.margin, 1.05 * least_margin(robot, half_extents, dtype)))


def check(
    shield: Shield, robot: Robot, capture_radius: float, half_extents: Sequence[float], dtype: Any = None
) -> None:
    """Raise ValueError if these parameters break an assumption of the theorems or prevent capture.

    `half_extents` [m] are the arena's, `dtype` that of the poses, by default JAX's.
    """
    needed = least_margin(robot, half_extents, dtype)
    if shield.margin < needed:
        raise ValueError(
            f"a shield margin of {shield.margin:g} m does not cover rounding in an arena of "
            f"{2 * half_extents[0]:g} m × {2 * half_extents[1]:g} m: it takes {1.05 * needed:.2g} m, or a smaller "
            "arena, or double precision."
        )
    shield.budget.at_execution(robot)
    if robot.max_speed * robot.dt > shield.offset:
        raise ValueError(
            f"the robot moves up to {robot.max_speed * robot.dt:g} m per step, more than the shield's offset of "
            f"{shield.offset:g} m: theorem 2 needs max_speed · dt ≤ offset; raise the offset or shorten the step."
        )
    if shield.robot_barrier and not shield.allow_blocking:
        check_robot_gain(robot, shield.robot_gain, shield.min_separation, capture_radius)


def survey(
    shield: Shield,
    robot: Robot,
    pose: Pose,
    scene: Scene,
    opponent: Pose | None = None,
    velocity: Control | None = None,
    *,
    nearest_first: bool = True,
) -> Surroundings:
    """The surroundings of a pose; with `nearest_first` False the barriers keep the order of `scene.boundaries`.

    `velocity` (speed and turn rate now) is needed, and used, for a robot with inertia only. Raises ValueError without.
    """
    pose, opponent = floating(pose), None if opponent is None else floating(opponent)
    boundary, *others = shield.kinds
    if not nearest_first:
        boundary = replace(boundary, nearest_first=False)  # type: ignore[type-var]
    at_rest = robot.stopped(pose, velocity)
    reached = scene if scene.movers is None else scene.reached(until_rest(robot, shield.budget, velocity))
    kinds = (kind.find(robot, at_rest, reached, opponent) for kind in (boundary, *others))
    found = tuple(one for one in kinds if one is not None)
    around = boundaries(reached, pose[:2])
    # Sums, because XLA's least of some numbers need not be NaN where one of them is.
    sound = jnp.isfinite(jnp.sum(around.distance, axis=0))
    bodies = around.distance if around.moves is None else boundaries(scene, pose[:2]).distance
    clearance = jnp.where(sound, jnp.min(bodies, axis=0) - robot.radius, jnp.nan)
    standing = clearance  # from movers a robot at rest need not be clear
    if around.moves is not None:
        standing = jnp.where(sound, jnp.min(jnp.where(around.moves, jnp.inf, bodies), axis=0) - robot.radius, jnp.nan)
    known = sound & (jnp.abs(pose[2]) <= MAX_HEADING)
    for one in found[1:]:
        known &= jnp.isfinite(jnp.sum(one.value, axis=0))
    budget = shield.budget.at_execution(robot)
    if robot.has_inertia:
        assert velocity is not None  # `stopped` has raised
        motion, slowest, backwards = Motion.of(pose, velocity, around), jnp.zeros_like(pose[2]), None
        known &= jnp.isfinite(velocity[0] + velocity[1])
        speed = jnp.full_like(pose[2], robot.max_speed)
    else:
        motion = None
        swing = (1 + budget.slip) * governor_swing(robot, jnp.full_like(pose[2], robot.max_turn_rate)) + budget.heading
        added = shield.inflation + budget.pose + shield.margin + budget.mover_speed * robot.dt
        slack = around.distance - (robot.radius + added)

        def speeds(facing: Rows, side: Rows) -> Backwards:
            ways = facing, side, slack, swing
            speed = governed_speed(robot, *ways) / (1 + budget.slip)
            if budget.pose or budget.mover_speed or around.moves is not None:
                centre = around.distance + around.radius
                moves = around.moves if around.moves is not None and not budget.mover_speed else budget.mover_speed > 0
                speed = jnp.minimum(speed, may_leave(*ways, centre, budget.pose, moves))
            return Backwards(speed, least_speed(robot, *ways, 0.5 * shield.margin))

        facing, side = in_heading_frame(direction(pose[2]), around.normal)
        speed, slowest = speeds(facing, side)
        backwards = speeds(-facing, -side) if robot.reverses else None
    # At a disc's very centre it has no normal, and every way out is as long.
    centred = jnp.min(around.distance + around.radius, axis=0) <= 0
    if backwards is not None:
        backwards = backwards._replace(speed_limit=jnp.where(known & ~centred, backwards.speed_limit, 0))
    return Surroundings(
        found=found,
        speed_limit=jnp.where(known, jnp.where(centred, 0, speed), jnp.nan),
        clearance=clearance,
        clear=known & (standing >= -(shield.margin + budget.pose)),
        least_speed=slowest,
        motion=motion,
        backwards=backwards,
    )


def problem(shield: Shield, robot: Robot, surroundings: Surroundings, gains: Gains | None = None) -> Halfplanes:
    """The safe set of (v, w), w = sin(ωΔ), as half-planes: the box, then the rows of each kind of barrier.

    `gains` is γ in [0, 1]: one number, one per boundary in the order of `surroundings`, or a rule; None is
    `shield.gain`. u = 0 is always inside.
    """
    box = _box(robot, surroundings, surroundings.clearance)
    return qp.join(qp.sides(box), _rows(shield, robot, _Ingredients.of(shield, surroundings, gains)))


def filter(
    nominal: Any,
    pose: Any,
    scene: Scene,
    *,
    robot: Robot = UNICYCLE,
    shield: Shield = SHIELD,
    gains: Any = None,
    opponent: Any = None,
    velocity: Any = None,
) -> Shielded:
    """The safe control nearest to `nominal`, in the displacement of the virtual control point.

    `nominal` and, for a robot with inertia, `velocity` (2, …) [m/s, rad/s] now, `pose` and `opponent` (3, …) [m, m,
    rad] are arrays or lists of numbers with the same
    batch axes, if any; `scene` is one for all of them, or one per pose. `gains` is γ in [0, 1]: one number, or one per
    boundary in the order of `scene.boundaries`, for all poses or per pose. Raises ValueError for other shapes.

    Safe from every pose whose body is clear of the scene, for any gains in [0, 1] and any nominal control; a nominal
    control that is not finite counts as 0. Elsewhere `feasible` is False: a body that overlaps something that stands
    moves only outwards, and where the pose is not finite, its heading beyond `MAX_HEADING`, or a present disc not
    finite or of negative radius, the robot stands still. A mover that has come to a robot at rest leaves `feasible`
    True: no contact is promised while the robot moves. A disc that is not finite in a scene of NumPy arrays, which can
    be looked at, raises ValueError. Differentiable in `nominal`, `pose` and `gains`. Computed in float32 or float64;
    smaller numbers, such as float16, are computed in float32.
    """
    nominal, pose = floating(nominal), floating(pose)
    opponent = None if opponent is None else floating(opponent)
    if isinstance(scene.radius, np.ndarray) and not all(np.all(known) for known in well_formed(scene)):
        raise ValueError("every disc of the scene and its half-extents must be finite, and no radius negative.")
    poses = [one.shape for one in (pose, opponent) if one is not None]
    if nominal.shape[:1] != (2,) or any(shape != (3, *nominal.shape[1:]) for shape in poses):
        raise ValueError(
            "a nominal control is (2, …) and a pose (3, …) with the same batch axes, not "
            f"{' and '.join(map(str, (nominal.shape, *poses)))}."
        )
    precision = jnp.result_type(nominal, pose)
    nominal, pose = nominal.astype(precision), pose.astype(precision)
    velocity = None if velocity is None else floating(velocity).astype(precision)
    if velocity is not None and velocity.shape != nominal.shape:
        raise ValueError(f"a velocity has the shape of the nominal control, {nominal.shape}, not {velocity.shape}.")
    surroundings = survey(shield, robot, pose, scene, opponent, velocity)
    if isinstance(gains, (int, float)):
        gains = min(max(gains, 0.0), 1.0)
    elif gains is not None:
        gains, order = floating(gains), surroundings.barriers.boundary
        gains = jnp.where(gains < 0, 0, jnp.where(gains > 1, 1, gains))  # with the whole gradient at both ends
        gains = gains.reshape(gains.shape + (1,) * (order.ndim - gains.ndim))
        if gains.ndim != order.ndim or any(own not in (1, n) for own, n in zip(gains.shape, order.shape, strict=True)):
            raise ValueError(f"gains are one number or one per boundary, {order.shape}, not {gains.shape}.")
        gains = jnp.take_along_axis(jnp.broadcast_to(gains, order.shape), order, axis=0)
    return guard(nominal, surroundings, robot=robot, shield=shield, gains=gains)


def guard(
    nominal: Control,
    surroundings: Surroundings,
    *,
    robot: Robot,
    shield: Shield,
    gains: Gains | None = None,
) -> Shielded:
    """`filter` for known surroundings; `gains` in their order, or a rule."""
    nominal = floating(nominal)
    finite = jnp.all(jnp.isfinite(nominal), axis=0)
    nominal, velocity = jnp.where(finite, nominal, 0), surroundings.velocity
    saturates = robot.has_inertia or robot.wheel_base is not None
    asked = robot.reach(nominal, velocity) if saturates else nominal
    build, ingredients = partial(_rows, shield, robot), _Ingredients.of(shield, surroundings, gains)
    box = _box(robot, surroundings, nominal[0])
    metric = jnp.asarray([1.0, (shield.offset / robot.dt) ** 2], nominal.dtype)
    solution = qp.project_onto(robot.to_swing(asked, velocity), build, ingredients, metric, box)
    rows = qp.join(qp.sides(box), build(ingredients))
    steered = robot.from_swing(solution.u, velocity)
    control, governed, stopped = govern(steered, surroundings, robot=robot, shield=shield)
    if surroundings.backwards is not None:  # theorem 1's limit behind is a side of the box
        governed |= solution.active[0] & (box.low[0] > robot.min_speed)
    solved = solution.violation <= 0
    lost = (greatest(solution.multipliers) > 0) | ~solved | governed
    if saturates:
        lost = lost | jnp.any(asked != nominal, axis=0)
    return Shielded(
        control=control,
        nominal=nominal,
        intervened=(greatest(solution.multipliers[_BOX_ROWS:]) > 0) | ~solved | governed,
        correction=length(robot.to_unit_box(control) - robot.to_unit_box(nominal)),
        feasible=solved & surroundings.clear & jnp.isfinite(jnp.sum(rows.b, axis=0)),
        residual=greatest(rows.A[:, 0] * solution.u[0] + rows.A[:, 1] * solution.u[1] - rows.b),
        clearance=surroundings.clearance,
        active=_by_boundary(shield, robot, solution.active[_BOX_ROWS:], surroundings),
        governed=governed,
        stopped=stopped,
        lost_gradient=lost,
    )


def unfiltered(
    nominal: Control, surroundings: Surroundings, *, robot: Robot, governor: Shield | None = None
) -> Shielded:
    """The nominal control cut off at the actuator limits and, with a `governor`, made safe by theorem 1 or 3 alone.

    Where the nominal control is not finite the control is 0 with a `governor`, else NaN.
    """
    control = jnp.where(jnp.isfinite(nominal), robot.limit(nominal), jnp.nan)
    acted = stopped = jnp.zeros(nominal.shape[1:], bool)
    if governor is not None:
        control, acted, stopped = govern(control, surroundings, robot=robot, shield=governor)
    return Shielded(
        control=control,
        nominal=nominal,
        intervened=acted,
        correction=length(robot.to_unit_box(control) - robot.to_unit_box(nominal)),
        feasible=surroundings.clear,
        residual=jnp.zeros_like(surroundings.clearance),
        clearance=surroundings.clearance,
        active=jnp.zeros(surroundings.barriers.value.shape, bool),
        governed=acted,
        stopped=stopped,
        lost_gradient=acted,
    )


def adopt(control: Control, nominal: Control, surroundings: Surroundings, *, robot: Robot, shield: Shield) -> Shielded:
    """A control computed from `nominal` without the program, such as by a map onto the safe set.

    It is cut off at the actuator limits and governed, so that it is safe in any case. Any change beyond `CHANGED`
    half-widths counts as an intervention, and the boundary whose row the nominal control exceeds by most, or meets with
    least to spare, as what held it.
    """
    rows = _rows(shield, robot, _Ingredients.of(shield, surroundings, None))
    wanted = robot.to_swing(robot.limit(nominal), surroundings.velocity)
    excess = rows.A[:, 0] * wanted[0] + rows.A[:, 1] * wanted[1] - rows.b
    done = unfiltered(robot.limit(control), surroundings, robot=robot, governor=shield)
    correction = length(robot.to_unit_box(done.control) - robot.to_unit_box(nominal))
    within = length(robot.to_unit_box(done.control) - robot.to_unit_box(robot.limit(nominal)))
    intervened = done.governed | (within > CHANGED)
    held = _by_boundary(shield, robot, (excess == jnp.max(excess, axis=0)) & intervened, surroundings)
    return done._replace(nominal=nominal, intervened=intervened, correction=correction, active=held)


def govern(
    control: Control, surroundings: Surroundings, *, robot: Robot = UNICYCLE, shield: Shield = SHIELD
) -> tuple[Control, Flag, Flag]:
    """Theorem 1 alone: the same turn rate, the speed reduced to a safe one. For a robot with inertia theorem 3.

    Where rounding has moved the body beyond the margin, only a speed that brings it back is kept (theory.md §2.5).
    What the motors make of `control` counts, and is sent: a robot that is faster than measured would reach more of a
    larger command. Returns the control, whether it was changed, and whether it became *stop* because nothing else could
    be certified.
    """
    limit, stopped = surroundings.speed_limit, jnp.zeros(control.shape[1:], bool)
    # Stand still where pose or control is not finite.
    known = jnp.isfinite(limit) & jnp.all(jnp.isfinite(control), axis=0)
    control = robot.reach(control, surroundings.velocity)
    if surroundings.motion is None:
        governed = control[0] > limit
        speed = jnp.where(governed, limit, control[0])
        creeps = speed < surroundings.least_speed
        if surroundings.backwards is not None:
            most, least = surroundings.backwards
            governed = governed | (control[0] < -most)
            speed = jnp.maximum(speed, -most)
            creeps = ((speed >= 0) & creeps) | ((speed < 0) & (-speed < least))
        safe = jnp.stack([jnp.where(creeps, 0, speed), control[1]])
        governed = governed | (creeps & (control[0] != 0 if robot.reverses else control[0] > 0))
    else:
        assert isinstance(robot, Inertial)
        budget = shield.budget.at_execution(robot)
        margin = shield.inflation + shield.margin
        seen = jax.lax.stop_gradient((surroundings.motion, control))
        safe, governed, stopped = certify(robot, budget, margin, 0.5 * shield.margin, *seen)
        safe = jnp.where(governed, safe, control)
    return jnp.where(known, safe, 0), governed | ~known, stopped | ~known


def distance(shield: Shield, robot: Robot, shielded: Shielded, velocity: Control | None = None) -> Scalar:
    """‖u − Π(u)‖²_W of a filtered nominal control, in units of full speed squared, with Π held constant.

    Its gradient with respect to the nominal control is that of the squared distance to the safe set (theory.md §3 B).
    """
    nominal = robot.to_swing(shielded.nominal, velocity)
    projected = jax.lax.stop_gradient(robot.to_swing(shielded.control, velocity))
    turn_weight = (shield.offset / robot.dt) ** 2
    return ((nominal[0] - projected[0]) ** 2 + turn_weight * (nominal[1] - projected[1]) ** 2) / robot.max_speed**2


def _box(robot: Robot, surroundings: Surroundings, like: Scalar) -> qp.Box:
    """The limits of (v, w); of a robot without inertia that reverses also theorem 1's behind it, whose body no row of
    theorem 2 keeps clear there (theory.md §2.8)."""
    low, high = robot.swing_box(like, surroundings.velocity)
    if surroundings.backwards is not None:
        low = jnp.stack([jnp.maximum(low[0], -surroundings.backwards.speed_limit), low[1]])
    return qp.Box(low, high)


class _Ingredients(NamedTuple):
    """What the program's rows are built from."""

    found: tuple[Barriers, ...]
    gains: GainRule

    @classmethod
    def of(cls, shield: Shield, around: Surroundings, gains: Gains | None) -> "_Ingredients":
        return cls(around.found, as_rule(shield.gain if gains is None else gains, around.barriers))


def _rows(shield: Shield, robot: Robot, ingredients: _Ingredients) -> Halfplanes:
    """All rows but the actuator box."""
    gain = ingredients.gains(ingredients.found[0])
    pairs = zip(shield.kinds, ingredients.found, strict=False)
    return qp.join(*(kind.rows(robot, found, gain) for kind, found in pairs))


def _by_boundary(shield: Shield, robot: Robot, held: Bool[Array, "rows *batch"], surroundings: Surroundings) -> Array:
    """Which boundaries hold the control, from the rows that do; per kind of barrier, in the order of the scene."""
    parts, first = [], 0
    for kind, found in zip(shield.kinds, surroundings.found, strict=False):
        count, each = len(found.value), kind.rows_each(robot)
        rows = held[first : first + count * each].reshape(count, each, *held.shape[1:])
        any_row = rows[:, 0]
        for row in range(1, each):  # `any` is slow on CPU
            any_row = any_row | rows[:, row]
        if count > 1:
            any_row = jnp.put_along_axis(jnp.zeros_like(any_row), found.boundary, any_row, axis=0, inplace=False)
        parts.append(any_row)
        first += count * each
    return jnp.concatenate(parts)
