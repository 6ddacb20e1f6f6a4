"""The safety layer: barrier rows and actuator box in a quadratic program, then the speed governor.

    (v, w)*  =  argmin (v − v̄)² + (d/Δ)² (w − w̄)²   subject to the rows of theorem 2 and the actuator box
    v        ≤  governed speed of theorem 1

The metric is the displacement of the virtual control point. Theorem 1 alone makes every output safe, whatever the
program returns; theorem 2 keeps the program feasible and the governor idle (theory.md §2.3).
"""

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from safepursuit import qp
from safepursuit.barriers import Barrier, Barriers, ControlPoint, GainRule, Gains, Separation, as_rule
from safepursuit.barriers.barrier import in_heading_frame
from safepursuit.barriers.governor import governed_speed, governor_swing
from safepursuit.barriers.separation import check_robot_gain
from safepursuit.geometry import direction, length
from safepursuit.qp import Halfplanes
from safepursuit.qp.search import greatest
from safepursuit.robot import Robot, Unicycle
from safepursuit.scene import Scene, boundaries, well_formed
from safepursuit.shapes import Control, Flag, Pose, Scalar, floating

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
    """Added to the robot's radius by the governor, and twice by the rows [m]: float32 round-off in an arena of tens of
    metres; twice, so that the governor stays idle where the robot slides along a boundary."""
    robot_barrier: bool = False
    """Also limit the approach to the other robot (theory.md §2.4); off, because capture needs it."""
    robot_gain: float = 0.5
    """γ of the inter-robot row, per step."""
    min_separation: float = 0.35
    """Distance of centres [m] that the inter-robot row keeps."""
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

    @property
    def kinds(self) -> tuple[Barrier, ...]:
        """The kinds of barriers whose rows make up the program."""
        own = (Separation(self.min_separation, self.robot_gain),) if self.robot_barrier else ()
        return ControlPoint(self.offset, 2 * self.margin), *own


UNICYCLE, SHIELD = Unicycle(), Shield()
"""The robot and the parameters where none are given."""


class Surroundings(NamedTuple):
    """A pose in a scene as the safety layer uses it, for any nominal control."""

    found: tuple[Barriers, ...]
    """The barriers of each kind, in the order of `Shield.kinds`."""
    speed_limit: Scalar
    """v̄_A [m/s] of theorem 1 for any turn rate within the limit; NaN where pose or scene are not to be believed."""
    clearance: Scalar
    """Distance [m] of the body from the nearest boundary; NaN where pose or scene are not finite."""
    clear: Flag
    """Pose and scene are to be believed, and the body overlaps nothing by more than the margin: from here the theorems
    hold."""

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
    """The speed governor acted (never, from a state in the safe set of theorem 2)."""
    lost_gradient: Flag
    """The map from the nominal control lost rank: a row, of the actuator box too, was active."""


def check(shield: Shield, robot: Robot, capture_radius: float) -> None:
    """Raise ValueError if these parameters break an assumption of the theorems or prevent capture."""
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
    *,
    nearest_first: bool = True,
) -> Surroundings:
    """The surroundings of a pose; with `nearest_first` False the barriers keep the order of `scene.boundaries`."""
    pose, opponent = floating(pose), None if opponent is None else floating(opponent)
    boundary, *others = shield.kinds
    if not nearest_first:
        boundary = replace(boundary, nearest_first=False)  # type: ignore[type-var]
    kinds = (kind.find(robot, pose, scene, opponent) for kind in (boundary, *others))
    found = tuple(one for one in kinds if one is not None)
    around = boundaries(scene, pose[:2])
    # Sums, because XLA's least of some numbers need not be NaN where one of them is.
    sound = jnp.isfinite(jnp.sum(around.distance, axis=0))
    clearance = jnp.where(sound, jnp.min(around.distance, axis=0) - robot.radius, jnp.nan)
    known = sound & (jnp.abs(pose[2]) <= MAX_HEADING)
    for one in found[1:]:
        known &= jnp.isfinite(jnp.sum(one.value, axis=0))
    swing = governor_swing(robot, jnp.full_like(pose[2], robot.max_turn_rate))
    slack = around.distance - (robot.radius + shield.margin)
    speed = governed_speed(robot, *in_heading_frame(direction(pose[2]), around.normal), slack, swing)
    # At a disc's very centre it has no normal, and every way out is as long.
    centred = jnp.min(around.distance + around.radius, axis=0) <= 0
    return Surroundings(
        found=found,
        speed_limit=jnp.where(known, jnp.where(centred, 0, speed), jnp.nan),
        clearance=clearance,
        clear=known & (clearance >= -shield.margin),
    )


