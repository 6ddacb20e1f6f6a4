"""Taking the time so that figures can be compared.

What is compared takes turns in one process, there and back again, so that whatever else the machine does meets all of
it equally; compilation comes before the clock; a figure is a median and its quartiles over the rounds.
"""

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

Name = TypeVar("Name", bound=Hashable)


class Pace(NamedTuple):
    """How much time to spend."""

    rounds: int
    """Turns that each call takes."""
    least: float
    """A turn repeats its call until about this long has passed [s]."""
    quick: bool
    """Leave out all but a few sizes."""


THOROUGH = Pace(rounds=15, least=0.05, quick=False)
QUICK = Pace(rounds=3, least=0.005, quick=True)


class Spread(NamedTuple):
    """Median and quartiles."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float], scale: float = 1.0) -> Spread:
    """Of the values times `scale`."""
    low, median, high = (float(value) for value in np.quantile(scale * np.asarray(values), [0.25, 0.5, 0.75]))
    return Spread(median, low, high)


def alternate(calls: Mapping[Name, Callable[[], Any]], pace: Pace) -> dict[Name, list[float]]:
    """Seconds a call, one entry a round; entries of the same index are neighbours in time.

    A call returns arrays, which are waited for each time; it is run twice before the clock starts.
    """
    loops = {}
    for name, call in calls.items():
        once(call)  # compiles
        loops[name] = max(1, round(pace.least / once(call)))
    found: dict[Name, list[float]] = {name: [] for name in calls}
    for turn in range(pace.rounds):
        for name, call in list(calls.items())[:: 1 if turn % 2 else -1]:
            found[name].append(once(call, loops[name]))
    return found


def once(call: Callable[[], Any], loops: int = 1) -> float:
    """Seconds a call takes, mean of so many in a row."""
    start = time.perf_counter()
    for _ in range(loops):
        jax.block_until_ready(call())
    return (time.perf_counter() - start) / loops
