"""The falsifier against the shipped shield and against planted mistakes: `make falsify`.

usage: python benchmarks/falsifier.py STEPS [PLANTED_STEPS]

Writes docs/benchmarks/falsifier.md and .json. The figures of each world are kept in build/falsifier/, in a folder for
the text of the package and of the numbers asked for, so that the command goes on where it stopped; Ctrl-C writes the
page of what is finished.
"""

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from safepursuit.attack.falsify import falsify, keep
from safepursuit.attack.planted import CONTROL, mistakes
from safepursuit.attack.search import SEARCHES
from safepursuit.attack.worlds import World, shipped
from safepursuit.benchmark.machine import about, described, package_digest
from safepursuit.benchmark.tables import Table, grid
from safepursuit.cli.falsify import teller
from safepursuit.evaluation.metrics import rate
from safepursuit.process import keep_freed_memory, use_all_cores
from safepursuit.runs.folder import read_json, slug, write_json, write_text

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs" / "benchmarks"
GAMES = 8192
"""Of a batch of the long search."""

PAGE = """\
# Falsifier

`make falsify FALSIFY={budget:_}` wrote this page; `safepursuit falsify --shield` and `--planted` do the same on a
smaller scale. Random games, descent along the gradient through game and shield, and CMA-ES take turns; they choose
start, up to 16 discs, nominal controls, gains and errors within the budget, and the referee judges every step. The
searches are told how near a game came, and go on from there.

## The shipped shield

**{hits} contacts in {steps:,} shielded steps, {bound}**, and {infeasible:,} steps without a solution, in
{seconds:,.0f} s. By search: {searches}.{missing}

{shield}

Least clearance is that of the body without margin; the searches press it against the margin of rounding. *Stopped* is
the share of steps in which no command but *stop* could be certified (robots with inertia).

## Planted mistakes

What finds nothing must be able to find something. Each of these layers has one mistake, and the same searches look for
it; *simplest* is what is left of the game after shrinking. The last one has no mistake: it is the program alone, which
is sound from starts in its safe set.

{planted}

{machine}
"""


def falsified(kind: str, worlds: Sequence[World], budget: int, games: int) -> dict[str, Any]:
    """The figures of these worlds, with `budget` steps each; what is found is kept as recordings beside them."""
    folder = ROOT / "build" / "falsifier" / f"{kind}-{budget}-{games}-{package_digest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    files = {world.name: folder / f"{slug(world.name)}.json" for world in worlds}
    console = Console()
    with contextlib.suppress(KeyboardInterrupt), console.status(kind) as status:
        for index, world in enumerate(worlds):
            if not files[world.name].is_file():
                tell = teller(console, status, world, len(worlds), index)
                found = falsify(world, budget, games=games, progress=tell)
                keep(found, folder)
                row = found.summary()
                row.pop("first", None)
                row.get("minimal", {}).pop("plan", None)
                write_json(files[world.name], row)
    rows = [read_json(file) for file in files.values() if file.is_file()]
    missing = [name for name, file in files.items() if not file.is_file()]
    steps = sum(row["steps"] for row in rows)
    bound = None if any(row["contacts"] for row in rows) else rate(0, steps, "exact")["high"]
    seconds = sum(row["seconds"] for row in rows)
    found = {"budget": budget * len(files), "steps": steps, "seconds": seconds, "upper_bound": bound}
    return found | {"worlds": rows, "missing": missing}


def shield_table(found: dict[str, Any]) -> str:
    rows = [
        (
            one["world"],
            f"{one['steps']:,}",
            f"{one['contacts']:,}",
            f"{one['infeasible']:,}",
            f"{one['stopped'] / one['steps']:.1%}",
            f"{1e6 * one['least_clearance']:.2f} µm",
            f"{one['seconds']:,.0f} s",
        )
        for one in found["worlds"]
    ]
    head = ("world", "steps", "contacts", "infeasible", "stopped", "least clearance", "time")
    return grid(Table("", head, rows, left=1))


def planted_table(found: dict[str, Any]) -> str:
    rows = []
    for one in found["worlds"]:
        minimal = one.get("minimal")
        discs = minimal and f"{minimal['discs']} disc{'s' * (minimal['discs'] != 1)}, step {minimal['step']}"
        depth = f"{1e3 * minimal['depth']:.3g} mm" if minimal else "–"
        rows.append(
            (
                one["world"].replace("|", r"\|"),
                one["found_by"] or "nothing found",
                f"{one['steps']:,}",
                discs or "–",
                depth,
            )
        )
    return grid(Table("", ("mistake", "found by", "steps", "simplest", "depth"), rows, left=2))


def page(found: dict[str, Any]) -> str:
    shield = found["shield"]
    bound = shield["upper_bound"]
    return PAGE.format(
        budget=shield["budget"],
        hits=sum(one["contacts"] for one in shield["worlds"]),
        steps=shield["steps"],
        bound=f"at most {bound:.1e} per step (95 %)" if bound else "which is a failure of the shield",
        infeasible=sum(one["infeasible"] for one in shield["worlds"]),
        seconds=shield["seconds"],
        searches=", ".join(
            f"{name} {sum(one['searches'].get(name, 0) for one in shield['worlds']):,}" for name in SEARCHES
        ),
        missing=f" Not attacked yet: {'; '.join(shield['missing'])}." if shield["missing"] else "",
        shield=shield_table(shield),
        planted=planted_table(found["planted"]),
        machine=described(found["about"]),
    )


if __name__ == "__main__":
    budget = int(sys.argv[1])
    planted = int(sys.argv[2]) if len(sys.argv) > 2 else 8_000_000
    use_all_cores()
    keep_freed_memory()  # or half of the time goes into fetching it anew
    attacked, mistaken = shipped(), (*mistakes(), CONTROL)
    figures = {
        "about": about(),
        "planted": falsified("planted", mistaken, planted // len(mistaken), 2048),
        "shield": falsified("shield", attacked, -(-budget // len(attacked)), GAMES),
    }
    write_json(OUT / "falsifier.json", figures)
    write_text(OUT / "falsifier.md", page(figures))
