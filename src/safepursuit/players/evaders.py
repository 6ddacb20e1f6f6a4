"""Scripted evaders."""

import jax
import jax.numpy as jnp

from safepursuit.geometry import unit
from safepursuit.players.player import Sight, steer
from safepursuit.robot import Unicycle
from safepursuit.scene import boundaries
from safepursuit.shapes import Control, Keys

_NOTICE = 1.5
"""Distance of the body from a wall or disc [m] below which `flee` starts to turn along it."""


def random_controls(key: Keys, sight: Sight, robot: Unicycle) -> Control:
    """Speed and turn rate uniform over their limits, anew at every step.

    The evader of safe-rl-pe's experiments. Its heading drifts slowly (correlation time about 2Δ/Var(ωΔ) = 15 s), so it
    is a nearly straight runner at half speed: a calibration, not an opponent.
    """
    draw = jax.random.uniform
    if key.ndim:  # one key a game
        sample = jax.vmap(lambda one: draw(one, (2,), sight.own.dtype), out_axes=-1)(key)
    else:
        sample = draw(key, (2, *sight.own.shape[1:]), sight.own.dtype)
    return jnp.stack([robot.max_speed * sample[0], robot.max_turn_rate * (2 * sample[1] - 1)])


def flee(key: Keys, sight: Sight, robot: Unicycle) -> Control:
    """Straight away from the pursuer, bent along walls and around discs before they are reached.

    Within `_NOTICE` of a boundary the part of the course that heads into it is taken out in proportion to how near it
    is, and a push away from it added; in a corner, where nothing is left, the way along the more open side remains.
    """
    del key
    away = unit(sight.own[:2] - sight.opponent[:2])
    around = boundaries(sight.scene, sight.own[:2])
    nearness = jnp.clip(1 - (around.distance - robot.radius) / _NOTICE, 0, 1)
    course = away
    for row in range(around.distance.shape[0]):
        normal, near = around.normal[:, row], nearness[row]
        into = jnp.minimum(jnp.sum(course * normal, axis=0), 0)
        course = course - near * into * normal
    push = jnp.sum(nearness**2 * around.normal, axis=1)
    # Facing a wall squarely leaves no course at all: break the tie along the wall, towards the arena's middle.
    tangent = jnp.stack([-push[1], push[0]])
    inward = jnp.sign(-jnp.sum(tangent * sight.own[:2], axis=0))
    course = course + 0.5 * push + 0.3 * jnp.where(inward == 0, 1.0, inward) * tangent
    return steer(robot, sight.own, course)
