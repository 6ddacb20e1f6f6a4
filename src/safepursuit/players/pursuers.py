"""Scripted pursuers."""

import jax.numpy as jnp

from safepursuit.geometry import direction, length, unit
from safepursuit.players.course import along_way, towards_interception, up_to_edges
from safepursuit.players.player import Sight, steer
from safepursuit.robot import Robot
from safepursuit.scene import way
from safepursuit.shapes import Control, Keys


def pure_pursuit(key: Keys, sight: Sight, robot: Robot) -> Control:
    """Head straight at the evader (Isaacs 1965); in a room along the shortest way.

    The line-of-sight law: no prediction, no regard for discs. It always catches the random evader, and follows one that
    flees at equal speed forever.
    """
    ahead = way(sight.scene, sight.own[:2], sight.opponent[:2], robot.radius).next
    return steer(robot, sight.own, ahead - sight.own[:2])


def tangent_pursuit(key: Keys, sight: Sight, robot: Robot) -> Control:
    """Pure pursuit around the discs: straight at the evader, or along the tangent of the disc in between."""
    return steer(robot, sight.own, along_way(sight.own[:2], sight.opponent[:2], sight.scene, robot))


def constant_bearing(key: Keys, sight: Sight, robot: Robot) -> Control:
    """Keep the line of sight from turning: match the evader's velocity across it, close along it with the rest.

    Parallel navigation, the limit of proportional navigation for a high navigation constant (Shneydor 1998). If the
    evader moves across faster than the pursuer can, all speed is across. Steers around discs, and in a room along the
    shortest way where it does not see the evader.
    """
    sight_line = unit(sight.opponent[:2] - sight.own[:2])
    velocity = sight.opponent_control[0] * direction(sight.opponent[2])
    along = jnp.sum(velocity * sight_line, axis=0)
    across = velocity - along * sight_line
    left = jnp.sqrt(jnp.maximum(robot.max_speed**2 - jnp.sum(across**2, axis=0), 0))
    reach = jnp.maximum(length(sight.opponent[:2] - sight.own[:2]), 1e-6)
    aim = sight.own[:2] + reach * unit(across + left * sight_line)
    if sight.scene.room is not None:
        seen = way(sight.scene, sight.own[:2], sight.opponent[:2], robot.radius).straight
        aim = jnp.where(seen, up_to_edges(sight.own[:2], aim, sight.scene, robot), sight.opponent[:2])
    return steer(robot, sight.own, along_way(sight.own[:2], aim, sight.scene, robot))


def lead_intercept(key: Keys, sight: Sight, robot: Robot) -> Control:
    """Head for where the evader will be met if it keeps its course until the wall stops it, around the discs.

    Collision course with an extrapolation of at most a few seconds, ended by the walls: it shortens the chase of an
    equally fast evader.
    """
    velocity = sight.opponent_control[0] * direction(sight.opponent[2])
    ahead = towards_interception(sight.own[:2], sight.opponent[:2], velocity, sight.scene, robot)
    return steer(robot, sight.own, ahead)


def voronoi(key: Keys, sight: Sight, robot: Robot) -> Control:
    """Head for the middle of the boundary between the points that the evader and that the pursuer reaches first.

    Area-minimising pursuit (Huang et al. 2011; Zhou et al. 2016): shrinks the evader's region fastest. The boundary is
    the perpendicular bisector (Apollonius' circle at equal speeds) within the arena; steers around discs. In a room it
    ends at the walls, and where the evader is not in sight the shortest way leads to it.
    """
    own, other = sight.own[:2], sight.opponent[:2]
    middle, ahead = 0.5 * (own + other), unit(other - own)
    tangent = jnp.stack([-ahead[1], ahead[0]])
    low, high = jnp.full_like(middle[0], -jnp.inf), jnp.full_like(middle[0], jnp.inf)
    for axis in (0, 1):
        limit, slope = sight.scene.half_extents[axis], tangent[axis]
        moves = jnp.abs(slope) > 1e-6
        ends = [(sign * limit - middle[axis]) / jnp.where(moves, slope, 1) for sign in (-1, 1)]
        low = jnp.where(moves, jnp.maximum(low, jnp.minimum(*ends)), low)
        high = jnp.where(moves, jnp.minimum(high, jnp.maximum(*ends)), high)
    if sight.scene.room is not None:
        low, high = (
            sign * length(up_to_edges(middle, middle + end * tangent, sight.scene, robot) - middle)
            for sign, end in ((-1, low), (1, high))
        )
    centre = 0.5 * (low + high)
    aim = middle + jnp.where(jnp.isfinite(centre), centre, 0) * tangent
    # Close to the evader the bisector's middle lies far to the side: head straight at it.
    aim = jnp.where((length(other - own) < 1.0) | ~way(sight.scene, own, other, robot.radius).straight, other, aim)
    return steer(robot, sight.own, along_way(own, aim, sight.scene, robot))
