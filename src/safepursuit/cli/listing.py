"""`list`; a module of that name would hide the built-in one."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro
from rich.console import Console

from safepursuit.cli.usage import Debug, unframed
from safepursuit.evaluation.scenarios import SUITES
from safepursuit.experiment.zoo import PREFIX, catalogue
from safepursuit.plugins import REGISTRIES
from safepursuit.scene import gallery


@dataclass(frozen=True)
class List:
    """List parts of the package and of plugins, with a sentence about each."""

    kind: Annotated[
        Literal[
            "methods",
            "evaders",
            "pursuers",
            "players",
            "robots",
            "sensors",
            "rewards",
            "scenes",
            "networks",
            "suites",
            "zoo",
        ],
        tyro.conf.Positional,
    ]
    """What to list."""
    debug: Debug = False

    def run(self, console: Console) -> None:
        known = {kind: [(name, of.summary(name)) for name in of] for kind, of in REGISTRIES.items()}
        known["zoo"] = [(f"{PREFIX}{name}", one["summary"]) for name, one in catalogue().items()]
        known["scenes"] += gallery().items()
        known["suites"] = [(name, suite.summary) for name, suite in SUITES.items()]
        known["players"] = [
            (f"{name} ({kind[:-1]})", text) for kind in ("pursuers", "evaders") for name, text in known[kind]
        ]
        console.print(unframed(known[self.kind]))
