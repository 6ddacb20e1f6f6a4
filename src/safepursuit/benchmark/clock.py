"""How much time a measurement takes, and the median with quartiles that it yields."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

Report: TypeAlias = Callable[[str], Any]
"""Receives a line of progress."""


class Pace(NamedTuple):
    """How much time to spend."""

    rounds: int
    """Turns per call."""
    least: float
    """Least duration of a turn, which repeats its call [s]."""
    quick: bool
    """Few sizes only."""


THOROUGH = Pace(rounds=15, least=0.05, quick=False)
QUICK = Pace(rounds=3, least=0.005, quick=True)


class Spread(NamedTuple):
    """Median and quartiles."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float], scale: float = 1.0) -> Spread:
    """Median and quartiles of the values times `scale`."""
    low, median, high = (float(value) for value in np.quantile(scale * np.asarray(values), [0.25, 0.5, 0.75]))
    return Spread(median, low, high)
