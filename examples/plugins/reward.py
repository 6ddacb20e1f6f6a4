"""A reward for capture within time.

safepursuit train --plugin examples/plugins/reward.py --reward deadline
"""

import jax.numpy as jnp

from safepursuit.game import collided
from safepursuit.plugins import reward


@reward("deadline")
def deadline(before, outcome, game, role):
    """At capture the share of the time that is left; own collisions cost as much as the standard rule says."""
    left = 1 - outcome.state.step / game.horizon
    caught = jnp.where(outcome.captured, game.reward.capture * left, 0)
    own = caught if role == "pursuer" else -caught
    return own - game.reward.collision * collided(outcome.contact(role))
