"""Parts of a benchmark, measured and written to a page of the documentation."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safepursuit.benchmark import Part, page, progress_lines, run
from safepursuit.process import keep_freed_memory, use_all_cores
from safepursuit.runs.folder import write_json, write_text

OUT = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"


def write_parts(parts: Mapping[str, Part], name: str, title: str, command: str) -> None:
    """Measure the parts and write NAME.md and NAME.json after each; with `--quick` print the page instead."""
    quick = "--quick" in sys.argv[1:]
    use_all_cores()
    keep_freed_memory()

    def keep(found: dict[str, Any]) -> None:
        if not quick:
            write_json(OUT / f"{name}.json", found)
            write_text(OUT / f"{name}.md", page(parts, found, title, command))

    print(page(parts, run(parts, quick, progress_lines(), keep), title, command))


def grouped(rows: Sequence[Mapping[str, Any]], *names: str) -> dict[tuple[Any, ...], Mapping[str, Any]]:
    """The rows by the values of these columns."""
    return {tuple(row[name] for name in names): row for row in rows}
