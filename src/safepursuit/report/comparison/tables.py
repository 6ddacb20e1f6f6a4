"""The numbers of a comparison as tables of words, the same for the page and for Markdown."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from safepursuit.report.comparison.charts import percent
from safepursuit.report.comparison.contrasts import OVERALL

NOTHING = "–"
"""Where there is nothing to report."""

ENOUGH = 5
"""Seeds from which on a bootstrap over them is taken at its word."""


class Entry(NamedTuple):
    """One cell of a table."""

    value: str
    detail: str = ""
    """What is smaller below it: an interval, a spread; in lines."""


@dataclass(frozen=True)
class Table:
    caption: str
    columns: tuple[str, ...]
    """The first ones, as many as `labels`, name the row."""
    rows: tuple[tuple[Entry, ...], ...]
    note: str = ""
    labels: int = 1


def _without_blanks(table: Table) -> Table:
    """Without the columns that say nothing about anyone."""
    kept = [
        number
        for number in range(len(table.columns))
        if number < table.labels or any(row[number].value != NOTHING for row in table.rows)
    ]
    rows = tuple(tuple(row[number] for number in kept) for row in table.rows)
    return replace(table, columns=tuple(table.columns[number] for number in kept), rows=rows)


def _table(
    caption: str, columns: Iterable[str], rows: Iterable[Iterable[Entry]], note: str = "", labels: int = 1
) -> Table:
    return _without_blanks(Table(caption, tuple(columns), tuple(tuple(row) for row in rows), note, labels))


def between(estimate: dict[str, Any], scale: float = 100.0, digits: int = 1) -> str:
    return f"{scale * estimate['low']:.{digits}f} to {scale * estimate['high']:.{digits}f}"


def _rate(rate: dict[str, Any]) -> Entry:
    return Entry(percent(rate["rate"]), between(rate))


def collisions(found: dict[str, Any]) -> Entry:
    """The count with its exact interval, and beside a zero what it rules out."""
    count, total = f"{found['count']:,}", f"{found['episodes']:,}"
    if found["count"]:
        return Entry(f"{count} of {total}", f"{between(found, digits=2)}%")
    rule = f"3/{total} = {percent(3 / found['episodes'], 2)}"
    return Entry(f"0 of {total}", f"≤ {percent(found['high'], 2)}\n{rule}")


def summary(suite: dict[str, Any], timing: dict[str, Any]) -> Table:
    rows = []
    for group, found in suite["groups"].items():
        iqm, time = found["capture_iqm"], found["capture_time"]
        speed = timing.get(group, {}).get("steps_per_second")
        rows.append(
            [
                Entry(group),
                Entry(percent(iqm["value"]), between(iqm)) if iqm else Entry(NOTHING, "one run"),
                _rate(found["capture"]),
                _rate(found["clean"]),
                collisions(found["collision"]),
                Entry(f"{time['value']:.2f} s", between(time, 1.0, 2)),
                Entry(percent(found["intervention"])),
                Entry(f"{found['correction']:.3f}"),
                Entry(percent(found["infeasible"], 2)),
                Entry(percent(found["zero_gradient"])),
                Entry(f"{speed:,.0f}" if speed else NOTHING),
            ]
        )
    columns = (
        "group",
        "capture, IQM",
        "capture, pooled",
        "without collision",
        "own collisions",
        "time to capture",
        "intervention",
        "correction",
        "infeasible",
        "gradient lost",
        "training, steps/s",
    )
    note = (
        "Below each value its 95 % interval. IQM: interquartile mean of the runs (seeds × evaders), bootstrap over "
        "the seeds within each evader; it speaks of new trainings. Pooled: all episodes as one sample, Wilson; it "
        "speaks of these policies in new episodes. Own collisions: episodes with one, Clopper–Pearson; below a zero "
        "also the rule of three: 0 of N rules out rates above 3/N (one-sided 95 %). Time: restricted mean, an "
        f"episode without capture counting as {suite['horizon']:g} s; BCa bootstrap. Correction: in half-widths of the "
        "actuator box."
    )
    if any(1 < len(found["runs"]) < ENOUGH for found in suite["groups"].values()):
        note += f" A bootstrap over fewer than {ENOUGH} seeds is narrower than it should be."
    return _table("All evaders together", columns, rows, note)


def matchups(suite: dict[str, Any]) -> Table:
    rows = []
    for group in suite["groups"]:
        entries = [Entry(group)]
        for evader in suite["evaders"]:
            found = suite["matchups"][evader][group]
            runs = found["by_run"]
            spread = f"\nseeds {100 * min(runs):.1f} to {100 * max(runs):.1f}" if len(runs) > 1 else ""
            entries.append(Entry(percent(found["capture"]["rate"]), between(found["capture"]) + spread))
        rows.append(entries)
    note = "Pooled over the seeds, with the Wilson 95 % interval; then the lowest and the highest seed."
    return _table("Captured episodes against each evader", ("group", *suite["evaders"]), rows, note)


def contrasts(suite: dict[str, Any], primary: str) -> Table | None:
    """None where there is no other group."""
    if not suite["contrasts"]:
        return None
    rows = []
    for one in suite["contrasts"]:
        gain, luck = one["difference"], one.get("improvement")
        tied = one["scenarios"] - one["better"] - one["worse"]
        rows.append(
            [
                Entry(one["against"]),
                Entry("all together" if one["evader"] == OVERALL else one["evader"]),
                Entry(f"{100 * gain['value']:+.1f}".replace("-", "−"), between(gain).replace("-", "−")),
                Entry(f"{one['better']:,} / {one['worse']:,}", f"{tied:,} tied"),
                Entry(p_value(one["p_value"])),
                Entry(p_value(one["p_holm"])),
                Entry(f"{luck['value']:.2f}", between(luck, 1.0, 2)) if luck else Entry(NOTHING),
            ]
        )
    columns = ("against", "evader", "difference, points", "better / worse", "p", "p, Holm", "P(better run)")
    note = (
        f"{primary} less the other group, scenario by scenario: scenario i is the same start and the same evader's "
        "dice for everyone, and a group's score in it is the share of its seeds (and evaders) that captured, so that a "
        "scripted pursuer's one episode meets the mean of all seeds and is counted once. p: exact sign test on the "
        "scenarios in which the two differ, which for one seed on each side and one evader is McNemar's test; Holm: "
        "over all rows. Intervals: Tango's where each side has one episode a scenario, else adjusted Wald (Bonett and "
        "Price). Episodes of one seed share its training, so p and interval speak of these policies only; P(better "
        "run), over pairs of seeds, speaks of the next training."
    )
    return _table(f"{primary} against every other group, paired", columns, rows, note, labels=2)


def p_value(p: float) -> str:
    if p < 1e-4:
        return "< 0.0001"
    return f"{p:.4f}" if p < 0.01 else f"{p:.3f}"


def _millimetres(length: float) -> str:
    """To a micrometre where that matters."""
    return f"{1000 * length:,.{3 if abs(length) < 0.01 else 0}f} mm".replace("-", "−")


def health(numbers: dict[str, Any]) -> Table:
    """What the safety layers did, suite by suite."""
    timing = numbers["timing"]
    rows = []
    for suite in numbers["suites"]:
        for group, found in suite["groups"].items():
            time = timing.get(group, {}).get("qp_time_us")
            rows.append(
                [
                    Entry(suite["name"]),
                    Entry(group),
                    Entry(f"{found['steps']:,}"),
                    Entry(percent(found["intervention"], 2)),
                    Entry(f"{found['correction']:.4f}"),
                    Entry(percent(found["infeasible"], 3), f"{round(found['infeasible'] * found['steps']):,} steps"),
                    Entry(percent(found["zero_gradient"], 2)),
                    Entry(_millimetres(found["min_clearance"])),
                    Entry(f"{time:.2f} µs" if time else NOTHING),
                ]
            )
    columns = (
        "suite",
        "group",
        "steps",
        "intervention",
        "correction",
        "infeasible",
        "gradient lost",
        "least clearance",
        "time per control",
    )
    note = "Shares of steps. Time per control: the layer alone in training, in a batch of all games."
    return _table("The safety layer in the evaluation", columns, rows, note, labels=2)


def training(numbers: dict[str, Any]) -> Table | None:
    """None where nobody was trained."""
    rows = []
    for group, found in numbers["training"].items():
        steps, hits = ([one for one in found[name] if one is not None] for name in ("steps", "collisions"))
        speed = numbers["timing"].get(group, {}).get("steps_per_second")
        total = f"{sum(hits):,.0f}" if hits else NOTHING
        spread = f"{min(hits):,.0f} to {max(hits):,.0f} a seed" if len(set(hits)) > 1 else ""
        rows.append(
            [
                Entry(group),
                Entry(f"{len(found['steps'])}"),
                Entry(f"{max(steps):,}" if steps else NOTHING, f"fewest {min(steps):,}" if len(set(steps)) > 1 else ""),
                Entry(total, spread),
                Entry(f"{speed:,.0f}" if speed else NOTHING),
            ]
        )
    if not rows:
        return None
    columns = ("group", "seeds", "steps of each", "steps with an own collision", "steps/s")
    note = "Steps/s: median of the runs, on the machine of the training; of all seeds together where they shared one."
    return _table("The trainings", columns, rows, note)
