"""The figures of an evaluation as a table."""

from typing import Any

from rich.markup import escape
from rich.table import Table

from safepursuit.evaluation.metrics import complement
from safepursuit.experiment import TrainConfig
from safepursuit.scene import Arena


def obstacles(arena: Arena) -> str:
    """How many discs an arena has, in words: “3 obstacles”, or “0–3 obstacles” where their number is drawn; of a
    room also its name."""
    most, least = arena.obstacles, arena.min_obstacles
    number = f"{most}" if least in (None, most) else f"{least}–{most}"
    discs = f"{number} obstacle{'s' * (number != '1')}"
    return f"room {arena.scene}" + f" with {discs}" * (most > 0) if arena.room else discs


def as_role(config: TrainConfig) -> str:
    """What stands after the method of an evader."""
    return " (evader)" if config.role == "evader" else ""


def evaluation_table(result: dict[str, Any], arena: Arena) -> Table:
    """The figures of one evaluation in this arena, with their intervals."""
    table = Table(
        title=f"{escape(result['pursuer'])} against {escape(result['evader'])}, {obstacles(arena)}: "
        f"{result['episodes']:,} held-out episodes, {result['steps']:,} steps",
        title_justify="left",
        title_style="bold",
        caption="intervals: Wilson for capture and escapes, Clopper–Pearson for collisions; judged by the referee",
        caption_justify="left",
    )
    table.add_column("")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="right")
    for name, value, interval in evaluation_rows(result):
        table.add_row(name, value, interval)
    return table


def evaluation_rows(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(what, value, interval) as text, in the order in which they are shown."""
    time, collision, clearance = result["capture_time"], result["collision"], result["min_clearance"]
    kinds = ", ".join(f"{collision['by'][kind]} {kind}" for kind in ("wall", "obstacle", "robot"))
    if result["role"] == "evader":
        found = [("escapes", *_rate(complement(result["capture"])))]
    else:
        found = [
            ("capture", *_rate(result["capture"])),
            ("capture without collision", *_rate(result["capture_without_collision"])),
        ]
    return [
        *found,
        ("capture time, mean", _seconds(time["mean"]), ""),
        ("capture time, median", _seconds(time["median"]), ""),
        ("restricted mean time", _seconds(time["restricted_mean"]), ""),
        ("own collisions (episodes)", f"{collision['count']} ({kinds})", _rate(collision)[1]),
        *([("touched at rest by a mover", f"{result['touched']}", "")] if result.get("touched") else []),
        ("opponent's collisions", f"{result['opponent_collisions']}", ""),
        ("invalid episodes", f"{result['invalid']}", ""),
        ("least clearance", "–" if clearance is None else f"{1000 * clearance:.3f} mm", ""),
        ("intervention", f"{result['intervention_rate']:.2%} of steps", ""),
        ("mean correction", f"{result['mean_correction']:.4f} half-widths", ""),
        ("infeasible programs", f"{result['infeasible_rate']:.2%} of steps", ""),
        ("gradient lost at the mean", f"{result['zero_gradient_share']:.2%} of steps", ""),
    ]


def _rate(found: dict[str, Any]) -> tuple[str, str]:
    return f"{found['rate']:.2%}", f"{found['low']:.2%} – {found['high']:.2%}"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} s"
