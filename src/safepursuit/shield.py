"""The safety layer: barrier rows and actuator box in a quadratic program, then the speed governor.

    (v, w)*  =  argmin (v − v̄)² + (d/Δ)² (w − w̄)²   subject to the rows of theorem 2 and the actuator box
    v        ≤  governed speed of theorem 1

The metric is the displacement of the virtual control point. Theorem 1 alone makes every output safe, whatever the
program returned; theorem 2 makes the program feasible forever and the governor idle (theory.md §2.3). Building the
program (`problem`) and solving it (`filter`) are two functions, so that a test can look at the program.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from safepursuit import barrier, qp
from safepursuit import robot as motion
from safepursuit.barrier import Barriers
from safepursuit.geometry import direction, length, unit
from safepursuit.qp import Halfplanes
from safepursuit.robot import Unicycle
from safepursuit.scene import Scene, boundaries
from safepursuit.shapes import Control, Flag, Pose, Rows, Scalar

_BOX_ROWS = 4


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


def barriers(shield: Shield, robot: Unicycle, pose: Pose, scene: Scene) -> Barriers:
    """The barriers of theorem 2, one a disc and one a wall (in the order of `scene.boundaries`)."""
    ahead = direction(pose[2])
    around = boundaries(scene, pose[:2] + shield.offset * ahead)
    body = _padded(shield, robot, 2)
    discs = barrier.vcp_standoff(body, shield.offset, jnp.where(scene.present, scene.radius, 0))
    walls = jnp.full_like(around.distance[-4:], barrier.vcp_wall_standoff(body, shield.offset))
    facing, side = _in_heading_frame(ahead, around.normal)
    return Barriers(around.distance - jnp.concatenate([discs, walls]), facing, side)


def problem(
    shield: Shield,
    robot: Unicycle,
    pose: Pose,
    barriers: Barriers,
    gains: Rows | float | None = None,
    opponent: Pose | None = None,
) -> Halfplanes:
    """The safe set of (v, w), w = sin(ωΔ), as half-planes: barrier rows, the inter-robot row if asked for, the box.

    `gains` is γ in [0, 1], one number or one a boundary; None takes `shield.gain`. u = 0 is always inside.
    """
    gain = shield.gain if gains is None else gains
    parts = [barrier.vcp_rows(robot, shield.offset, barriers, jnp.broadcast_to(gain, barriers.value.shape))]
    if shield.robot_barrier and opponent is not None:
        away = pose[:2] - opponent[:2]
        facing, side = _in_heading_frame(direction(pose[2]), unit(away))
        parts.append(barrier.robot_row(robot, facing, side, length(away) - shield.min_separation, shield.robot_gain))
    parts.append(_box(robot, pose))
    # Column by column: the projection takes A apart into its columns, and XLA then never builds A.
    columns = [jnp.concatenate([part.A[:, column] for part in parts]) for column in (0, 1)]
    return Halfplanes(jnp.stack(columns, axis=1), jnp.concatenate([part.b for part in parts]))


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
    control that is not finite is replaced by braking. Differentiable in `nominal`, `pose` and `gains`.
    """
    finite = jnp.all(jnp.isfinite(nominal), axis=0)
    nominal = jnp.where(finite, nominal, 0)
    rows = problem(shield, robot, pose, barriers(shield, robot, pose, scene), gains, opponent)
    solution = qp.project(motion.to_swing(robot, nominal), rows, _metric(shield, robot, nominal.dtype))
    control = motion.limit(robot, motion.from_swing(robot, solution.u))
    control, governed, clearance = govern(control, pose, scene, robot=robot, shield=shield)
    feasible = solution.violation <= 0
    held = solution.active[:-_BOX_ROWS]
    count = scene.radius.shape[0] + 4
    active = jnp.concatenate([held[:count] | held[count : 2 * count], held[2 * count :]])
    return Shielded(
        control=control,
        nominal=nominal,
        intervened=(_greatest(solution.multipliers[:-_BOX_ROWS]) > 0) | ~feasible | governed,
        correction=length(motion.to_unit_box(robot, control) - motion.to_unit_box(robot, nominal)),
        feasible=feasible,
        residual=_greatest(rows.A[:, 0] * solution.u[0] + rows.A[:, 1] * solution.u[1] - rows.b),
        clearance=clearance,
        active=active,
        governed=governed,
        on_boundary=(_greatest(solution.multipliers) > 0) | ~feasible | governed,
    )


