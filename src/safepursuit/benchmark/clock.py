"""Timing that makes figures comparable.

The calls take turns in one process, forwards and backwards through the list, so that other load on the machine affects
all of them equally. Compilation is not timed. A figure is a median with its quartiles over the rounds.
"""

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

import jax
import numpy as np

Name = TypeVar("Name", bound=Hashable)
Report: TypeAlias = Callable[[str], Any]
"""Is told what is being measured, as the measurement proceeds."""


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


def alternate(
    calls: Mapping[Name, Callable[[], Any]], pace: Pace, report: Report = lambda text: None
) -> dict[Name, list[float]]:
    """Seconds per call, one entry per round; entries of the same index are neighbours in time.

    A call returns arrays, which are waited for each time; it is run twice before the timing starts.
    """
    loops = {}
    for number, (name, call) in enumerate(calls.items(), 1):
        report(f"case {number} of {len(calls)} compiles ({_words(name)})")
        once(call)
        loops[name] = max(1, round(pace.least / once(call)))
    found: dict[Name, list[float]] = {name: [] for name in calls}
    for turn in range(pace.rounds):
        report(f"round {turn + 1} of {pace.rounds}")
        for name, call in list(calls.items())[:: 1 if turn % 2 else -1]:
            found[name].append(once(call, loops[name]))
    return found


def once(call: Callable[[], Any], loops: int = 1) -> float:
    """Seconds per call, mean of so many calls in a row."""
    start = time.perf_counter()
    for _ in range(loops):
        jax.block_until_ready(call())
    return (time.perf_counter() - start) / loops


def _words(name: Hashable) -> str:
    return ", ".join(str(part) for part in name if part != "") if isinstance(name, tuple) else str(name)
