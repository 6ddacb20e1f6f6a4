"""The numbers of a comparison as tables of words, the same for the page and for Markdown."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from safepursuit.report.comparison.charts import percent
from safepursuit.report.comparison.contrasts import OVERALL
from safepursuit.report.crossplay import short

NOTHING = "–"
"""Where there is nothing to report."""

ENOUGH = 5
"""Seeds below which a bootstrap over them is called too narrow."""


class Entry(NamedTuple):
    """What stands in a row and a column."""

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


def _table(
    caption: str, columns: Mapping[str, Callable[..., Entry]], rows: Iterable[tuple], note: str, labels: int = 1
) -> Table:
    """One row for each of `rows`, from which each column makes its entry; without the columns where all entries say
    nothing."""
    rows = list(rows)
    made = {name: [entry(*row) for row in rows] for name, entry in columns.items()}
    kept = [
        name
        for number, (name, entries) in enumerate(made.items())
        if number < labels or any(entry.value != NOTHING for entry in entries)
    ]
    return Table(caption, tuple(kept), tuple(zip(*(made[name] for name in kept), strict=True)), note, labels)


def between(estimate: dict[str, Any], scale: float = 100.0, digits: int = 1) -> str:
    return f"{scale * estimate['low']:.{digits}f} to {scale * estimate['high']:.{digits}f}"


def _rate(rate: dict[str, Any]) -> Entry:
    return Entry(percent(rate["rate"]), between(rate))


def _number(value: float | None, shown: str = ",.0f", unit: str = "") -> Entry:
    return Entry(f"{value:{shown}}{unit}" if value else NOTHING)


def collisions(found: dict[str, Any]) -> Entry:
    """The count with its interval, of which beside a zero only the upper bound."""
    interval = f"{between(found, digits=2)}%" if found["count"] else f"≤ {percent(found['high'], 2)}"
    return Entry(f"{found['count']:,} of {found['episodes']:,}", interval)


def summary(suite: dict[str, Any], timing: dict[str, Any]) -> Table:
    def iqm(group: str, found: dict[str, Any]) -> Entry:
        one = found["capture_iqm"]
        return Entry(percent(one["value"]), between(one)) if one else Entry(NOTHING, "one run")

    def time(group: str, found: dict[str, Any]) -> Entry:
        return Entry(f"{found['capture_time']['value']:.2f} s", between(found["capture_time"], 1.0, 2))

    columns: dict[str, Callable[..., Entry]] = {
        "group": lambda group, found: Entry(group),
        "capture, IQM": iqm,
        "capture, pooled": lambda group, found: _rate(found["capture"]),
        "without collision": lambda group, found: _rate(found["clean"]),
        "own collisions": lambda group, found: collisions(found["collision"]),
        "invalid episodes": _invalid,
        "time to capture": time,
        "intervention": lambda group, found: Entry(percent(found["intervention"])),
        "correction": lambda group, found: Entry(f"{found['correction']:.3f}"),
        "infeasible": lambda group, found: Entry(percent(found["infeasible"], 2)),
        "gradient lost": lambda group, found: Entry(percent(found["zero_gradient"])),
        "training, steps/s": lambda group, found: _number(timing.get(group, {}).get("steps_per_second")),
    }
    note = (
        "Below each value its 95 % interval. IQM: interquartile mean of the runs (seeds × evaders), bootstrap over "
        "the seeds within each evader; it speaks of new trainings. Pooled: all episodes as one sample, Wilson; it "
        "speaks of these policies in new episodes. Own collisions: episodes with one, Clopper–Pearson; below a zero "
        f"its upper bound. Time: restricted mean, an episode without capture counting as {suite['horizon']:g} s; BCa "
        "bootstrap. Correction: in half-widths of the actuator box."
    )
    if any(found["invalid"] for found in suite["groups"].values()):
        note += " Invalid: a pose or a control was not a finite number; no capture, and no collision."
    if any(1 < len(found["runs"]) < ENOUGH for found in suite["groups"].values()):
        note += f" A bootstrap over fewer than {ENOUGH} seeds is narrower than it should be."
    return _table("All evaders together", columns, suite["groups"].items(), note)


def matchups(suite: dict[str, Any]) -> Table:
    def against(found: dict[str, Any]) -> Callable[[str], Entry]:
        def entry(group: str) -> Entry:
            value, detail = _rate(found[group]["capture"])
            runs = found[group]["by_run"]
            spread = f"\nseeds {100 * min(runs):.1f} to {100 * max(runs):.1f}" if len(runs) > 1 else ""
            return Entry(value, detail + spread)

        return entry

    columns: dict[str, Callable[..., Entry]] = {"group": Entry}
    columns |= {evader: against(suite["matchups"][evader]) for evader in suite["evaders"]}
    note = "Pooled over the seeds, with the Wilson 95 % interval; then the lowest and the highest seed."
    return _table("Captured episodes against each evader", columns, ((group,) for group in suite["groups"]), note)


def crossplay(suite: dict[str, Any], role: str) -> Table:
    """The pursuers (or evaders) of the cross-play, the strongest first."""

    def worst(name: str, about: dict[str, Any]) -> Entry:
        return Entry(percent(about["worst"]), f"against {short(about['against'])}")

    columns: dict[str, Callable[..., Entry]] = {
        role: lambda name, about: Entry(short(name)),
        "mean capture": lambda name, about: Entry(percent(about["mean"])),
        "worst capture": worst,
        "Elo": lambda name, about: Entry(f"{about['elo']:+.0f}".replace("-", "−")),
    }
    rows = sorted(suite["crossplay"][f"{role}s"].items(), key=lambda row: -row[1]["elo"])
    note = (
        "Worst: against the opponent that does most to the player. Elo: a Bradley–Terry fit to all pairs, 400 points "
        "for odds of 10, mean of all players 0; one number cannot show a cycle."
    )
    return _table(f"Cross-play: {role}s", columns, rows, note if role == "evader" else "")


def contrasts(suite: dict[str, Any], primary: str) -> Table | None:
    """None where there is no other group."""
    if not suite["contrasts"]:
        return None

    def gain(one: dict[str, Any]) -> Entry:
        found = one["difference"]
        return Entry(f"{100 * found['value']:+.1f}".replace("-", "−"), between(found).replace("-", "−"))

    def pairs(one: dict[str, Any]) -> Entry:
        tied = one["scenarios"] - one["better"] - one["worse"]
        return Entry(f"{one['better']:,} / {one['worse']:,}", f"{tied:,} tied")

    def luck(one: dict[str, Any]) -> Entry:
        found = one.get("improvement")
        return Entry(f"{found['value']:.2f}", between(found, 1.0, 2)) if found else Entry(NOTHING)

    columns: dict[str, Callable[..., Entry]] = {
        "against": lambda one: Entry(one["against"]),
        "evader": lambda one: Entry("all together" if one["evader"] == OVERALL else one["evader"]),
        "difference, points": gain,
        "better / worse": pairs,
        "p": lambda one: Entry(p_value(one["p_value"])),
        "p, Holm": lambda one: Entry(p_value(one["p_holm"])),
        "P(better run)": luck,
    }
    note = (
        f"{primary} less the other group, scenario by scenario: scenario i is the same start and the same random "
        "stream of the evader for every contender, and a group's score in it is the share of its seeds (and evaders) "
        "that captured, so that a scripted pursuer's one episode meets the mean of all seeds and is counted once. p: "
        "exact sign test on the scenarios in which the two differ, which for one seed on each side and one evader is "
        "McNemar's test; Holm: over all rows. Intervals: Tango's where each side has one episode per scenario, else "
        "adjusted Wald (Bonett and Price). Episodes of one seed share its training, so p and interval speak of these "
        "policies only; P(better run), over pairs of seeds, speaks of the next training."
    )
    rows = ((one,) for one in suite["contrasts"])
    return _table(f"{primary} against every other group, paired", columns, rows, note, labels=2)


def p_value(p: float) -> str:
    if p < 1e-4:
        return "< 0.0001"
    return f"{p:.4f}" if p < 0.01 else f"{p:.3f}"


def _invalid(group: str, found: dict[str, Any]) -> Entry:
    return Entry(f"{found['invalid']:,}" if found["invalid"] else NOTHING)


def _millimetres(length: float | None) -> str:
    """To a micrometre where that matters."""
    if length is None:
        return NOTHING
    return f"{1000 * length:,.{3 if abs(length) < 0.01 else 0}f} mm".replace("-", "−")


def health(numbers: dict[str, Any]) -> Table:
    """What the safety layers did, suite by suite."""

    def infeasible(suite: str, group: str, found: dict[str, Any]) -> Entry:
        return Entry(percent(found["infeasible"], 3), f"{round(found['infeasible'] * found['steps']):,} steps")

    columns: dict[str, Callable[..., Entry]] = {
        "suite": lambda suite, group, found: Entry(suite),
        "group": lambda suite, group, found: Entry(group),
        "steps": lambda suite, group, found: Entry(f"{found['steps']:,}"),
        "intervention": lambda suite, group, found: Entry(percent(found["intervention"], 2)),
        "correction": lambda suite, group, found: Entry(f"{found['correction']:.4f}"),
        "infeasible": infeasible,
        "gradient lost": lambda suite, group, found: Entry(percent(found["zero_gradient"], 2)),
        "least clearance": lambda suite, group, found: Entry(_millimetres(found["min_clearance"])),
        "time per control": lambda suite, group, found: _number(
            numbers["timing"].get(group, {}).get("qp_time_us"), ".2f", " µs"
        ),
    }
    note = "Shares of steps. Time per control: the layer alone in training, in a batch of all games."
    rows = ((suite["name"], *one) for suite in numbers["suites"] for one in suite["groups"].items())
    return _table("The safety layer in the evaluation", columns, rows, note, labels=2)


def training(numbers: dict[str, Any]) -> Table | None:
    """None where there is no training."""

    def steps(group: str, found: dict[str, Any]) -> Entry:
        known = _known(found["steps"])
        fewest = f"fewest {min(known):,}" if len(set(known)) > 1 else ""
        return Entry(f"{max(known):,}" if known else NOTHING, fewest)

    def hits(group: str, found: dict[str, Any]) -> Entry:
        known = _known(found["collisions"])
        spread = f"{min(known):,.0f} to {max(known):,.0f} per seed" if len(set(known)) > 1 else ""
        return Entry(f"{sum(known):,.0f}" if known else NOTHING, spread)

    columns: dict[str, Callable[..., Entry]] = {
        "group": lambda group, found: Entry(group),
        "seeds": lambda group, found: Entry(f"{len(found['steps'])}"),
        "steps of each": steps,
        "steps with an own collision": hits,
        "steps/s": lambda group, found: _number(numbers["timing"].get(group, {}).get("steps_per_second")),
    }
    note = "Steps/s: median of the runs, on the machine of the training; of all seeds together where they shared one."
    return _table("The trainings", columns, numbers["training"].items(), note) if numbers["training"] else None


def _known(values: list[Any]) -> list[Any]:
    return [value for value in values if value is not None]
