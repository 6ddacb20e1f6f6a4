"""An evader that flees in zigzags.

safepursuit train --plugin examples/plugins/evader.py --evader zigzag
"""

import jax.numpy as jnp

from safepursuit.geometry import unit
from safepursuit.players.course import clear_of_boundaries
from safepursuit.players.player import steer
from safepursuit.plugins import evader


@evader("zigzag")
def zigzag(key, sight, robot):
    """Flee, 45° to the left and to the right of straight away by turns, every two metres."""
    away = unit(sight.own[:2] - sight.opponent[:2])
    left = jnp.stack([-away[1], away[0]])
    stripe = jnp.floor((sight.own[0] + sight.own[1]) / 2)
    course = unit(away + jnp.where(stripe % 2 == 0, 1.0, -1.0) * left)
    return steer(robot, sight.own, clear_of_boundaries(sight.own[:2], course, sight.scene, robot))
