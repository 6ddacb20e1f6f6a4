"""`doctor`."""

from dataclasses import dataclass

import jax.numpy as jnp
from rich.console import Console

from safepursuit.cli.usage import Debug, unframed
from safepursuit.experiment import TrainConfig
from safepursuit.learn import BarrierNetTrainer
from safepursuit.qp import Halfplanes, project
from safepursuit.runs.folder import provenance


@dataclass(frozen=True)
class Doctor:
    """Check this installation: versions, device, a quadratic program, a short training."""

    debug: Debug = False

    def run(self, console: Console) -> None:
        facts = provenance()
        rows = {name: facts[name] for name in ("python", "platform", "cores", "device", "commit")} | facts["packages"]
        console.print(unframed((name, str(fact)) for name, fact in rows.items()))
        for check in (_check_projection, _check_game, _check_terminal):
            console.print(f"[green]ok[/green]  {check(console)}", highlight=False)


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
