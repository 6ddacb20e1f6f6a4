"""The falsifier against the shipped shield and against planted mistakes: `make falsify`.

usage: python benchmarks/falsifier.py STEPS [PLANTED_STEPS]

Writes docs/benchmarks/falsifier.md and .json.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from safepursuit.attack.search import SEARCHES
from safepursuit.benchmark.machine import about, described
from safepursuit.benchmark.tables import Table, grid
from safepursuit.cli import main
from safepursuit.runs.folder import read_json, write_json, write_text

OUT = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"

PAGE = """\
# Falsifier

`make falsify FALSIFY={budget:_}` wrote this page, by `safepursuit falsify --shield` and `--planted`. Random games,
descent along the gradient through game and shield, and CMA-ES take turns; they choose start, up to 16 discs, nominal
controls, gains and errors within the budget, and the referee judges every step. The searches are told how near a game
came, and go on from there.

## The shipped shield

**{hits} contacts in {steps:,} shielded steps, {bound}**, and {infeasible:,} steps without a solution, in
{seconds:,.0f} s. By search: {searches}. A world of few steps has had random games alone.

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


def falsified(flag: str, steps: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figures.json"
        words = ["falsify", flag, "--budget", str(steps), "--json", str(file), "--out", str(Path(folder) / "found")]
        main(words)
        figures = read_json(file)
    for one in figures["worlds"]:  # the games themselves are the falsifier's to write
        one.pop("first", None)
        one.get("minimal", {}).pop("plan", None)
    return figures


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
        shield=shield_table(shield),
        planted=planted_table(found["planted"]),
        machine=described(found["about"]),
    )


if __name__ == "__main__":
    budget = int(sys.argv[1])
    planted = int(sys.argv[2]) if len(sys.argv) > 2 else 8_000_000
    figures = {"about": about(), "planted": falsified("--planted", planted), "shield": falsified("--shield", budget)}
    write_json(OUT / "falsifier.json", figures)
    write_text(OUT / "falsifier.md", page(figures))
