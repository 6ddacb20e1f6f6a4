"""The charts of a comparison, drawn narrow so that their words can be read on a telephone."""

import textwrap
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from safepursuit.report.comparison.numbers import SECTORS
from safepursuit.report.crossplay import picture
from safepursuit.report.figures import EVADER, PURSUER, STYLE
from safepursuit.runs.folder import slug

WIDTH = 4.6
"""Of a chart [in]; a page shows one at about 100 pixels per inch."""

RESOLUTION = 200
"""Dots per inch."""

PALETTE = (PURSUER, EVADER, "#2e7d32", "#8e4ec6", "#00838f", "#c2185b", "#795548", "#5f6368")
_DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)))
_INK, _FAINT = "#202124", "#6b7178"


@dataclass(frozen=True)
class Chart:
    """A figure with the words that go with it."""

    file: Path
    title: str
    aid: str
    """How to read it, in one line."""
    alt: str
    """What it shows, for a reader who cannot see it."""


def percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f}%"


def looks(groups: Collection[str]) -> dict[str, dict[str, Any]]:
    """Colour and dashes of each group, the same in every figure."""
    count = len(PALETTE)
    return {
        group: {"color": PALETTE[number % count], "ls": _DASHES[number // count % len(_DASHES)]}
        for number, group in enumerate(groups)
    }


def of_suite(suite: dict[str, Any], folder: Path) -> dict[str, list[Chart]]:
    """The figures of one suite of report.json: "overview" and "crossplay" (one each), and "starts" (one per group)."""
    name = slug(suite["name"])
    overview = [
        _trade_off(suite, folder / f"{name}-intervention.png"),
        _over_time(suite, folder / f"{name}-capture-time.png"),
        *(_bars(suite, evader, folder / f"{name}-capture-{slug(evader)}.png") for evader in suite["evaders"]),
    ]
    played = suite["crossplay"]
    picture(played, folder / f"{name}-crossplay.png")
    told = "; ".join(
        f"{one} {percent(about['mean'])} in the mean, {percent(about['worst'])} against {about['against']}"
        for one, about in played["pursuers"].items()
    )
    crossplay = Chart(
        folder / f"{name}-crossplay.png",
        "Cross-play",
        "Blue: captured, red: escaped; % of episodes of each pursuer (row) against each evader (column).",
        f"Table of captured episodes on {suite['name']}: {told}.",
    )
    starts = [_by_start(suite, group, folder / f"{name}-starts-{slug(group)}.png") for group in suite["groups"]]
    return {"overview": overview, "crossplay": [crossplay], "starts": starts}


def of_learning(numbers: dict[str, Any], folder: Path) -> list[Chart]:
    """The learning curves of report.json; none if no contender has a metric log."""
    curves, style = numbers["learning"], looks(numbers["compared"]["groups"])
    about = (
        ("capture", "Captures", "captured episodes, %", 100.0, "Higher is better."),
        ("collisions", "Own collisions", "steps so far", 1.0, "A line that stays at 0 touched nothing."),
        ("intervention", "Intervention", "share of steps, %", 100.0, "How often a barrier held the control."),
    )
    charts = []
    for key, title, unit, scale, aid in about if curves else ():
        file = folder / f"learning-{key}.png"
        with _axes(file, 3.3) as axes:
            for number, (group, found) in enumerate(curves.items()):
                steps = np.array(found["steps"]) / 1e6
                mean, low, high = (scale * np.array(found[key][name], float) for name in ("mean", "low", "high"))
                axes.plot(steps, mean, lw=2, zorder=9 - number, **style[group])
                axes.fill_between(steps, low, high, color=style[group]["color"], alpha=0.15, lw=0)
            axes.set(xlabel="million steps", ylabel=unit)
            highest = max(axes.get_ylim()[1], 1)
            axes.set_ylim(*((-3, 104) if key == "capture" else (-0.03 * highest, highest)))
            axes.set_xlim(left=0)
            _legend(axes, {group: style[group] for group in curves})
        ends = {group: found[key]["mean"][-1] for group, found in curves.items()}
        told = ", ".join(f"{name} {'unknown' if one is None else f'{scale * one:.4g}'}" for name, one in ends.items())
        aid += " Lines: mean over the seeds; bands: lowest to highest seed."
        alt = f"Curves over the training steps ({unit}); at the end {told}."
        charts.append(Chart(file, f"{title} while learning", aid, alt))
    return charts


@contextmanager
def _axes(file: Path, height: float, projection: str | None = None) -> Iterator[Any]:
    """Axes to draw on, as a chart of this height [in], which is then saved."""
    sizes = {"font.size": 9.5, "axes.titlesize": 10, "axes.labelcolor": _INK, "axes.edgecolor": _FAINT}
    ticks = {"xtick.color": _FAINT, "ytick.color": _FAINT, "xtick.labelcolor": _INK, "ytick.labelcolor": _INK}
    with mpl.rc_context(STYLE | sizes | ticks):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        yield figure.add_subplot(projection=projection)
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, dpi=RESOLUTION)


def _below(groups: Collection[str]) -> float:
    """Height [in] of a chart with a legend below, two groups side by side."""
    lines = max(_label(group).count("\n") + 1 for group in groups)
    return 3.2 + 0.2 * lines * ((len(groups) + 1) // 2)


def _label(group: str) -> str:
    return textwrap.fill(group, 28)


def _legend(axes: Axes, style: dict[str, dict[str, Any]], marker: str = "") -> None:
    """Below the axes, in two columns."""
    shown: dict[str, Any] = {"marker": marker, "ms": 6, "lw": 0} if marker else {"lw": 2.2}
    handles = [Line2D([], [], label=_label(group), **(look | shown)) for group, look in style.items()]
    layout = {"ncols": 2, "frameon": False, "handlelength": 2.2, "columnspacing": 1.2}
    axes.figure.legend(handles=handles, loc="outside lower center", **layout)


def _trade_off(suite: dict[str, Any], file: Path) -> Chart:
    groups, style = suite["groups"], looks(suite["groups"])
    with _axes(file, _below(groups)) as axes:
        for number, (group, found) in enumerate(groups.items()):
            rate, colour = found["capture"], style[group]["color"]
            low, high = 100 * (rate["rate"] - rate["low"]), 100 * (rate["high"] - rate["rate"])
            x, y = 100 * found["intervention"], 100 * rate["rate"]
            runs = np.array([[run["intervention"], run["capture"]] for run in found["runs"]])
            axes.scatter(100 * runs[:, 0], 100 * runs[:, 1], s=16, fc="none", ec=colour, lw=0.9, zorder=3)
            axes.errorbar(x, y, [[max(low, 0)], [max(high, 0)]], fmt="o", ms=7, color=colour, lw=1.4, zorder=9 - number)
        axes.set(xlabel="intervention, % of steps", ylabel="captured, % of episodes", ylim=(-3, 104))
        axes.set_xlim(-0.03 * max(1, axes.get_xlim()[1]), max(1.0, 1.05 * axes.get_xlim()[1]))
        _legend(axes, style, "o")
    told = "; ".join(
        f"{group}: {percent(found['capture']['rate'])} captured at {percent(found['intervention'])} intervention"
        for group, found in groups.items()
    )
    return Chart(
        file,
        "Capture against intervention",
        "Up and left is better: captures that needed little help. Bars: 95 % interval; rings: single seeds.",
        f"Scatter of captured episodes over intervention on {suite['name']}. {told}.",
    )


def _over_time(suite: dict[str, Any], file: Path) -> Chart:
    curves, style, horizon = suite["capture_curves"], looks(suite["capture_curves"]), suite["horizon"]
    first, band = next(iter(curves.items()))
    with _axes(file, _below(curves)) as axes:
        for number, (group, curve) in enumerate(curves.items()):
            share = 100 * np.array(curve["share"])
            axes.plot(curve["time"], share, lw=2.6 if group == first else 1.6, zorder=9 - number, **style[group])
        low, high = 100 * np.array(band["low"]), 100 * np.array(band["high"])
        axes.fill_between(band["time"], low, high, color=style[first]["color"], alpha=0.15, lw=0)
        axes.set(xlabel="time, s", ylabel="captured by then, % of episodes", xlim=(0, horizon), ylim=(-3, 104))
        _legend(axes, style)
    half = len(band["share"]) // 2
    told = "; ".join(
        f"{group}: {percent(curve['share'][half])} by half time, {percent(curve['share'][-1])} at the end"
        for group, curve in curves.items()
    )
    return Chart(
        file,
        "Time to capture",
        f"Higher and further left is better. Band: 95 % interval of {first} at each time.",
        f"Share of episodes captured by each time on {suite['name']}, time-out after {horizon:g} s. {told}.",
    )


def _bars(suite: dict[str, Any], evader: str, file: Path) -> Chart:
    found, told = suite["matchups"][evader], []
    with _axes(file, 0.75 + 0.36 * len(found)) as axes:
        for place, (group, look) in enumerate(looks(found).items()):
            rate, runs = found[group]["capture"], 100 * np.array(found[group]["by_run"])
            axes.barh(place, 100 * rate["rate"], height=0.66, color=look["color"], alpha=0.75, lw=0)
            axes.plot([100 * rate["low"], 100 * rate["high"]], [place, place], color=_INK, lw=1.4)
            if len(runs) > 1:
                axes.scatter(runs, np.full(runs.shape, place), s=15, fc="white", ec=_INK, lw=0.8, zorder=4)
            axes.text(109, place, f"{100 * rate['rate']:.1f}", va="center", ha="center", color=_INK)
            told.append(f"{group} {percent(rate['rate'])} ({percent(rate['low'])} to {percent(rate['high'])})")
        axes.set_yticks(range(len(found)), [textwrap.fill(group, 17) for group in found])
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.set(xlim=(0, 115), xlabel="captured, % of episodes", xticks=[0, 25, 50, 75, 100])
        axes.set_ylim(len(found) - 0.45, -0.55)
    return Chart(
        file,
        f"Captures of {evader}",
        "Longer is better. Lines: 95 % interval over episodes; dots: single seeds.",
        f"Bars of captured episodes against {evader} on {suite['name']}, with 95 % intervals: {'; '.join(told)}.",
    )


def _by_start(suite: dict[str, Any], group: str, file: Path) -> Chart:
    edges = suite["starts"]["distance_edges"]
    captured, episodes = (np.array(suite["starts"]["groups"][group][name]) for name in ("captured", "episodes"))
    share = np.where(episodes > 0, captured / np.maximum(episodes, 1), np.nan)
    with _axes(file, 4.2, "polar") as axes:
        _rose(axes, share, edges)
    ring, part = (int(one) for one in np.unravel_index(np.nanargmin(share), share.shape))
    return Chart(
        file,
        group,
        "The pursuer, in the middle, looks up. Numbers: captured, % of episodes. Rings: distance in m, not to scale.",
        f"Captures of {group} on {suite['name']} by initial bearing and distance of the evader. Lowest: "
        f"{percent(share[ring, part])} of {episodes[ring, part]} episodes from {edges[ring]:.1f} to "
        f"{edges[ring + 1]:.1f} m, {_direction(part)}.",
    )


def _direction(part: int) -> str:
    angle = 360 * part // SECTORS
    if angle in (0, 180):
        return "straight ahead" if angle == 0 else "behind"
    return f"{min(angle, 360 - angle)}° to the {'left' if angle < 180 else 'right'}"


def _rose(axes: Any, share: np.ndarray, edges: list[float]) -> None:
    """Rings of equal width around a hole for the robot."""
    rings, parts = share.shape
    width = 2 * np.pi / parts
    axes.set_theta_zero_location("N")  # bearings to the left go round to the left, as seen from above
    colours = mpl.colormaps["Blues"]
    for (ring, part), value in np.ndenumerate(share):
        colour = colours(0.08 + 0.8 * value) if np.isfinite(value) else "#f1f3f4"
        axes.bar(part * width, 1, width, bottom=ring + 0.8, color=colour, ec="white", lw=1.2)
        words = f"{100 * value:.0f}" if np.isfinite(value) else "–"
        ink = "white" if value > 0.55 else _INK
        axes.text(part * width, ring + 1.3, words, ha="center", va="center", color=ink, fontsize=9)
    for ring, edge in enumerate(edges):
        words = f"{edge:.1f} m" if ring == rings else f"{edge:.1f}"
        paper = {"fc": "white", "ec": "none", "pad": 0.9, "alpha": 0.9}
        axes.text(width / 2, ring + 0.8, words, ha="center", va="center", fontsize=8, color=_INK, bbox=paper)
    axes.plot(0, 0, marker=(3, 0, 0), ms=13, color=PURSUER)
    axes.set(ylim=(0, rings + 0.8), xticks=np.arange(4) * np.pi / 2, xticklabels=["ahead", "left", "behind", "right"])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines["polar"].set_visible(False)
