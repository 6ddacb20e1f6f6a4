"""The machine and the tables on the pages of comparisons with other solvers."""

import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import torch

from safepursuit.benchmark.machine import about, described
from safepursuit.benchmark.tables import Table, grid


def machine(threads: Mapping[str, int], packages: Sequence[str]) -> dict[str, Any]:
    """Machine, threads and versions; `threads` of libraries that do not tell their number."""
    known = {"torch": torch.get_num_threads(), **threads, "OMP_NUM_THREADS": os.environ["OMP_NUM_THREADS"]}
    return about() | {"threads": known, "versions": {name: version(name) for name in packages}}


def machine_text(facts: Mapping[str, Any]) -> str:
    """The same for the end of a page."""
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    threads = ", ".join(f"{name} {number}" for name, number in facts["threads"].items())
    return f"""{described(dict(facts))}

Threads: {threads}; everything else, XLA included, shares that core.

Versions: {versions}."""


def table(rows: Sequence[Sequence[str]], names: int = 2) -> str:
    """Markdown, the first row being the head; all columns but the first `names` are numbers."""
    head, *body = (tuple(row) for row in rows)
    return grid(Table("", head, body, left=names))


def share(value: float) -> str:
    return "0" if value == 0 else f"{100 * value:.1f} %"
