"""Comparisons: many contenders on the same scenarios, computed in parallel, resumed where they stopped."""

from safepursuit.compare.contenders import (
    Contender,
    evaders_among,
    from_methods,
    from_pursuers,
    from_runs,
    named,
    robot_of,
)
from safepursuit.compare.plan import Settings, prepare, undone
from safepursuit.compare.work import carry_out
from safepursuit.compare.workers import LocalCrew

__all__ = [
    "Contender",
    "LocalCrew",
    "Settings",
    "carry_out",
    "evaders_among",
    "from_methods",
    "from_pursuers",
    "from_runs",
    "named",
    "prepare",
    "robot_of",
    "undone",
]
