"""Models of robots by name, and which of them a theorem covers."""

from collections.abc import Callable

from safepursuit.registry import Registry
from safepursuit.robot.inertial import Inertial
from safepursuit.robot.unicycle import Robot, Unicycle

ROBOTS: Registry[Callable[[], Unicycle]] = Registry("robot", unicycle=Unicycle, inertial=Inertial)
"""Constructors of robots by name: `Unicycle`, or a subclass of it."""

_MOTION = ("displacement", "way", "turn", "step", "stopped", "limit", "reach", "swing_box", "to_swing", "from_swing")


def within_theory(robot: Robot) -> bool:
    """Whether a theorem holds for this robot: it moves as `Unicycle` or as `Inertial` does, in every respect."""
    own, proved = type(robot), Inertial if isinstance(robot, Inertial) else Unicycle
    return isinstance(robot, Unicycle) and all(getattr(own, name) is getattr(proved, name) for name in _MOTION)
