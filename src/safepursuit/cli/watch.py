"""`watch`."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from safepursuit.cli.paged import Served
from safepursuit.cli.usage import Debug, UsageError


@dataclass(frozen=True)
class Watch:
    """Show trainings as they go, in the browser: curves, the safety layer's health, steps/s and time left."""

    run_folders: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders, of trainings in progress or finished ones; nothing in them is changed."""
    served: Annotated[Served, tyro.conf.arg(name="")] = field(default_factory=Served)
    debug: Debug = False

    def run(self, console: Console) -> None:
        from safepursuit.viewer.packing import page  # late, for a faster start
        from safepursuit.viewer.trainings import trainings, watched

        if not self.run_folders:
            raise UsageError("name a run folder: safepursuit watch RUN.")
        runs, content = watched(self.run_folders), page("watch").encode()
        answers = {"/": lambda _: content, "/data": lambda _: json.dumps(trainings(runs), allow_nan=False).encode()}
        self.served.show(console, answers)
