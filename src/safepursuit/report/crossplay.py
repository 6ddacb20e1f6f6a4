"""Cross-play as a picture and a page: who catches whom, by how much, and what the players are worth."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from safepursuit.report.figures import STYLE
from safepursuit.runs.folder import write_text

PICTURE = "crossplay.png"

NOTE = (
    "Captured episodes in per cent, of {episodes:,} episodes per pair on the same scenarios; the JSON has the "
    "intervals of 95 % (Wilson). Worst: against the opponent that does most to the player. Elo: a Bradley–Terry fit to "
    "all pairs, 400 points for odds of 10, mean 0; one number cannot show a cycle."
)


def picture(pairs: Mapping[str, Any], file: Path) -> None:
    """The matrix of captures of `compare.crossplay`, with the mean of each row and column."""
    pursuers, evaders = list(pairs["pursuers"]), list(pairs["evaders"])
    rates = np.array([[pairs["captures"][one][two]["rate"] for two in evaders] for one in pursuers])
    whole = np.full((len(pursuers) + 1, len(evaders) + 1), np.nan)
    whole[:-1, :-1], whole[:-1, -1], whole[-1, :-1] = rates, rates.mean(axis=1), rates.mean(axis=0)
    rows, columns = [*map(short, pursuers), "mean"], [*map(short, evaders), "mean"]
    # Inches: a cell's, and a letter's; the names of columns rise at 40°.
    size = (
        1.0 + 0.62 * len(columns) + 0.085 * max(map(len, rows)),
        1.0 + 0.4 * len(rows) + 0.055 * max(map(len, columns)),
    )
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots()
        axes.imshow(whole, cmap="RdYlBu", vmin=0, vmax=1, aspect="auto")
        for (row, column), share in np.ndenumerate(whole):
            if np.isfinite(share):
                dark = not 0.2 < share < 0.8
                axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color="w" if dark else "k")
        for line, draw in ((len(evaders) - 0.5, axes.axvline), (len(pursuers) - 0.5, axes.axhline)):
            draw(line, color="w", lw=4)
        axes.set_xticks(range(len(columns)), columns, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(rows)), rows)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        figure.suptitle("captured episodes, %:\npursuers (rows) × evaders", x=0.01, ha="left")
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file)


def sheet(pairs: Mapping[str, Any]) -> str:
    """The same as Markdown tables: pursuers with their captures, evaders with their escapes."""
    evaders = list(pairs["evaders"])
    head = ["pursuer", *map(short, evaders), "mean", "worst", "Elo"]
    lines = [_line(head), "|---|" + "---:|" * (len(head) - 1)]
    for name, about in pairs["pursuers"].items():
        cells = [_percent(pairs["captures"][name][evader]["rate"]) for evader in evaders]
        lines.append(_line([short(name), *cells, _percent(about["mean"]), _worst(about), _elo(about)]))
    lines += [_line(["mean", *(_percent(one["mean"]) for one in pairs["evaders"].values()), "", "", ""])]
    lines += [_line(["worst", *(_worst(one) for one in pairs["evaders"].values()), "", "", ""])]
    lines += [_line(["Elo", *(_elo(one) for one in pairs["evaders"].values()), "", "", ""])]
    return "\n".join(lines) + "\n\n" + NOTE.format(episodes=pairs["episodes"]) + "\n"


def write_page(found: Mapping[str, Any], folder: Path) -> Path:
    """The page of a population (`compare.selfplay.figures`) with its picture, in its folder; returns the page."""
    picture(found["pairs"], folder / PICTURE)
    page = folder / "selfplay.md"
    write_text(page, f"# The population\n\n{story(found)}![Who catches whom]({PICTURE})\n\n{sheet(found['pairs'])}")
    return page


def story(found: Mapping[str, Any]) -> str:
    """Round by round as a Markdown table, and what is played in the end."""
    head = ["round", "value, captures", "NashConv ≥", "pursuer's equilibrium", "evader's equilibrium", "responses"]
    lines = [_line(head), "|---:|---:|---:|---|---|---|"]
    for number, one in enumerate(found["rounds"], 1):
        played = [
            ", ".join(f"{short(name)} {weight:.0%}" for name, weight in one["strategies"][role].items())
            for role in ("pursuer", "evader")
        ]
        responses = ", ".join(short(name) for role in ("pursuer", "evader") for name in one["responses"][role])
        lines.append(_line([str(number), _percent(one["value"]), _percent(one["nash_conv"]), *played, responses]))
    contacts = found["contacts"]
    return (
        "\n".join(lines)
        + "\n\nValue: captures when both sides play the equilibrium of the members before the round. NashConv: what "
        "both gain together by the best of all members and final responses; responses are approximate, so it is a "
        f"lower bound. Own contacts in {contacts['episodes']:,} episodes: pursuers {contacts['pursuer']}, evaders "
        f"{contacts['evader']}.\n\n"
    )


def short(name: str) -> str:
    """The name of a player in a table: of a run folder its last two parts."""
    return "/".join(Path(name).parts[-2:]) if "/" in name else name


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _worst(about: Mapping[str, Any]) -> str:
    return f"{_percent(about['worst'])} ({short(about['against'])})"


def _elo(about: Mapping[str, Any]) -> str:
    return f"{about['elo']:+.0f}".replace("-", "−")
