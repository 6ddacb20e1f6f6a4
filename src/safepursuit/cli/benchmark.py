"""`benchmark`."""

import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table as Drawn

from safepursuit.cli.usage import STANDARD_OUTPUT, Debug, UsageError, check_folders, listed, save_json
from safepursuit.process import keep_freed_memory, use_all_cores
from safepursuit.runs.folder import write_text

if TYPE_CHECKING:
    from safepursuit.benchmark.tables import Table


@dataclass(frozen=True)
class Benchmark:
    """Measure speed on this machine: training of every method, time to competence, latency of an action."""

    only: str = "all"
    """Parts to measure, such as training,latency, out of training, competence, latency."""
    quick: bool = False
    """A few sizes and rounds only, as a check."""
    json: Path | None = None
    """Write all figures, with quartiles, to this file; “-” is standard output, the tables go to standard error."""
    page: Path | None = None
    """Write the tables to this Markdown file."""
    debug: Debug = False

    def run(self, console: Console) -> None:
        from safepursuit.benchmark import suite  # late, for a faster start

        names = listed(self.only, suite.PARTS)
        for name in names:
            if name not in suite.PARTS:
                raise UsageError(f"unknown part {name!r} of the benchmark; known are {', '.join(suite.PARTS)}.")
        parts = {name: suite.PARTS[name] for name in names}
        check_folders(self.json, self.page)
        use_all_cores()  # as `train --seeds` does
        keep_freed_memory()  # as in training

        def keep(found: dict[str, Any]) -> None:
            if self.json != STANDARD_OUTPUT:
                save_json(self.json, found)
            if self.page:
                command = shlex.join(["safepursuit", *sys.argv[1:]])
                write_text(self.page, suite.page(parts, found, "Speed", command))

        with console.status("measuring …") as status:
            report = status.update if console.is_terminal else suite.progress_lines()
            found = suite.run(parts, self.quick, report, keep)
        if self.json == STANDARD_OUTPUT:
            save_json(self.json, found)
        for table in suite.tables(parts, found):
            console.print(_drawn(table))


def _drawn(table: "Table") -> Drawn:
    """Without the quartiles, which are too wide for a terminal."""
    drawn = Drawn(title=table.title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    for index, name in enumerate(table.head):
        drawn.add_column(name, justify="left" if index < table.left else "right")
    for row in table.rows:
        drawn.add_row(*(re.sub(r" \([^)]*\)$", "", cell) for cell in row))
    return drawn
