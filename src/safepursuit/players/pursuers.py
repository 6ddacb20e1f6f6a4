"""Scripted pursuers."""

from safepursuit.players.player import Sight, steer
from safepursuit.robot import Unicycle
from safepursuit.shapes import Control, Keys


def pure_pursuit(key: Keys, sight: Sight, robot: Unicycle) -> Control:
    """Head straight at the evader (Isaacs 1965).

    The line-of-sight law: no prediction, no regard for walls or discs. A sanity baseline: it always catches the random
    evader and runs behind any that flees at equal speed.
    """
    del key
    return steer(robot, sight.own, sight.opponent[:2] - sight.own[:2])
