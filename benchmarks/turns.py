"""Times of several calls that take turns.

The calls alternate in one process, forwards and backwards through the list, so that other load on the machine affects
all of them equally. Compilation is not timed.
"""

import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

import jax

from safepursuit.benchmark.clock import Pace, Report

Name = TypeVar("Name", bound=Hashable)


def alternate(
    calls: Mapping[Name, Callable[[], Any]], pace: Pace, report: Report = lambda text: None
) -> dict[Name, list[float]]:
    """Seconds per call, one entry per round; entries of the same index are neighbours in time.

    A call returns arrays, which are waited for each time; it is run twice before the timing starts.
    """
    loops = {}
    for number, (name, call) in enumerate(calls.items(), 1):
        report(f"case {number} of {len(calls)} compiles ({_words(name)})")
        _seconds(call)
        loops[name] = max(1, round(pace.least / _seconds(call)))
    found: dict[Name, list[float]] = {name: [] for name in calls}
    for turn in range(pace.rounds):
        report(f"round {turn + 1} of {pace.rounds}")
        for name, call in list(calls.items())[:: 1 if turn % 2 else -1]:
            found[name].append(_seconds(call, loops[name]))
    return found


def _seconds(call: Callable[[], Any], loops: int = 1) -> float:
    """Seconds per call, mean over `loops` calls in a row."""
    start = time.perf_counter()
    for _ in range(loops):
        jax.block_until_ready(call())
    return (time.perf_counter() - start) / loops


def _words(name: Hashable) -> str:
    return ", ".join(str(part) for part in name if part != "") if isinstance(name, tuple) else str(name)
