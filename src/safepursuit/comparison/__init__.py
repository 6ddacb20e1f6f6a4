"""Comparisons: many contenders on the same scenarios, worked in parallel, resumed where they stopped."""

from safepursuit.comparison.contenders import Candidate, from_found, from_pursuers, from_runs, to_train
from safepursuit.comparison.planning import Settings, prepare, undone
from safepursuit.comparison.work import carry_out
from safepursuit.comparison.workers import LocalCrew

__all__ = [
    "Candidate",
    "LocalCrew",
    "Settings",
    "carry_out",
    "from_found",
    "from_pursuers",
    "from_runs",
    "prepare",
    "to_train",
    "undone",
]
