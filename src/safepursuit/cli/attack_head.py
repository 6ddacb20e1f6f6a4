"""`attack-head`."""

from dataclasses import dataclass
from typing import Annotated

import tyro
from rich.console import Console
from rich.markup import escape

from safepursuit.attack.head import attack
from safepursuit.cli.usage import Debug, say
from safepursuit.evaluation.metrics import rate
from safepursuit.experiment import TrainConfig


@dataclass(frozen=True)
class AttackHead:
    """Attack a head's promise with random policies in crowded scenes and in contact; the referee counts contacts."""

    method: Annotated[str, tyro.conf.Positional]
    """The head; `safepursuit list methods` names them."""
    steps: int = 1_000_000
    """Least number of steps."""
    robot: str = "unicycle"
    """Model of the robots."""
    seed: int = 0
    """Chooses policies and scenes."""
    debug: Debug = False

    def run(self, console: Console) -> None:
        config = TrainConfig(method=self.method).with_robot(self.robot)
        with console.status(f"attacking {escape(self.method)} …"):
            found = attack(config, self.steps, self.seed)
        bound = rate(found.contacts, found.steps, "exact")["high"]
        say(
            console,
            f"{self.method}: {found.contacts:,} contacts in {found.steps:,} steps (at most {bound:.1e} per step), "
            f"{1e3 * found.depth:.3f} mm deep; it promises {'to touch nothing' if config.promises else 'nothing'}.",
        )
        if found.contacts and config.promises:
            raise RuntimeError(f"the head {self.method} does not keep its promise.")