def unfiltered(
    nominal: Control, pose: Pose, scene: Scene, *, robot: Unicycle, shield: Shield, governed: bool = False
) -> Shielded:
    """What happens without the program: the nominal control cut off at the actuator limits, and, if `governed`, slowed
    by theorem 1. In the same terms as `filter`, so that the two can be compared."""
    control = motion.limit(robot, nominal)
    slowed, acted, clearance = govern(control, pose, scene, robot=robot, shield=shield)
    none = jnp.zeros_like(acted)
    control, acted = (slowed, acted) if governed else (control, none)
    return Shielded(
        control=control,
        nominal=nominal,
        intervened=acted,
        correction=length(motion.to_unit_box(robot, control) - motion.to_unit_box(robot, nominal)),
        feasible=~none,
        residual=jnp.zeros_like(clearance),
        clearance=clearance,
        active=jnp.zeros((scene.radius.shape[0] + 4, *none.shape), bool),
        governed=acted,
        on_boundary=acted,
    )


def govern(
    control: Control, pose: Pose, scene: Scene, *, robot: Unicycle, shield: Shield
) -> tuple[Control, Flag, Scalar]:
    """Theorem 1 alone: the same turn rate, the speed cut to what is safe. Brakes, never steers.

    `control` must respect the actuator limits. Returns the control, whether the speed was cut, and the clearance [m].
    """
    around = boundaries(scene, pose[:2])
    facing, side = _in_heading_frame(direction(pose[2]), around.normal)
    slack = around.distance - _padded(shield, robot, 1).radius
    speed = barrier.governed_speed(robot, facing, side, slack, barrier.governor_swing(robot, control[1]))
    governed = control[0] > speed
    safe = jnp.stack([jnp.where(governed, speed, control[0]), control[1]])
    # A pose that is not finite gives no distance to trust, and a control that is not none to drive: stand still.
    known = jnp.all(jnp.isfinite(pose), axis=0) & jnp.isfinite(speed) & jnp.all(jnp.isfinite(control), axis=0)
    clearance = jnp.min(around.distance, axis=0) - robot.radius
    return jnp.where(known, safe, 0), governed | ~known, clearance


def distance(shield: Shield, robot: Unicycle, shielded: Shielded) -> Scalar:
    """‖u − Π(u)‖²_W of a filtered nominal control, relative to full speed; with the projection held constant.

    Its gradient with respect to the nominal control is therefore exactly that of the squared distance to the safe set
    (theory.md §3 B). 1 means: beyond the safe set by as much as full speed.
    """
    nominal = motion.to_swing(robot, shielded.nominal)
    projected = jax.lax.stop_gradient(motion.to_swing(robot, shielded.control))
    turn_weight = (shield.offset / robot.dt) ** 2
    return ((nominal[0] - projected[0]) ** 2 + turn_weight * (nominal[1] - projected[1]) ** 2) / robot.max_speed**2


def _padded(shield: Shield, robot: Unicycle, margins: int) -> Unicycle:
    """The robot with the shield's margin added to its radius so many times."""
    radius = robot.radius + margins * shield.margin
    return Unicycle(radius, robot.max_speed, robot.max_turn_rate, robot.dt, robot.integrator)


def _greatest(values: Rows) -> Scalar:
    """The largest of the rows, at least 0. Compare it with 0 instead of asking `any`: that reduction is slow on CPU."""
    return jnp.max(values, axis=0, initial=0)


def _metric(shield: Shield, robot: Unicycle, dtype) -> Float[Array, "2"]:
    return jnp.asarray([1.0, (shield.offset / robot.dt) ** 2], dtype)


def _box(robot: Unicycle, pose: Pose) -> Halfplanes:
    """The actuator limits 0 ≤ v ≤ v̄, |w| ≤ sin φ̄ as rows."""
    swing = math.sin(robot.max_swing)
    sides = jnp.asarray([[-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]], pose.dtype)
    bounds = jnp.asarray([0.0, robot.max_speed, swing, swing], pose.dtype)
    batch = pose.shape[1:]
    ones = (1,) * len(batch)
    return Halfplanes(
        jnp.broadcast_to(sides.reshape(4, 2, *ones), (4, 2, *batch)),
        jnp.broadcast_to(bounds.reshape(4, *ones), (4, *batch)),
    )


def _in_heading_frame(ahead: Float[Array, "2 *batch"], normal: Float[Array, "2 *shape"]) -> tuple[Array, Array]:
    """(n·e, n·e⊥) of normals (2, rows, …) or (2, …)."""
    return ahead[0] * normal[0] + ahead[1] * normal[1], ahead[0] * normal[1] - ahead[1] * normal[0]
