"""`export` and `check-export`."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from safepursuit.attack.head import attack
from safepursuit.cli.usage import Debug, Run, UsageError, check_folders, save_json, say
from safepursuit.experiment import TrainedRun, load_run, open_run
from safepursuit.runs.checkpoint import Which

_ATTACK = 100_000
"""Steps of the attack on a head of a plugin."""


@dataclass(frozen=True)
class Export:
    """Write a run's deployed policy, network and safety layer, as one ONNX file."""

    run_folder: Run
    """The run folder."""
    out: Path
    """The file to write, .onnx."""
    discs: int | None = None
    """Number of discs in the file (default: as in the training)."""
    edges: int | None = None
    """Number of edges, straight walls of finite length, in the file (default: as in the training)."""
    movers: int | None = None
    """Number of discs that move in the file (default: as in the training)."""
    checkpoint: Which = "latest"
    """Which checkpoint is exported."""
    debug: Debug = False

    def run(self, console: Console) -> None:
        adapter = onnx_adapter()
        run = open_run(self.run_folder)
        if self.out.exists():
            raise UsageError(f"{self.out} already exists; name another file, or remove it first.")
        check_folders(self.out)
        trained = load_run(run, self.checkpoint)
        _try_promise(trained, console)
        training = adapter.training_of(run, trained.steps, self.checkpoint)
        rows = {"discs": self.discs, "edges": self.edges, "movers": self.movers}
        model = adapter.export(trained.policy, trained.config, **rows, training=training)
        adapter.write(model, self.out)
        say(
            console,
            f"{self.out} ({len(model.graph.node)} nodes, {self.out.stat().st_size / 1e3:.0f} kB); compare it with the "
            f"run: {shlex.join(['safepursuit', 'check-export', str(self.out), str(self.run_folder)])}",
        )


def _try_promise(trained: TrainedRun, console: Console) -> None:
    """Attack a plugin's head that promises something before its model card says so; ours are attacked by the tests."""
    config = trained.config
    if config.promises and not type(trained.policy.head).__module__.startswith("safepursuit."):
        with console.status(f"attacking {escape(config.method)} …"):
            found = attack(config, _ATTACK)
        if found.contacts:
            raise RuntimeError(
                f"the head {config.method!r} promises to keep clear, but touched something in {found.contacts:,} of "
                f"{found.steps:,} steps under attack; nothing was written."
            )


@dataclass(frozen=True)
class CheckExport:
    """Compare an exported file with its run on 10,000 various states, and time it."""

    file: Annotated[Path, tyro.conf.Positional]
    """The exported file."""
    run_folder: Run
    """The run folder of the export."""
    checkpoint: Which = "latest"
    """Which checkpoint was exported."""
    seed: int = 0
    """Chooses the states."""
    json: Path | None = None
    """Write the figures to this file as well; “-” is standard output, and the table goes to standard error."""
    debug: Debug = False

    def run(self, console: Console) -> None:
        adapter = onnx_adapter()
        run = open_run(self.run_folder)
        check_folders(self.json)
        trained = load_run(run, self.checkpoint)
        with console.status("comparing …"):
            comparison = adapter.compare(self.file, trained.policy, trained.config, seed=self.seed)
            times = adapter.latency(self.file)
        save_json(self.json, comparison.result | {"latency": times})
        console.print(_table(comparison.result))
        console.print(
            f"single call on one thread: median {times['p50_us']:.0f} µs, 99 % below {times['p99_us']:.0f} µs, longest "
            f"{times['max_us']:.0f} µs of {times['calls']:,}",
            highlight=False,
        )
        if not comparison.passed:
            raise RuntimeError(f"{self.file} is not its run: {differences(comparison.result)}.")


def onnx_adapter() -> ModuleType:
    """The adapter. Raises RuntimeError without its extra."""
    try:
        from safepursuit.adapters import onnx
    except ModuleNotFoundError as missing:
        raise RuntimeError(str(missing)) from None
    return onnx


def differences(result: dict[str, Any]) -> str:
    """In what a file is not its run, in words."""
    verdicts, tolerance = result["verdicts"], result["tolerance"]
    said = [
        f"{name} differs by up to {one['double']['largest']:.1e}, more than {tolerance['double']:g}"
        for name, one in result["outputs"].items()
        if name not in verdicts and one["double"]["beyond_tolerance"]
    ]
    said += [
        f"{name} of the package in single precision differs by more than {tolerance['single']:g} and its rounding in "
        f"{one['single']['unexplained']:,} states"
        for name, one in result["outputs"].items()
        if one["single"].get("unexplained")
    ]
    said += [
        f"{name} is another in {one['different'] - one['ties']:,} states without a tie"
        for name, one in verdicts.items()
        if one["different"] > one["ties"]
    ]
    return " and ".join(said)


def _table(result: dict[str, Any]) -> Table:
    ties = [f"{one['ties']:,} of {one['different']:,} ({name})" for name, one in result["verdicts"].items()]
    table = Table(
        title=f"{escape(result['file'])} ({escape(result['method'])}) against JAX on {result['states']:,} states",
        title_justify="left",
        title_style="bold",
        caption=f"double: the same arithmetic, tolerance {result['tolerance']['double']:g}; single: as trained, "
        f"tolerance {result['tolerance']['single']:g} or what rounding of the inputs does to the answer; active "
        f"and feasible: states in which they differ, of which in double precision {', '.join(ties)} are ties that "
        "rounding decides",
        caption_justify="left",
    )
    table.add_column("output")
    for precision in ("double", "single"):
        table.add_column(f"largest difference, {precision}", justify="right")
        table.add_column("states beyond", justify="right")
    for name, found in result["outputs"].items():
        cells = []
        for precision in ("double", "single"):
            largest = "" if name in result["verdicts"] else f"{found[precision]['largest']:.1e}"
            cells += [largest, f"{found[precision]['beyond_tolerance']:,}"]
        table.add_row(name, *cells)
    return table
