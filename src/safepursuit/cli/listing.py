"""`list`. (A module named `list` would hide the built-in name from this package.)"""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro
from rich.console import Console

from safepursuit.cli.usage import Debug, unframed
from safepursuit.evaluation.scenarios import SUITES
from safepursuit.players import EVADERS, PURSUERS, summary
from safepursuit.policy import HEADS


@dataclass(frozen=True)
class List:
    """Name what there is: methods, evaders, players or suites."""

    kind: Annotated[Literal["methods", "evaders", "players", "suites"], tyro.conf.Positional]
    """What to list."""
    debug: Debug = False

    def run(self, console: Console) -> None:
        entries = {
            "methods": {name: (head.__doc__ or "").partition("\n")[0] for name, head in HEADS.items()},
            "evaders": {name: summary(player) for name, player in EVADERS.items()},
            "players": {f"{name} (pursuer)": summary(player) for name, player in PURSUERS.items()}
            | {f"{name} (evader)": summary(player) for name, player in EVADERS.items()},
            "suites": {name: suite.summary for name, suite in SUITES.items()},
        }[self.kind]
        console.print(unframed((f"[bold]{name}[/bold]", text) for name, text in entries.items()))
