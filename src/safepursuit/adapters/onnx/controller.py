"""What the file computes: the deployed policy as one function of what a robot can measure.

All but the watchdog is the package's own: observation, normaliser, network, head and safety layer are those that were
trained. Every number is in double precision, as NumPy and robots' middleware hold them.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from safepursuit.agents import Trained, predicted
from safepursuit.game import Game, GameState, RobotState, Role, observe
from safepursuit.policy import Policy, Situation
from safepursuit.robot import Robot
from safepursuit.scene import Scene
from safepursuit.shapes import Control, Flag, Pose
from safepursuit.shield import MAX_HEADING, Shield, Shielded, survey

BELIEVED = 1e6
"""Inputs whose sizes [m, rad and their rates] add up to more are no measurements."""

AWAY = 1e7
"""Coordinates [m] of padding, beyond `BELIEVED`."""

NOTHING, WALLS, OTHER_ROBOT, LIMITS, GOVERNOR, WATCHDOG = -1, 100, 110, 120, 130, 140

CONSTRAINTS: dict[int, str] = {
    NOTHING: "nothing: the control is what the network asks for",
    0: "the disc in row 0 of the input, and so on up to 99",
    WALLS: "the wall at +x",
    WALLS + 1: "the wall at -x",
    WALLS + 2: "the wall at +y",
    WALLS + 3: "the wall at -y",
    OTHER_ROBOT: "the other robot",
    LIMITS: "the limit v >= 0",
    LIMITS + 1: "the limit v <= max_speed",
    LIMITS + 2: "the limit omega >= -max_turn_rate",
    LIMITS + 3: "the limit omega <= max_turn_rate",
    LIMITS + 4: "the limit of the wheels, of a robot with a wheel base",
    GOVERNOR: "the speed governor, or the certificate of a robot with inertia",
    WATCHDOG: "the watchdog: the inputs are not to be trusted, the robot stands still",
}
"""What the output `active` says."""


class Measured(NamedTuple):
    """The inputs. World frame; walls at x = ±half_extents[0], y = ±half_extents[1]."""

    pose: Pose
    control: Control
    """The own speed and turn rate now."""
    opponent_pose: Pose
    opponent_control: Control
    discs: Float[Array, "3 discs *batch"]
    """x, y, radius [m]; a row of three NaN or of three zeros is padding."""
    half_extents: Float[Array, "2 *batch"]
    """[m]"""
    pending: Float[Array, "2 delay *batch"] | None = None
    """Commands on their way [m/s, rad/s], the oldest first; of a run whose budget has a delay."""


class Command(NamedTuple):
    """The outputs."""

    safe_control: Control
    """For the next `dt` seconds; within the actuator limits, whatever was measured."""
    nominal_control: Control
    """What the network asks for; 0 where the inputs are not to be trusted."""
    active: Int[Array, "*batch"]
    """What holds the control, see `CONSTRAINTS`: one of them, where there are two."""
    feasible: Flag
    """The guarantee holds: the inputs are to be trusted, the body overlaps nothing, and the program had a solution."""
    clearance: Float[Array, "*batch"]
    """Distance [m] of the body from the nearest disc or wall; 0 where the inputs are not to be trusted."""


def drive(policy: Policy, game: Game, shield: Shield, measured: Measured, role: Role = "pursuer") -> Command:
    """The deployed policy's control for the next step; standing still where the inputs are not to be trusted.

    The same as `deployed`, in fewer steps: the boundaries stay in their order, and for the safety layer, unlike the
    network, padding is a disc too far away to matter.
    """
    seen = _scene(measured)
    x, y, size = jnp.where(seen.present, measured.discs, jnp.asarray([AWAY, AWAY, 0.0])[:, None])
    scene = Scene(measured.half_extents, jnp.stack([x, y]), size, jnp.ones(len(size), bool))
    return _command(policy, game, shield, measured, role, seen, scene)


def deployed(policy: Policy, game: Game, shield: Shield, measured: Measured, role: Role = "pursuer") -> Command:
    """What the package itself would do, on a batch as well."""
    return _command(policy, game, shield, measured, role, _scene(measured))


def _scene(measured: Measured) -> Scene:
    discs = measured.discs
    padding = jnp.all(jnp.isnan(discs), axis=0) | (jnp.sum(jnp.abs(discs), axis=0) == 0)
    return Scene(measured.half_extents, discs[:2], discs[2], ~padding)


def _command(
    policy: Policy,
    game: Game,
    shield: Shield,
    measured: Measured,
    role: Role,
    scene: Scene,
    unsorted: Scene | None = None,
) -> Command:
    """The command in a scene; for the safety layer in `unsorted`, if any, whose boundaries stay in their order."""
    robot = game.limits(role)
    pose, velocity, opponent, opponent_control, *_, pending = measured
    for command in () if pending is None else jnp.moveaxis(pending, 1, 0):
        pose, velocity = predicted(robot, pose, velocity, command)
    robots = RobotState(pose, velocity), RobotState(opponent, opponent_control)
    if role == "evader":
        robots = robots[::-1]
    observation = observe(GameState(robots, scene, jnp.asarray(0)), game, role)
    surveyed, nearest_first = (scene, True) if unsorted is None else (unsorted, False)
    chased = opponent if role == "pursuer" else None  # an evader's barriers do not include the pursuer
    around = survey(shield, robot, pose, surveyed, chased, velocity, nearest_first=nearest_first)
    done = Trained(policy, shield).respond(observation, Situation(pose, opponent, scene, around))
    trusted = _believable(measured, scene, robot) & (jnp.sum(jnp.abs(done.control), axis=0) < jnp.inf)
    return Command(
        safe_control=jnp.where(trusted, done.control, 0),
        nominal_control=jnp.where(trusted, done.nominal, 0),
        active=jnp.where(trusted, _active(done, scene.radius.shape[0], robot), WATCHDOG),
        feasible=trusted & done.feasible,
        clearance=jnp.where(trusted, done.clearance, 0),
    )


def _believable(measured: Measured, scene: Scene, robot: Robot) -> Flag:
    """Whether these are measurements: finite, with sizes that add up to no more than `BELIEVED` without padding, a
    heading within `MAX_HEADING`, no radius negative, walls that leave room for the body, and, where the control depends
    on it, a velocity within twice the robot's limits."""
    *robots, discs, half_extents, pending = measured
    discs = jnp.where(scene.present, discs, 0)
    numbers = jnp.concatenate([*robots, half_extents])
    size = jnp.sum(jnp.abs(numbers), axis=0) + jnp.sum(jnp.abs(discs), axis=(0, 1))
    if pending is not None:
        size = size + jnp.sum(jnp.abs(pending), axis=(0, 1))
    room = jnp.min(half_extents, axis=0) > robot.radius
    if robot.has_inertia:
        speed, turn_rate = jnp.abs(measured.control)
        room &= (speed <= 2 * robot.max_speed) & (turn_rate <= 2 * robot.max_turn_rate)
    return (size <= BELIEVED) & (jnp.abs(measured.pose[2]) <= MAX_HEADING) & (jnp.min(discs[2], axis=0) >= 0) & room


