"""The parts of the benchmark, and the page they make."""

import gc
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from safepursuit.benchmark import competence, growth, latency, playing, projection, training
from safepursuit.benchmark.clock import QUICK, THOROUGH, Pace
from safepursuit.benchmark.machine import about, described
from safepursuit.benchmark.tables import Table, markdown


class Part(NamedTuple):
    summary: str
    measure: Callable[[Pace], dict[str, Any]]
    """What it found, as plain numbers."""
    tables: Callable[[dict[str, Any]], list[Table]]
    """The same for people."""


PARTS = {
    "projection": Part("the quadratic program, alone and in the safety layer", projection.measure, projection.tables),
    "game": Part("steps a second with random controls", playing.measure, playing.tables),
    "training": Part("every method, where its time goes, several seeds", training.measure, training.tables),
    "competence": Part("seconds to a policy that catches the evader", competence.measure, competence.tables),
    "latency": Part("one deterministic action, from Python and exported", latency.measure, latency.tables),
    "growth": Part("cost and memory with games and with discs", growth.measure, growth.tables),
}


def run(
    parts: Sequence[str],
    quick: bool,
    announce: Callable[[str], Any] = lambda name: None,
    keep: Callable[[dict[str, Any]], Any] = lambda found: None,
) -> dict[str, Any]:
    """Measure these parts one after the other.

    `announce` hears the name of each before it begins, `keep` all that was found so far after each, so that nothing is
    lost with an interrupted run. Raises ValueError for a part that is not known.
    """
    for name in parts:
        if name not in PARTS:
            raise ValueError(f"unknown part {name!r} of the benchmark; known are {', '.join(PARTS)}.")
    pace = QUICK if quick else THOROUGH
    found: dict[str, Any] = {"about": about() | {"rounds": pace.rounds, "quick": quick}}
    for name in parts:
        announce(name)
        found[name] = PARTS[name].measure(pace)
        keep(found)
        # Each program takes some of the 65,530 memory mappings that Linux gives a process; at their end XLA crashes.
        jax.clear_caches()
        gc.collect()
    return found


def tables(found: dict[str, Any]) -> list[Table]:
    """All tables of a benchmark's result."""
    return [table for name, part in PARTS.items() if name in found for table in part.tables(found[name])]


def page(found: dict[str, Any], command: str) -> str:
    """The page that stands in the documentation."""
    facts = found["about"]
    head = (
        f"# Speed\n\nWritten by `{command}`; do not edit by hand.\n\n{described(facts)} Figures are medians, with "
        f"quartiles in brackets, of {facts['rounds']} rounds in one process unless a table says otherwise; in each "
        "round all that a table compares takes its turn. Compilation comes before the clock. float32 throughout."
    )
    return "\n\n".join([head, *(markdown(table) for table in tables(found))]) + "\n"
