"""`list` and `doctor`."""

from dataclasses import dataclass
from typing import Annotated, Literal

import jax.numpy as jnp
import tyro
from rich.console import Console
from rich.table import Table

from safepursuit.evaluation.scenarios import SUITES
from safepursuit.experiment import TrainConfig
from safepursuit.learn import BarrierNetTrainer
from safepursuit.players import EVADERS, PURSUERS, summary
from safepursuit.policy import HEADS
from safepursuit.qp import Halfplanes, project
from safepursuit.runs.folder import provenance


@dataclass(frozen=True)
class List:
    """Name what there is: methods, evaders, players or suites."""

    kind: Annotated[Literal["methods", "evaders", "players", "suites"], tyro.conf.Positional]
    """What to list."""
    debug: bool = False
    """Show the traceback of an error."""

    def run(self, console: Console) -> None:
        entries = {
            "methods": {name: _first_sentence(head.__doc__) for name, head in HEADS.items()},
            "evaders": {name: summary(player) for name, player in EVADERS.items()},
            "players": {
                **{f"{name} (pursuer)": summary(player) for name, player in PURSUERS.items()},
                **{f"{name} (evader)": summary(player) for name, player in EVADERS.items()},
            },
            "suites": {name: suite.summary for name, suite in SUITES.items()},
        }[self.kind]
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        for name, text in entries.items():
            table.add_row(f"[bold]{name}[/bold]", text)
        console.print(table)


@dataclass(frozen=True)
class Doctor:
    """Check that this installation works: versions, device, a solved program, a played step."""

    debug: bool = False
    """Show the traceback of an error."""

    def run(self, console: Console) -> None:
        facts = provenance()
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        for name in ("python", "platform", "cores", "device", "commit"):
            table.add_row(name, str(facts[name]))
        for name, version in facts["packages"].items():
            table.add_row(name, str(version))
        console.print(table)
        for check in (_check_projection, _check_game, _check_terminal):
            console.print(f"[green]ok[/green]  {check(console)}", highlight=False)


def _first_sentence(text: str | None) -> str:
    return " ".join((text or "").split()).split(". ")[0].rstrip(".") + "."


def _check_projection(console: Console) -> str:
    corner = project(jnp.array([2.0, 3.0]), Halfplanes(jnp.eye(2), jnp.ones(2)), jnp.ones(2))
    if not bool(jnp.allclose(corner.u, 1, atol=1e-5)):
        raise RuntimeError(f"the projection of (2, 3) onto the unit corner came out as {corner.u}.")
    return "the quadratic program is solved exactly"


def _check_game(console: Console) -> str:
    config = TrainConfig(num_envs=8, rollout_length=8, timesteps=64)
    summary = BarrierNetTrainer(config).train()
    return f"a BarrierNet trained for {summary['steps']} steps"


def _check_terminal(console: Console) -> str:
    return f"the terminal is {console.width} columns wide" + ("" if console.is_terminal else " (not interactive)")
