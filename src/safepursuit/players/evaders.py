"""Scripted evaders."""

import jax
import jax.numpy as jnp

from safepursuit.geometry import length, unit
from safepursuit.players.course import along_way, clear_of_boundaries
from safepursuit.players.player import Sight, steer
from safepursuit.robot import Robot
from safepursuit.scene import BERTH, Scene, edges_from, nearest_on, way
from safepursuit.shapes import Control, Flag, Keys, Point


def random_controls(key: Keys, sight: Sight, robot: Robot) -> Control:
    """Speed and turn rate uniform over their limits, anew at every step.

    The evader of safe-rl-pe's experiments. Its heading drifts slowly (correlation time about 2Δ/Var(ωΔ) = 15 s): it
    runs nearly straight at half speed.
    """
    draw = jax.random.uniform
    if key.ndim:  # one key per game
        sample = jax.vmap(lambda one: draw(one, (2,), sight.own.dtype), out_axes=-1)(key)
    else:
        sample = draw(key, (2, *sight.own.shape[1:]), sight.own.dtype)
    return jnp.stack([robot.max_speed * sample[0], robot.max_turn_rate * (2 * sample[1] - 1)])


def run(key: Keys, sight: Sight, robot: Robot) -> Control:
    """Straight away from the pursuer, with no regard for walls or discs."""
    return steer(robot, sight.own, sight.own[:2] - sight.opponent[:2])


def flee(key: Keys, sight: Sight, robot: Robot) -> Control:
    """Straight away from the pursuer, bent along walls and around discs before they are reached.

    In a room away from where the shortest way to the pursuer leads.
    """
    away = unit(sight.own[:2] - way(sight.scene, sight.own[:2], sight.opponent[:2], robot.radius).next)
    return steer(robot, sight.own, clear_of_boundaries(sight.own[:2], away, sight.scene, robot))


def orbit(key: Keys, sight: Sight, robot: Robot) -> Control:
    """Go to the disc it can reach well before the pursuer, and circle it on the side away from the pursuer.

    At equal speeds a lone pursuer that follows around a large disc never arrives (theory.md §5). Flees without a disc.
    """
    own, other, scene = sight.own[:2], sight.opponent[:2], sight.scene
    to_disc = scene.centre - own[:, None]
    from_pursuer = scene.centre - other[:, None]
    # The largest lead on the way there, large discs first: a disc smaller than the turning circle is no shelter.
    score = length(from_pursuer) - length(to_disc) + 2 * scene.radius
    score = jnp.where(scene.present, score, -jnp.inf)
    best = (score == jnp.max(score, axis=0)) & scene.present
    best = best & (jnp.cumsum(best, axis=0) == 1)
    centre = jnp.sum(jnp.where(best, scene.centre, 0), axis=1)
    radius = jnp.sum(jnp.where(best, scene.radius, 0), axis=0)
    rim = radius + robot.radius + BERTH
    out, threat = own - centre, unit(other - centre)
    gap = length(out) - rim
    radial = unit(out)
    # Around the disc away from the pursuer: against its bearing from the centre.
    turn = radial[0] * threat[1] - radial[1] * threat[0]
    sense = jnp.where(turn >= 0, -1.0, 1.0)
    tangent = sense * jnp.stack([-radial[1], radial[0]])
    circling = unit(tangent - 2.0 * jnp.clip(gap, -0.5, 0.5) * radial)
    approach = along_way(own, centre - rim * threat, scene, robot)
    # Stay on the far side while the pursuer is far: any motion would shorten the distance.
    course = jnp.where(gap > 0.5, approach, circling)
    control = steer(robot, sight.own, course)
    opposite = jnp.sum(radial * threat, axis=0) < -0.95
    calm = opposite & (gap < 0.3) & (length(other - own) > 2 * rim + 1.0)
    control = jnp.stack([jnp.where(calm, 0, control[0]), control[1]])
    return jnp.where(jnp.any(scene.present, axis=0), control, flee(key, sight, robot))


def hide(key: Keys, sight: Sight, robot: Robot) -> Control:
    """Keep a disc between itself and the pursuer: head for the point behind it that is reached soonest.

    Flees if the pursuer is closer to that point, or without a disc.
    """
    own, other, scene = sight.own[:2], sight.opponent[:2], sight.scene
    behind = unit(scene.centre - other[:, None]) * (scene.radius + robot.radius + 2 * BERTH)
    cover = scene.centre + behind
    half_x, half_y = scene.half_extents - robot.radius
    inside = (jnp.abs(cover[0]) < half_x) & (jnp.abs(cover[1]) < half_y)
    if scene.edges is not None:
        inside &= jnp.stack([_clear_of_edges(cover[:, disc], scene, robot) for disc in range(cover.shape[1])])
    lead = length(cover - other[:, None]) - length(cover - own[:, None])
    usable = scene.present & inside & (lead > 0.3)
    score = jnp.where(usable, -length(cover - own[:, None]), -jnp.inf)
    best = usable & (score == jnp.max(score, axis=0))
    best = best & (jnp.cumsum(best, axis=0) == 1)
    target = jnp.sum(jnp.where(best, cover, 0), axis=1)
    there = length(target - own) < 0.15
    control = steer(robot, sight.own, along_way(own, target, scene, robot))
    control = jnp.stack([jnp.where(there, 0, control[0]), control[1]])
    return jnp.where(jnp.any(best, axis=0), control, flee(key, sight, robot))


def _clear_of_edges(point: Point, scene: Scene, robot: Robot) -> Flag:
    """Whether a body touches no edge there."""
    edges = edges_from(scene, point)
    if edges is None:
        return jnp.ones(point.shape[1:], bool)
    return jnp.min(jnp.where(edges.present, length(nearest_on(edges)), jnp.inf), axis=0) > robot.radius
