"""What the file computes: the deployed policy as one function of what a robot can measure.

All but the watchdog is the package's own: observation, normaliser, network, head and safety layer are those that were
trained. Every number is in double precision, as NumPy and robots' middleware hold them.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from safepursuit.agents import Trained, predicted
from safepursuit.game import Game, GameState, Observation, RobotState, Role, observe
from safepursuit.policy import Policy, Situation
from safepursuit.robot import Robot
from safepursuit.scene import Edges, Movers, Scene, Way, Ways
from safepursuit.shapes import Control, Flag, Pose
from safepursuit.shield import MAX_HEADING, Shield, Shielded, survey

BELIEVED = 1e6
"""Inputs whose sizes [m, rad and their rates] add up to more are no measurements."""

AWAY = 1e7
"""Coordinates [m] of padding, beyond `BELIEVED`."""

_FAR_ROWS = {
    "discs": (AWAY, AWAY, 0.0),
    "edges": (AWAY, AWAY, AWAY, AWAY),
    "movers": (AWAY, AWAY, 0.0, 0.0, 0.0, 0.0),
}
"""Rows of padding that stand where they do not matter; the inputs that have rows of padding."""

NOTHING, WALLS, OTHER_ROBOT, LIMITS, GOVERNOR, WATCHDOG, MOVERS, EDGES = -1, 100, 110, 120, 130, 140, 200, 1000

MOST_ROWS = {"discs": 99, "edges": 400, "movers": 100}
"""Rows of an input at most."""

_NO_CONSTRAINT = EDGES + MOST_ROWS["edges"]

CONSTRAINTS: dict[int, str] = {
    NOTHING: "nothing: the control is what the network asks for",
    0: "the disc in row 0 of the input, and so on up to 99",
    WALLS: "the wall at +x",
    WALLS + 1: "the wall at -x",
    WALLS + 2: "the wall at +y",
    WALLS + 3: "the wall at -y",
    OTHER_ROBOT: "the other robot",
    LIMITS: "the limit v >= min_speed",
    LIMITS + 1: "the limit v <= max_speed",
    LIMITS + 2: "the limit omega >= -max_turn_rate",
    LIMITS + 3: "the limit omega <= max_turn_rate",
    LIMITS + 4: "the limit of the wheels, of a robot with a wheel base",
    GOVERNOR: "the speed governor, or the certificate of a robot with inertia",
    WATCHDOG: "the watchdog: the inputs are not to be trusted, the robot stands still",
    MOVERS: "the mover in row 0 of the input, and so on up to 299",
    EDGES: "the edge in row 0 of the input, and so on up to 1399",
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
    """x, y, radius [m]; a row of NaN or of zeros alone is padding."""
    half_extents: Float[Array, "2 *batch"]
    """[m]"""
    pending: Float[Array, "2 delay *batch"] | None = None
    """Commands on their way [m/s, rad/s], the oldest first; of a run whose budget has a delay."""
    edges: Float[Array, "4 edges *batch"] | None = None
    """x and y of either end [m] of straight walls of finite length, solid from both sides; padded as the discs are."""
    movers: Float[Array, "6 movers *batch"] | None = None
    """Discs that move: x, y, radius [m], velocity along x and y and bound of the speed [m/s]; padded as discs are."""
    ways: Float[Array, "3 2 *batch"] | None = None
    """The shortest ways to the opponent and to where it will be met: x and y [m] of the place at which each first
    turns, its end if it does not, and its length [m]; where there are edges, of a sensor that asks for them."""


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
    """Distance [m] of the body from the nearest disc, mover, wall or edge; 0 where the inputs are not to be trusted."""


def drive(policy: Policy, game: Game, shield: Shield, measured: Measured, role: Role = "pursuer") -> Command:
    """The deployed policy's control for the next step; standing still where the inputs are not to be trusted.

    The same as `deployed`, in fewer steps: the boundaries stay in their order, and for the safety layer, unlike the
    network, padding is something too far away to matter.
    """
    there = _there(measured)
    far = {
        name: jnp.where(known, getattr(measured, name), jnp.asarray(_FAR_ROWS[name])[:, None])
        for name, known in there.items()
    }
    everywhere = {name: jnp.ones(known.shape, bool) for name, known in there.items()}
    unsorted = _scene(measured._replace(**far), everywhere)
    return _command(policy, game, shield, measured, role, there, unsorted)


def deployed(policy: Policy, game: Game, shield: Shield, measured: Measured, role: Role = "pursuer") -> Command:
    """What the package itself would do, on a batch as well."""
    return _command(policy, game, shield, measured, role, _there(measured))


def observed(game: Game, measured: Measured, role: Role) -> Observation:
    """What the robot in this role observes."""
    return observe(_state(game, measured, role, _scene(measured, _there(measured))), game, role)


def asks_for_ways(game: Game, measured: Measured, role: Role) -> bool:
    """Whether the robot's sensor uses shortest ways."""
    state = _state(game, measured, role, _scene(measured, _there(measured)))

    def seen(ways: Ways) -> Observation:
        return observe(state._replace(scene=state.scene._replace(room=ways)), game, role)

    one = Way(jnp.zeros(2), jnp.asarray(0.0), jnp.asarray(True))
    program = jax.make_jaxpr(seen)(Ways(one, one)).jaxpr
    used = {id(one) for equation in program.eqns for one in equation.invars} | {id(one) for one in program.outvars}
    return any(id(one) in used for one in program.invars)


