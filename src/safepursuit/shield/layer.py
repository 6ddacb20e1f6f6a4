"""A safe control for a nominal one: the program, the governor of theorem 1, the certificate of theorem 3."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from safepursuit import qp
from safepursuit.barriers import Gains
from safepursuit.barriers.stop_sector import certify
from safepursuit.geometry import length
from safepursuit.qp.search import greatest
from safepursuit.robot import Inertial, Robot
from safepursuit.scene import Scene, well_formed
from safepursuit.shapes import Control, Flag, Scalar, floating
from safepursuit.shield.parameters import SHIELD, UNICYCLE, Shield
from safepursuit.shield.program import BOX_ROWS, Ingredients, actuator_box, barrier_rows, by_boundary
from safepursuit.shield.surroundings import Surroundings, survey

CHANGED = 1e-3
"""Half-widths of the actuator box from which two controls count as different."""


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
    build, ingredients = partial(barrier_rows, shield, robot), Ingredients.of(shield, surroundings, gains)
    box = actuator_box(robot, surroundings, nominal[0])
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
        intervened=(greatest(solution.multipliers[BOX_ROWS:]) > 0) | ~solved | governed,
        correction=length(robot.to_unit_box(control) - robot.to_unit_box(nominal)),
        feasible=solved & surroundings.clear & jnp.isfinite(jnp.sum(rows.b, axis=0)),
        residual=greatest(rows.A[:, 0] * solution.u[0] + rows.A[:, 1] * solution.u[1] - rows.b),
        clearance=surroundings.clearance,
        active=by_boundary(shield, robot, solution.active[BOX_ROWS:], surroundings),
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
    rows = barrier_rows(shield, robot, Ingredients.of(shield, surroundings, None))
    wanted = robot.to_swing(robot.limit(nominal), surroundings.velocity)
    excess = rows.A[:, 0] * wanted[0] + rows.A[:, 1] * wanted[1] - rows.b
    done = unfiltered(robot.limit(control), surroundings, robot=robot, governor=shield)
    correction = length(robot.to_unit_box(done.control) - robot.to_unit_box(nominal))
    within = length(robot.to_unit_box(done.control) - robot.to_unit_box(robot.limit(nominal)))
    intervened = done.governed | (within > CHANGED)
    held = by_boundary(shield, robot, (excess == jnp.max(excess, axis=0)) & intervened, surroundings)
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
