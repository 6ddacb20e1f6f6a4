"""`falsify`."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from safepursuit.attack.falsify import Finding, falsify, keep
from safepursuit.attack.search import evolution_strategy
from safepursuit.attack.worlds import World, of_run, shipped
from safepursuit.cli.usage import STANDARD_OUTPUT, Debug, UsageError, check_folders, save_json, say
from safepursuit.evaluation.metrics import rate
from safepursuit.experiment import load_run, open_run
from safepursuit.process import keep_freed_memory, use_all_cores
from safepursuit.ranges import check_seed

_LINE_EVERY = 10.0
"""Seconds between two lines of progress where there is no terminal."""


@dataclass(frozen=True)
class Falsify:
    """Search for a game in which the shield, or a trained policy behind it, touches a wall or a disc."""

    run_folder: Annotated[Path | None, tyro.conf.Positional] = None
    """The run folder of the policy to attack."""
    shield: bool = False
    """Attack the shield itself, for every kind of robot, with and without errors."""
    planted: bool = False
    """Attack known mistakes instead, each of which must be found."""
    budget: int = 1_000_000
    """Steps in all, each judged by the referee."""
    seed: int = 0
    """Chooses the games."""
    json: Path | None = None
    """Write the figures to this file; “-” is standard output."""
    out: Path = Path("counterexamples")
    """Folder for recordings of what collides, made where something does."""
    debug: Debug = False

    def run(self, console: Console) -> None:
        check_folders(self.json)
        check_seed(self.seed)
        if (self.run_folder is not None) + self.shield + self.planted != 1:
            raise UsageError("falsify takes one of a run folder, --shield and --planted.")
        if self.budget < 1:
            raise UsageError(f"--budget must be at least 1, not {self.budget}.")
        if self.out.exists() and not self.out.is_dir():
            raise UsageError(f"{self.out} is a file: name a folder.")
        evolution_strategy()  # says what is missing before anything is searched
        use_all_cores()
        keep_freed_memory()
        worlds, policy = self._worlds()
        began = time.monotonic()
        findings: list[Finding] = []
        with console.status("searching …") as status:
            for index, world in enumerate(worlds):
                # What a world leaves unused is for the others.
                left = self.budget - sum(one.steps for one in findings)
                tell = teller(console, status, world, len(worlds), index)
                found = falsify(
                    world, max(1, left // (len(worlds) - index)), seed=self.seed, policy=policy, progress=tell
                )
                findings.append(found)
                say(console, _line(found))
                for file in keep(found, self.out):
                    say(console, f"  {file}")
        self._report(console, findings, time.monotonic() - began)

    def _worlds(self) -> tuple[tuple[World, ...], Any]:
        if self.run_folder is not None:
            run = load_run(open_run(self.run_folder))
            return (of_run(run.config, self.run_folder.name or "run"),), run.agent
        from safepursuit.attack.planted import CONTROL, mistakes

        return ((*mistakes(), CONTROL) if self.planted else shipped()), None

    def _report(self, console: Console, findings: list[Finding], seconds: float) -> None:
        steps, hits = sum(one.steps for one in findings), [one for one in findings if one.first is not None]
        figures = {
            "budget": self.budget,
            "seed": self.seed,
            "steps": steps,
            "seconds": seconds,
            "found": len(hits),
            "upper_bound": None if hits else rate(0, steps, "exact")["high"],
            "worlds": [one.summary() for one in findings],
        }
        save_json(self.json, figures)
        if self.json != STANDARD_OUTPUT:
            console.print(_table(findings))
        if self.planted:
            missed = [one.world.name for one in findings[:-1] if one.first is None]
            if missed or findings[-1].first is not None:
                wrong = f"not found: {', '.join(missed)}" if missed else "a collision of the sound program was found"
                raise RuntimeError(f"the search is not to be trusted: {wrong}.")
            say(console, f"All {len(findings) - 1} planted mistakes found, nothing in the sound program.")
        elif hits:
            what = hits[0].minimal or hits[0].first
            assert what is not None
            raise RuntimeError(f"{what.sentence(hits[0].world)}; {len(hits)} of {len(findings)} worlds collide.")
        else:
            bound = figures["upper_bound"]
            say(console, f"0 contacts in {steps:,} steps, at most {bound:.1e} per step (95 %), in {seconds:,.0f} s.")


def _line(found: Finding) -> str:
    figures = found.summary()
    if found.minimal is None:
        least = figures["least_clearance"]
        near = "" if least is None else f", least clearance {1e3 * least:.4f} mm"
        return f"{found.world.name}: no contact in {found.steps:,} steps{near}"
    return f"{found.minimal.sentence(found.world)}, by {found.found_by}, after {found.steps:,} steps"


def teller(console: Console, status: Any, world: World, worlds: int, index: int) -> Callable[[Finding], None]:
    """Reports progress: on a terminal in place, elsewhere by a line now and then."""
    last = time.monotonic()

    def tell(finding: Finding) -> None:
        nonlocal last
        text = f"{index + 1} of {worlds}, {world.name}: {finding.steps:,} steps"
        if console.is_terminal:
            status.update(text)
        elif time.monotonic() - last > _LINE_EVERY:
            last = time.monotonic()
            say(console, text)
            sys.stdout.flush()

    return tell


def _table(findings: list[Finding]) -> Table:
    table = Table(
        caption="steps judged by the referee; stopped: no command but stop was certified", caption_justify="left"
    )
    for name in ("world", "steps", "contacts", "infeasible", "stopped"):
        table.add_column(name, justify="left" if name == "world" else "right", no_wrap=name != "world")
    for one in findings:
        row = one.summary()
        stopped = f"{row['stopped'] / max(one.steps, 1):.1%}"
        table.add_row(row["world"], f"{one.steps:,}", str(row["contacts"]), str(row["infeasible"]), stopped)
    return table