def _there(measured: Measured) -> dict[str, Bool[Array, "rows *batch"]]:
    """Which rows of the inputs that are padded are no padding."""
    given = {name: rows for name in _FAR_ROWS if (rows := getattr(measured, name)) is not None}
    return {
        name: ~(jnp.all(jnp.isnan(rows), axis=0) | (jnp.sum(jnp.abs(rows), axis=0) == 0))
        for name, rows in given.items()
    }


def _scene(measured: Measured, there: Mapping[str, Bool[Array, "rows *batch"]]) -> Scene:
    discs, present, edges, movers, room = measured.discs, there["discs"], None, None, None
    if measured.movers is not None:
        discs = jnp.concatenate([discs, measured.movers[:3]], axis=1)
        present = jnp.concatenate([present, there["movers"]])
        moving = jnp.where(there["movers"], measured.movers, 0)
        movers = Movers(moving[3:5], moving[5])
    if measured.edges is not None:
        known = there["edges"]
        edges = Edges(measured.edges[:2], measured.edges[2:], known, jnp.zeros(known.shape, bool))
    if measured.ways is not None:
        to_opponent, to_meeting = (measured.ways[:, one] for one in (0, 1))
        straight = jnp.all(to_opponent[:2] == measured.opponent_pose[:2], axis=0)
        # No sensor asks whether the way to the meeting is straight.
        room = Ways(*(Way(one[:2], one[2], straight) for one in (to_opponent, to_meeting)))
    return Scene(measured.half_extents, discs[:2], discs[2], present, edges, movers, room)


def _state(game: Game, measured: Measured, role: Role, scene: Scene) -> GameState:
    """The game when the next command is executed."""
    pose, velocity = measured.pose, measured.control
    for command in () if measured.pending is None else jnp.moveaxis(measured.pending, 1, 0):
        pose, velocity = predicted(game.limits(role), pose, velocity, command)
    robots = RobotState(pose, velocity), RobotState(measured.opponent_pose, measured.opponent_control)
    return GameState(robots if role == "pursuer" else robots[::-1], scene, jnp.asarray(0))


