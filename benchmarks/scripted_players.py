"""Every scripted pursuer against every scripted evader, beside the design study's figures: `make bench-players`.

usage: python benchmarks/scripted_players.py DISCS=COMPARISON …

Reads finished comparisons (`safepursuit compare --pursuers all`) and writes docs/benchmarks/scripted_players.md, .json.
"""

import sys
from pathlib import Path
from typing import Any

from safepursuit.compare import cells, plan
from safepursuit.evaluation.metrics import rate
from safepursuit.players import EVADERS, PURSUERS
from safepursuit.runs.folder import write_json

OUT = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"

STUDY: dict[tuple[str, str], tuple[tuple[int, float] | None, tuple[int, float] | None]] = {
    ("pure-pursuit", "random"): ((200, 100.0), (200, 100.0)),
    ("pure-pursuit", "flee"): ((200, 94.0), (200, 94.0)),
    ("pure-pursuit", "mpc"): ((200, 27.5), (200, 22.0)),
    ("pure-pursuit", "hide"): (None, (200, 86.0)),
    ("lead-intercept", "random"): ((200, 100.0), (200, 100.0)),
    ("lead-intercept", "flee"): ((200, 100.0), (200, 100.0)),
    ("lead-intercept", "mpc"): ((200, 97.5), (200, 97.5)),
    ("lead-intercept", "mpc-lead"): ((100, 95.0), (100, 85.0)),
    ("lead-intercept", "mpc-robust"): (None, (100, 90.0)),
    ("lead-intercept", "hide"): (None, (200, 98.5)),
}
"""Episodes and captures [%] without discs and with four, of the throw-away players of the design study."""

WHY = """\
Where the two disagree beyond chance, the evader is another one: of the study's players only a name and a line remain.

* `flee`: the study's is described as greedy flight with a slide along walls, that is, it turned once it was there. Ours
  begins to turn 1.5 m before a wall or disc and so keeps its speed; pure pursuit, which heads at where the evader is,
  stays behind it in about half of the episodes, while lead-intercept cuts the corner in both.
* `hide`: the study's hid behind a disc. Ours goes on around the disc as the pursuer comes, and no pursuer of equal
  speed can answer that by following.
* `mpc`, `mpc-lead`, `mpc-robust`: the horizons are the study's (2.4 s and 3.6 s), candidates and score are our own: 16
  courses, each bent along walls and discs as it is played out, valued by the least distance and, less, the last one.
  Against pure pursuit that is by far the stronger evader; against lead-intercept the two differ by a few points, in
  either direction.\
"""


def measured(folder: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """pursuer → evader → capture with its interval, episodes and collisions, of one comparison."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for cell in plan.read(folder).cells():
        record = cells.read(cell.file(folder))
        captured = record.outcomes.captured
        found.setdefault(cell.contender.name, {})[cell.evader] = {
            "episodes": len(captured),
            **rate(int(captured.sum()), len(captured), "wilson"),
            "collisions": record.result["collision"]["count"],
        }
    return found


def interval(cell: dict[str, Any]) -> str:
    return f"{100 * cell['rate']:.1f} [{100 * cell['low']:.1f}, {100 * cell['high']:.1f}]"


def table(rows: dict[str, dict[str, dict[str, Any]]]) -> list[str]:
    lines = ["| pursuer | " + " | ".join(EVADERS) + " |", "|---|" + "---:|" * len(EVADERS)]
    return lines + [
        f"| {name} | {' | '.join(interval(rows[name][evader]) for evader in EVADERS)} |" for name in PURSUERS
    ]


def beside_the_study(found: dict[int, dict]) -> list[str]:
    """The pairs that the study has figures of, with the question whether chance explains the difference."""
    lines = ["| pursuer | evader | discs | study | here | overlap |", "|---|---|---:|---:|---:|---|"]
    for (pursuer, evader), figures in STUDY.items():
        for discs, known in zip((0, 4), figures, strict=True):
            if known is None or discs not in found:
                continue
            episodes, percent = known
            study = rate(round(episodes * percent / 100), episodes, "wilson")
            here = found[discs][pursuer][evader]
            meet = study["low"] <= here["high"] and here["low"] <= study["high"]
            lines.append(
                f"| {pursuer} | {evader} | {discs} | {interval(study)} | {interval(here)} | {'yes' if meet else 'no'} |"
            )
    return lines


def main() -> None:
    folders = {int(discs): Path(path) for discs, path in (word.split("=", 1) for word in sys.argv[1:])}
    found = {discs: measured(folder) for discs, folder in folders.items()}
    every = [cell for rows in found.values() for row in rows.values() for cell in row.values()]
    episodes, hits = sum(cell["episodes"] for cell in every), sum(cell["collisions"] for cell in every)
    bound = rate(hits, episodes, "exact")["high"]
    write_json(OUT / "scripted_players.json", {"suite": "standard", "discs": {str(key): found[key] for key in found}})
    lines = [
        "# Scripted players against each other",
        "",
        "Written by `make bench-players` (`benchmarks/scripted_players.py`); do not edit by hand. Share of "
        f"{every[0]['episodes']} episodes of the suite `standard` that end in capture within 30 s, in per cent, with "
        "the 95 % Wilson interval; equal speeds, both behind the shield. Episodes in which the pursuer touched "
        f"anything, by the referee: {hits} of {episodes:,} (95 % upper bound {bound:.3%}).",
    ]
    for discs, rows in found.items():
        lines += ["", f"## {discs or 'No'} discs", "", *table(rows)]
    lines += [
        "",
        "Without discs `orbit` and `hide` flee.",
        "",
        "## Beside the figures of the design study",
        "",
        *beside_the_study(found),
        "",
        *WHY.splitlines(),
    ]
    (OUT / "scripted_players.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
