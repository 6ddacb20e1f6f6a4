"""Figures as tables, for the terminal and for a page."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Table(NamedTuple):
    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    text: str = ""
    """The paragraph above the table: what is measured, and how."""
    left: int = 1
    """Leading columns of words; the others are numbers."""


def markdown(table: Table, level: int = 2) -> str:
    """Heading, paragraph and table."""
    return "\n\n".join(part for part in (f"{'#' * level} {table.title}", table.text, grid(table)) if part)


def grid(table: Table) -> str:
    """The table alone, in Markdown."""
    rule = ["---" if column < table.left else "---:" for column in range(len(table.head))]
    lines = ["| " + " | ".join(row) + " |" for row in (table.head, *table.rows)]
    lines.insert(1, "|" + "|".join(rule) + "|")
    return "\n".join(lines)


def number(value: float) -> str:
    """Three significant digits, with a separator of thousands."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def ranged(spread: Mapping[str, float] | Sequence[float]) -> str:
    """Median, and in brackets the quartiles."""
    median, low, high = spread.values() if isinstance(spread, Mapping) else spread
    return f"{number(median)} ({number(low)}–{number(high)})"


def share(value: float) -> str:
    return f"{value:.0%}"
