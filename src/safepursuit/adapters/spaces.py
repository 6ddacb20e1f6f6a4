"""The spaces of observations and actions."""

import numpy as np
from gymnasium.spaces import Box

from safepursuit.adapters.match import bounds
from safepursuit.game import Game
from safepursuit.robot import Robot


def observation_space(game: Game) -> Box:
    """What `match.flatten` returns: (16 + 6 · discs,) float32 within [−1, 1], but for the speed of a faster evader."""
    return Box(*bounds(game), dtype=np.float32)


def action_space(robot: Robot, normalised: bool) -> Box:
    """(2,) float32: speed and turn rate, within [−1, 1]² or in [0, v̄] m/s × [−ω̄, ω̄] rad/s."""
    if normalised:
        return Box(-1.0, 1.0, (2,), np.float32)
    high = np.array([robot.max_speed, robot.max_turn_rate], np.float32)
    return Box(np.array([0.0, -robot.max_turn_rate], np.float32), high, dtype=np.float32)
