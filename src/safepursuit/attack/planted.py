"""Known mistakes, planted: safety layers that look right and are not, each of which the search must find.

A search that finds nothing says little unless the same search finds these. `CONTROL` is the program alone, which is
sound from a start in its safe set (theorem 2): what finds the mistakes in programs finds nothing in it.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

import jax.numpy as jnp

from safepursuit import qp
from safepursuit import shield as safety
from safepursuit.attack.worlds import World, behind, filtered, governed
from safepursuit.barriers import Barrier, Barriers, ControlPoint
from safepursuit.barriers.control_point import standoff
from safepursuit.policy.safe_set import swing_range
from safepursuit.qp import Halfplanes
from safepursuit.robot import Budget, Inertial, Robot, Unicycle
from safepursuit.scene import Scene
from safepursuit.shapes import Control, Pose, Rows, Scalar
from safepursuit.shield import Shield, Shielded


def _outcome(control: Control, nominal: Control, around: safety.Surroundings, solved: Any) -> Shielded:
    no = jnp.zeros(control.shape[1:], bool)
    nothing = jnp.zeros(around.barriers.value.shape, bool)
    zero = jnp.zeros_like(control[0])
    return Shielded(control, nominal, no, zero, solved, zero, around.clearance, nothing, no, no, no)


def program_alone(nominal: Control, pose: Pose, scene: Scene, robot: Robot, shield: Shield, gains: Any, velocity: Any):
    """The quadratic program without the governor."""
    around = safety.survey(shield, robot, pose, scene, velocity=velocity, nearest_first=False)
    rows = safety.problem(shield, robot, around, gains)
    metric = jnp.asarray([1.0, (shield.offset / robot.dt) ** 2], pose.dtype)
    found = qp.project(robot.to_swing(nominal), rows, metric)
    return _outcome(robot.limit(robot.from_swing(found.u)), nominal, around, found.violation <= 0)


def outer_box(nominal: Control, pose: Pose, scene: Scene, robot: Robot, shield: Shield, gains: Any, velocity: Any):
    """A Beta policy on the bounding box of the polygon instead of the polygon, without the governor."""
    around = safety.survey(shield, robot, pose, scene, velocity=velocity, nearest_first=False)
    rows = safety.problem(shield, robot, around, gains)
    z = jnp.clip(0.5 * (robot.to_unit_box(nominal) + 1), 0, 1)
    least, most = swing_range(rows)
    fastest = swing_range(Halfplanes(rows.A[:, ::-1], rows.b))[1]
    control = robot.from_swing(jnp.stack([fastest * z[0], least + (most - least) * z[1]]))
    return _outcome(control, nominal, around, jnp.ones(pose.shape[1:], bool))


def as_if_euler(nominal: Control, pose: Pose, scene: Scene, robot: Any, shield: Shield, gains: Any, velocity: Any):
    """The governor with ψ = 0 before a robot that drives arcs."""
    return governed(nominal, pose, scene, replace(robot, integrator="euler"), shield, gains, velocity)


def ahead_only(nominal: Control, pose: Pose, scene: Scene, robot: Any, shield: Shield, gains: Any, velocity: Any):
    """The shield with the limit ahead for both ways, before a robot that reverses."""
    around = safety.survey(shield, robot, pose, scene, velocity=velocity)
    around = around._replace(backwards=safety.Backwards(around.speed_limit, around.least_speed))
    return safety.guard(nominal, around, robot=robot, shield=shield, gains=gains)


def nearest_eight(nominal: Control, pose: Pose, scene: Scene, robot: Any, shield: Shield, gains: Any, velocity: Any):
    """The shield, which knows eight discs at most."""
    known = scene.present & (jnp.arange(len(scene.present)) < 8)[:, None]
    return filtered(nominal, pose, scene._replace(present=known), robot, shield, gains, velocity)


def without_ramp(nominal: Control, pose: Pose, scene: Scene, robot: Any, shield: Shield, gains: Any, velocity: Any):
    """The certificate with a way that lacks what the old speed still drives within the step."""
    believed = _NoRamp(**{one.name: getattr(robot, one.name) for one in fields(robot)})
    return filtered(nominal, pose, scene, believed, shield, gains, velocity)


@dataclass(frozen=True)
class _NoRamp(Inertial):
    def speed_for(self, v_before: Scalar, way: Scalar) -> Scalar:
        return super().speed_for(jnp.zeros_like(v_before), way)


@dataclass(frozen=True)
class _CentreRadius(ControlPoint):
    """The point ahead keeps the distance that the centre needs: ρ_q = ρ."""

    def find(self, robot: Robot, pose: Pose, scene: Scene, opponent: Pose | None = None) -> Barriers:
        found = super().find(robot, pose, scene, opponent)
        body = replace(robot, radius=robot.radius + self.margin)  # type: ignore[type-var]
        return found._replace(value=found.value + standoff(body, self.offset, found.radius) - body.radius)


@dataclass(frozen=True)
class _NoTurnTerm(ControlPoint):
    """Both rows of a boundary without ±κ c_β⁺ |w|."""

    def rows(self, robot: Robot, barriers: Barriers, gain: Rows) -> Halfplanes:
        A, b = super().rows(robot, barriers, gain)
        turn = 0.5 * (A[0::2, 1] + A[1::2, 1])
        return Halfplanes(A.at[0::2, 1].set(turn).at[1::2, 1].set(turn), b)


@dataclass(frozen=True)
class _CentreRadiusShield(Shield):
    @property
    def kinds(self) -> tuple[Barrier, ...]:
        return (_CentreRadius(self.offset, self.added + self.margin),)


@dataclass(frozen=True)
class _NoTurnTermShield(Shield):
    @property
    def kinds(self) -> tuple[Barrier, ...]:
        return (_NoTurnTerm(self.offset, self.added + self.margin),)


_SAFE: dict[str, Any] = {"guard": program_alone, "start_clearance": 0.25}
"""For programs without a governor: starts in the safe set."""

CONTROL: World = behind("program alone, sound", Unicycle(), discs=8, **_SAFE)


def mistakes() -> tuple[World, ...]:
    """One world for each known mistake."""
    euler, arc, inertial = Unicycle(), Unicycle(integrator="arc"), Inertial()
    noisy = behind("", euler, Budget(pose=0.02), discs=8)
    return (
        World("radius of the centre at the point ahead", euler, _CentreRadiusShield(), discs=8, **_SAFE),
        World("no |w| term", euler, _NoTurnTermShield(), discs=8, **_SAFE),
        behind("arc with ψ = 0", arc, guard=as_if_euler, discs=8),
        behind("governor that looks only ahead", replace(euler, min_speed=-1.0), guard=ahead_only, discs=8),
        behind("rows beyond 8 discs dropped", euler, guard=nearest_eight, discs=16),
        behind("outer box of a Beta policy, no clamp", euler, guard=outer_box, discs=4, start_clearance=0.25),
        behind("stop without the ramp", inertial, guard=without_ramp, discs=8),
        replace(noisy, name="margin of the position error missing", shield=Shield(), truth=noisy.errors),
    )
