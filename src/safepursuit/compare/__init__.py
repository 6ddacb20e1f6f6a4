"""Comparisons: many contenders on the same scenarios, worked in parallel, resumed where they stopped."""

from safepursuit.compare.contenders import Candidate, from_found, from_pursuers, from_runs, to_train
from safepursuit.compare.planning import Settings, prepare, undone
from safepursuit.compare.work import carry_out
from safepursuit.compare.workers import LocalCrew

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
