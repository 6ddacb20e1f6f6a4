"""The parts of the benchmark, and their page."""

import gc
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax

from safepursuit.benchmark import competence, latency, training
from safepursuit.benchmark.clock import QUICK, THOROUGH, Pace, Report
from safepursuit.benchmark.machine import about, described
from safepursuit.benchmark.tables import Table, markdown


class Part(NamedTuple):
    summary: str
    measure: Callable[[Pace, Report], dict[str, Any]]
    """Returns the figures as plain numbers."""
    tables: Callable[[dict[str, Any]], list[Table]]
    """Formats the figures."""


PARTS = {
    "training": Part("steps per second of every method", training.measure, training.tables),
    "competence": Part("seconds to a policy that catches the evader", competence.measure, competence.tables),
    "latency": Part("one deterministic action, from Python and exported", latency.measure, latency.tables),
}


def run(
    parts: Mapping[str, Part],
    quick: bool,
    report: Report = lambda text: None,
    keep: Callable[[dict[str, Any]], Any] = lambda found: None,
) -> dict[str, Any]:
    """Measure the parts one after the other.

    `report` receives the progress; `keep` receives all figures so far after each part, so that an interrupted run loses
    only the current part.
    """
    pace = QUICK if quick else THOROUGH
    found: dict[str, Any] = {"about": about() | {"rounds": pace.rounds, "quick": quick}}
    for name, part in parts.items():
        report(f"{name}: {part.summary}")
        found[name] = part.measure(pace, partial(_report_part, report, name))
        keep(found)
        # Compiled programs use up the 65,530 memory mappings of a process on Linux; XLA crashes without a free one.
        jax.clear_caches()
        gc.collect()
    return found


def _report_part(report: Report, name: str, text: str) -> None:
    report(f"{name}: {text}")


def progress_lines(seconds: float = 3.0) -> Report:
    """Progress on standard error: one line when a part begins, then at most one line per `seconds`."""
    part, last = "", 0.0

    def report(text: str) -> None:
        nonlocal part, last
        if text.partition(":")[0] != part or time.monotonic() - last >= seconds:
            part, last = text.partition(":")[0], time.monotonic()
            print(text, file=sys.stderr, flush=True)

    return report


def tables(parts: Mapping[str, Part], found: dict[str, Any]) -> list[Table]:
    """The tables of the parts that have been measured."""
    return [table for name, part in parts.items() if name in found for table in part.tables(found[name])]


def page(parts: Mapping[str, Part], found: dict[str, Any], title: str, command: str) -> str:
    """The page in the documentation."""
    facts = found["about"]
    head = (
        f"# {title}\n\nWritten by `{command}`; do not edit by hand.\n\n{described(facts)} Figures are medians, with "
        f"quartiles in brackets, of {facts['rounds']} rounds in one process unless a table says otherwise; in each "
        "round all that a table compares takes its turn. Compilation is not timed. float32 throughout."
    )
    return "\n\n".join([head, *(markdown(table) for table in tables(parts, found))]) + "\n"
