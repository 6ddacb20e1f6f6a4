"""A pose in a scene as the safety layer sees it: clearance, barriers, and the limits of theorem 1."""

from dataclasses import replace
from typing import NamedTuple

import jax.numpy as jnp

from safepursuit.barriers import Barriers
from safepursuit.barriers.barrier import in_heading_frame
from safepursuit.barriers.governor import governed_speed, governor_swing, least_speed, may_leave
from safepursuit.barriers.stop_sector import Motion, until_rest
from safepursuit.geometry import direction
from safepursuit.robot import Robot
from safepursuit.scene import Scene, boundaries
from safepursuit.shapes import Control, Flag, Pose, Rows, Scalar, floating
from safepursuit.shield.parameters import Shield

MAX_HEADING = 1e4
"""Headings [rad] beyond this, either way, are not believed: float32 has no more than milliradians of them."""


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
