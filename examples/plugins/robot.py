"""A robot with two driven wheels: what it turns with, it cannot drive with.

safepursuit train --plugin examples/plugins/robot.py --robot differential-drive --game.robot.axle 0.3
"""

from dataclasses import dataclass

import jax.numpy as jnp

from safepursuit.plugins import robot
from safepursuit.robot import Unicycle


@robot("differential-drive")
@dataclass(frozen=True)
class DifferentialDrive(Unicycle):
    """A unicycle whose outer wheel is no faster than its speed limit: v + |ω| · axle/2 ≤ v̄."""

    axle: float = 0.3
    """Distance of the wheels [m]."""

    def limit(self, control):
        speed, turn_rate = super().limit(control)
        most = jnp.maximum(self.max_speed - jnp.abs(turn_rate) * self.axle / 2, 0)
        return jnp.stack([jnp.minimum(speed, most), turn_rate])