def _command(
    policy: Policy,
    game: Game,
    shield: Shield,
    measured: Measured,
    role: Role,
    there: Mapping[str, Bool[Array, "rows *batch"]],
    unsorted: Scene | None = None,
) -> Command:
    """The command where these rows are there; for the safety layer in the scene `unsorted`, if any, whose boundaries
    stay in their order."""
    robot, scene, opponent = game.limits(role), _scene(measured, there), measured.opponent_pose
    state = _state(game, measured, role, scene)
    own = state.robot(role)
    surveyed, nearest_first = (scene, True) if unsorted is None else (unsorted, False)
    chased = opponent if role == "pursuer" else None  # an evader's barriers do not include the pursuer
    around = survey(shield, robot, own.pose, surveyed, chased, own.control, nearest_first=nearest_first)
    done = Trained(policy, shield).respond(observe(state, game, role), Situation(own.pose, opponent, scene, around))
    trusted = _believable(measured, there, robot) & (jnp.sum(jnp.abs(done.control), axis=0) < jnp.inf)
    return Command(
        safe_control=jnp.where(trusted, done.control, 0),
        nominal_control=jnp.where(trusted, done.nominal, 0),
        active=jnp.where(trusted, _active(done, {name: len(known) for name, known in there.items()}, robot), WATCHDOG),
        feasible=trusted & done.feasible,
        clearance=jnp.where(trusted, done.clearance, 0),
    )


def _believable(measured: Measured, there: Mapping[str, Bool[Array, "rows *batch"]], robot: Robot) -> Flag:
    """Whether these are measurements: finite, with sizes that add up to no more than `BELIEVED` without padding, a
    heading within `MAX_HEADING`, no radius, bound of a speed or length negative, walls that leave room for the body,
    and, where the control depends on it, a velocity within twice the robot's limits."""
    rows = {name: jnp.where(known, getattr(measured, name), 0) for name, known in there.items()}
    for name in ("pending", "ways"):
        if (given := getattr(measured, name)) is not None:
            rows[name] = given
    numbers = [part for name, part in measured._asdict().items() if part is not None and name not in rows]
    size = jnp.sum(jnp.abs(jnp.concatenate(numbers)), axis=0)
    for values in rows.values():
        size = size + jnp.sum(jnp.abs(values), axis=(0, 1))
    sound = (size <= BELIEVED) & (jnp.abs(measured.pose[2]) <= MAX_HEADING) & (jnp.min(rows["discs"][2], axis=0) >= 0)
    sound &= jnp.min(measured.half_extents, axis=0) > robot.radius
    if measured.movers is not None:
        sound &= (jnp.min(rows["movers"][2], axis=0) >= 0) & (jnp.min(rows["movers"][5], axis=0) >= 0)
    if measured.ways is not None:
        sound &= jnp.min(measured.ways[2], axis=0) >= 0
    if robot.has_inertia:
        speed, turn_rate = jnp.abs(measured.control)
        sound &= (speed <= 2 * robot.max_speed) & (turn_rate <= 2 * robot.max_turn_rate)
    return sound


def _active(done: Shielded, rows: Mapping[str, int], robot: Robot) -> Int[Array, "*batch"]:
    """A boundary before the governor, and that before the limits; of several the one with the lowest number."""
    nominal, rank = done.nominal, done.nominal.ndim - 1
    low, high = (
        jnp.asarray(ends, nominal.dtype).reshape((2,) + (1,) * rank)
        for ends in ((robot.min_speed, -robot.max_turn_rate), (robot.max_speed, robot.max_turn_rate))
    )
    firsts = ("discs", 0), ("movers", MOVERS), ("walls", WALLS), ("edges", EDGES)
    counts = {**rows, "walls": 4}
    boundaries = [first + row for name, first in firsts for row in range(counts.get(name, 0))]
    boundaries = [*boundaries, OTHER_ROBOT][: len(done.active)]

    def lowest(numbers: list[int], holds: Bool[Array, "numbers *batch"]) -> Int[Array, "*batch"]:
        return jnp.min(jnp.where(holds, jnp.asarray(numbers).reshape((-1,) + (1,) * rank), _NO_CONSTRAINT), axis=0)

    boundary = lowest(boundaries, done.active)
    limits, holds = [LIMITS, LIMITS + 2, LIMITS + 1, LIMITS + 3], [nominal < low, nominal > high]
    if robot.wheel_base is not None:
        limits, holds = [*limits, LIMITS + 4], [*holds, robot.wheel_share(robot.within_box(nominal))[None] < 1]
    limit = lowest(limits, jnp.concatenate(holds))
    other = jnp.where(done.governed, GOVERNOR, jnp.where(limit < _NO_CONSTRAINT, limit, NOTHING))
    return jnp.where(boundary < _NO_CONSTRAINT, boundary, other)