def problem(shield: Shield, robot: Robot, surroundings: Surroundings, gains: Gains | None = None) -> Halfplanes:
    """The safe set of (v, w), w = sin(ωΔ), as half-planes: the box, then the rows of each kind of barrier.

    `gains` is γ in [0, 1]: one number, one per boundary in the order of `surroundings`, or a rule; None is
    `shield.gain`. u = 0 is always inside.
    """
    box = _box(robot, surroundings.clearance)
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
) -> Shielded:
    """The safe control nearest to `nominal`, in the displacement of the virtual control point.

    `nominal` (2, …) [m/s, rad/s], `pose` and `opponent` (3, …) [m, m, rad] are arrays or lists of numbers with the same
    batch axes, if any; `scene` is one for all of them, or one per pose. `gains` is γ in [0, 1]: one number, or one per
    boundary in the order of `scene.boundaries`, for all poses or per pose. Raises ValueError for other shapes.

    Safe from every pose whose body is clear of the scene, for any gains in [0, 1] and any nominal control; a nominal
    control that is not finite counts as 0. Elsewhere `feasible` is False: a body that overlaps something moves only
    outwards, and where the pose is not finite, its heading beyond `MAX_HEADING`, or a present disc not finite or of
    negative radius, the robot stands still. Such a disc in a scene of NumPy arrays, which can be looked at, raises
    ValueError. Differentiable in `nominal`, `pose` and `gains`. Computed in float32 or float64; smaller numbers, such
    as float16, are computed in float32.
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
    surroundings = survey(shield, robot, pose, scene, opponent)
    if gains is not None and not isinstance(gains, (int, float)):
        gains, order = floating(gains), surroundings.barriers.boundary
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
    nominal = jnp.where(finite, nominal, 0)
    build, ingredients = partial(_rows, shield, robot), _Ingredients.of(shield, surroundings, gains)
    box, metric = _box(robot, nominal[0]), jnp.asarray([1.0, (shield.offset / robot.dt) ** 2], nominal.dtype)
    solution = qp.project_onto(robot.to_swing(nominal), build, ingredients, metric, box)
    rows = qp.join(qp.sides(box), build(ingredients))
    control = robot.limit(robot.from_swing(solution.u))
    control, governed = govern(control, surroundings)
    solved = solution.violation <= 0
    return Shielded(
        control=control,
        nominal=nominal,
        intervened=(greatest(solution.multipliers[_BOX_ROWS:]) > 0) | ~solved | governed,
        correction=length(robot.to_unit_box(control) - robot.to_unit_box(nominal)),
        feasible=solved & surroundings.clear & jnp.isfinite(jnp.sum(rows.b, axis=0)),
        residual=greatest(rows.A[:, 0] * solution.u[0] + rows.A[:, 1] * solution.u[1] - rows.b),
        clearance=surroundings.clearance,
        active=_by_boundary(shield, solution.active[_BOX_ROWS:], surroundings),
        governed=governed,
        lost_gradient=(greatest(solution.multipliers) > 0) | ~solved | governed,
    )


def unfiltered(nominal: Control, surroundings: Surroundings, *, robot: Robot, governed: bool = False) -> Shielded:
    """The nominal control cut off at the actuator limits and, if `governed`, slowed by theorem 1; no program.

    Where the nominal control is not finite the control is 0 if `governed`, else NaN.
    """
    control = jnp.where(jnp.isfinite(nominal), robot.limit(nominal), jnp.nan)
    acted = jnp.zeros(nominal.shape[1:], bool)
    if governed:
        control, acted = govern(control, surroundings)
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
        lost_gradient=acted,
    )


def adopt(control: Control, nominal: Control, surroundings: Surroundings, *, robot: Robot, shield: Shield) -> Shielded:
    """A control computed from `nominal` without the program, such as by a map onto the safe set.

    It is cut off at the actuator limits and governed, so that it is safe in any case. Any change beyond `CHANGED`
    half-widths counts as an intervention, and the boundary whose row the nominal control exceeds by most, or meets with
    least to spare, as what held it.
    """
    rows, wanted = (
        _rows(shield, robot, _Ingredients.of(shield, surroundings, None)),
        robot.to_swing(robot.limit(nominal)),
    )
    excess = rows.A[:, 0] * wanted[0] + rows.A[:, 1] * wanted[1] - rows.b
    done = unfiltered(robot.limit(control), surroundings, robot=robot, governed=True)
    correction = length(robot.to_unit_box(done.control) - robot.to_unit_box(nominal))
    within = length(robot.to_unit_box(done.control) - robot.to_unit_box(robot.limit(nominal)))
    intervened = done.governed | (within > CHANGED)
    held = _by_boundary(shield, (excess == jnp.max(excess, axis=0)) & intervened, surroundings)
    return done._replace(nominal=nominal, intervened=intervened, correction=correction, active=held)


def govern(control: Control, surroundings: Surroundings) -> tuple[Control, Flag]:
    """Theorem 1 alone: the same turn rate, the speed reduced to a safe one.

    `control` must respect the actuator limits. Returns the control, and whether the speed was reduced.
    """
    limit = surroundings.speed_limit
    governed = control[0] > limit
    safe = jnp.stack([jnp.where(governed, limit, control[0]), control[1]])
    # Stand still where pose or control is not finite.
    known = jnp.isfinite(limit) & jnp.all(jnp.isfinite(control), axis=0)
    return jnp.where(known, safe, 0), governed | ~known


def distance(shield: Shield, robot: Robot, shielded: Shielded) -> Scalar:
    """‖u − Π(u)‖²_W of a filtered nominal control, in units of full speed squared, with Π held constant.

    Its gradient with respect to the nominal control is that of the squared distance to the safe set (theory.md §3 B).
    """
    nominal = robot.to_swing(shielded.nominal)
    projected = jax.lax.stop_gradient(robot.to_swing(shielded.control))
    turn_weight = (shield.offset / robot.dt) ** 2
    return ((nominal[0] - projected[0]) ** 2 + turn_weight * (nominal[1] - projected[1]) ** 2) / robot.max_speed**2


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


def _box(robot: Robot, like: Scalar) -> qp.Box:
    """The actuator limits 0 ≤ v ≤ v̄, |w| ≤ sin φ̄, with the batch axes of `like`."""
    swing = math.sin(robot.max_swing)
    low, high = (jnp.asarray(limits, like.dtype) for limits in ([0.0, -swing], [robot.max_speed, swing]))
    return qp.Box(*(jnp.broadcast_to(one.reshape(2, *(1,) * like.ndim), (2, *like.shape)) for one in (low, high)))


def _by_boundary(shield: Shield, held: Bool[Array, "rows *batch"], surroundings: Surroundings) -> Array:
    """Which boundaries hold the control, from the rows that do; per kind of barrier, in the order of the scene."""
    parts, first = [], 0
    for kind, found in zip(shield.kinds, surroundings.found, strict=False):
        count, each = len(found.value), kind.rows_each
        rows = held[first : first + count * each].reshape(count, each, *held.shape[1:])
        any_row = rows[:, 0]
        for row in range(1, each):  # `any` is slow on CPU
            any_row = any_row | rows[:, row]
        if count > 1:
            any_row = jnp.put_along_axis(jnp.zeros_like(any_row), found.boundary, any_row, axis=0, inplace=False)
        parts.append(any_row)
        first += count * each
    return jnp.concatenate(parts)
