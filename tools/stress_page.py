"""Write docs/benchmarks/stress.md from figures of `safepursuit stress --json`: `make stress`.

usage: python tools/stress_page.py TITLE=RUN …

The figures of an imperfection are in RUN-IMPERFECTION.json. Beside the page a picture for each run shows captures and
contacts over the size of each imperfection.
"""

import json
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from safepursuit.attack.stress import IMPERFECTIONS
from safepursuit.benchmark.tables import Table, grid
from safepursuit.runs.folder import slug, write_text

DOCS = Path(__file__).resolve().parents[1] / "docs"

INTRODUCTION = """\
# What the runs stand

Written by `make stress` (`tools/stress_page.py`); do not edit by hand. Each imperfection of
[`safepursuit stress`](../robots.md#3-what-it-stands) alone, in growing sizes. *Declared* is what the budget of the run
covers, so that no contact may happen. *Contacts* are episodes with an own collision, judged by the referee, and what
touched: wall, disc, or the other robot, which the radius of capture keeps away as long as robots and steps are those
believed. The least clearance is that from walls and discs.
"""


def gathered(run: str) -> list[dict[str, Any]]:
    """The rows of all imperfections that there are: no imperfection once, then the others."""
    files = [Path(f"{run}-{name}.json") for name in IMPERFECTIONS]
    parts = [json.loads(file.read_text(encoding="utf-8")) for file in files if file.is_file()]
    if not parts:
        raise SystemExit(f"there are no figures {run}-….json: run make stress.")
    return [parts[0][0], *(row for part in parts for row in part[1:])]


def table(rows: list[dict[str, Any]]) -> str:
    body = []
    for row in rows:
        name, size, capture, contacts = row["imperfection"], row["size"], row["capture"], row["collision"]
        least = row["min_clearance"]
        body.append(
            (
                f"{name}, {size:g} {IMPERFECTIONS[name].unit}" if name in IMPERFECTIONS else name,
                "yes" if row["within"] else "",
                f"{capture['rate']:.1%} ({capture['low']:.1%}–{capture['high']:.1%})",
                f"{contacts['count']} ({contacts['low']:.1%}–{contacts['high']:.1%})",
                " / ".join(str(contacts["by"][kind]) for kind in ("wall", "obstacle", "robot")),
                "" if least is None else f"{1e3 * least:.1f} mm".replace("-", "−"),
            )
        )
    head = ("imperfection", "declared", "captured (95 %)", "contacts (95 %)", "wall / disc / robot", "least clearance")
    return grid(Table("", head, body, left=2))


def curves(rows: list[dict[str, Any]], file: Path) -> None:
    """Captures and contacts over the size, one picture per imperfection."""
    none, *others = rows
    groups = [(name, list(each)) for name, each in groupby(others, key=lambda row: row["imperfection"])]
    columns = min(4, len(groups))
    lines = -(-len(groups) // columns)
    figure = Figure((2.4 * columns, 2.2 * lines), layout="constrained")
    grid_of_axes = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
    for axes, (name, each) in zip(grid_of_axes, groups, strict=False):
        sizes = [row["size"] for row in each]
        exact = 1.0 if name in ("brakes", "radius", "step", "evader-speed") else 0.0  # where nothing is wrong
        for label, key, colour in (("captured", "capture", "tab:blue"), ("with a contact", "collision", "tab:red")):
            found = [none[key], *(row[key] for row in each)]
            shares, low, high = ([100 * one[part] for one in found] for part in ("rate", "low", "high"))
            axes.plot([exact, *sizes], shares, ".-", color=colour, label=label)
            axes.fill_between([exact, *sizes], low, high, color=colour, alpha=0.2, linewidth=0)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel(IMPERFECTIONS[name].unit, fontsize=8)
        axes.set_ylim(-3, 103)
        axes.tick_params(labelsize=7)
    for axes in grid_of_axes[len(groups) :]:
        axes.set_visible(False)
    grid_of_axes[0].set_ylabel("episodes [%]", fontsize=8)
    grid_of_axes[0].legend(fontsize=7)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)


def main() -> None:
    parts = [INTRODUCTION]
    for title, path in (word.split("=", 1) for word in sys.argv[1:]):
        rows = gathered(path)
        name = f"stress-{slug(title.lower().replace(' ', '-'))}.png"
        curves(rows, DOCS / "images" / name)
        about = f"{rows[0]['episodes']:,} episodes per size against `{rows[0]['evader']}`."
        parts.append(f"\n## {title}\n\n{about}\n\n![{title}](../images/{name})\n\n{table(rows)}\n")
    write_text(DOCS / "benchmarks" / "stress.md", "".join(parts))


if __name__ == "__main__":
    main()