def _active(done: Shielded, discs: int, robot: Robot) -> Int[Array, "*batch"]:
    """A boundary before the governor, and that before the limits; of several the one with the lowest number."""
    nominal, rank = done.nominal, done.nominal.ndim - 1
    low, high = (
        jnp.asarray(ends, nominal.dtype).reshape((2,) + (1,) * rank)
        for ends in ((0, -robot.max_turn_rate), (robot.max_speed, robot.max_turn_rate))
    )
    boundaries = [*range(discs), *range(WALLS, WALLS + 4), OTHER_ROBOT][: len(done.active)]

    def first(numbers: list[int], holds: Bool[Array, "numbers *batch"]) -> Int[Array, "*batch"]:
        return jnp.min(jnp.where(holds, jnp.asarray(numbers).reshape((-1,) + (1,) * rank), WATCHDOG), axis=0)

    boundary = first(boundaries, done.active)
    limits, holds = [LIMITS, LIMITS + 2, LIMITS + 1, LIMITS + 3], [nominal < low, nominal > high]
    if robot.wheel_base is not None:
        limits, holds = [*limits, LIMITS + 4], [*holds, robot.wheel_share(robot.within_box(nominal))[None] < 1]
    limit = first(limits, jnp.concatenate(holds))
    other = jnp.where(done.governed, GOVERNOR, jnp.where(limit < WATCHDOG, limit, NOTHING))
    return jnp.where(boundary < WATCHDOG, boundary, other)
