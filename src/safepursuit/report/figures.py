"""Figures of a run: how it learned, and how it plays."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch, Polygon, Rectangle

from safepursuit.evaluation.referee import Verdict
from safepursuit.play.recording import Recording
from safepursuit.scene import Arena

PURSUER, EVADER, BARRIER, DISC = "#1f5fa8", "#d1731a", "#c2185b", "#b9bec5"
MOVER = "#84a59d"
CAPTURE, COLLISION = "#2e7d32", "#d50000"

_CURVES: tuple[tuple[str, tuple[tuple[str, str], ...], str], ...] = (
    ("Captured episodes", (("pursuit/capture_rate", ""),), "share"),
    ("Return of an episode", (("pursuit/return", ""),), ""),
    ("Capture time", (("pursuit/capture_time", ""),), "s"),
    ("Own collisions in a rollout", (("safety/collisions", ""),), "steps"),
    ("Safety layer", (("qp/intervention_rate", "intervention"), ("qp/zero_gradient_share", "gradient lost")), "share"),
    ("Correction", (("qp/correction", ""),), "half-widths"),
    ("Infeasible programs", (("qp/infeasible_rate", ""),), "share"),
    ("Safety layer, time per control", (("qp/time_us", ""),), "µs"),
    ("Losses", (("ppo/policy_loss", "policy"), ("ppo/value_loss", "value")), ""),
    ("KL divergence", (("ppo/kl", ""),), ""),
    ("Exploration", (("ppo/std_v", "speed"), ("ppo/std_omega", "turn rate")), "std, half-widths"),
    ("Speed", (("time/steps_per_second", ""),), "steps/s"),
)

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "figure.dpi": 100,
    "savefig.dpi": 150,
}


def learning_curves(rows: Sequence[dict[str, float]], title: str, file: Path) -> None:
    """Twelve curves over the environment steps, from the rows of metrics.csv."""
    if not rows:
        raise ValueError("there are no metrics to draw: the run has not finished an iteration.")
    steps = np.array([row["steps"] for row in rows]) / 1e6
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(13, 9), layout="constrained")
        figure.suptitle(title, fontsize=13, fontweight="bold", x=0.01, ha="left")
        for axes, (name, curves, unit) in zip(figure.subplots(3, 4).flat, _CURVES, strict=True):
            _curve(axes, rows, steps, curves)
            axes.set_title(name)
            axes.set_ylabel(unit)
            axes.set_xlim(0, steps[-1] * 1.02)
            _limits(axes, [key for key, _ in curves])
        for axes in figure.axes[-4:]:
            axes.set_xlabel("million steps")
        figure.savefig(file)


def _curve(axes: Axes, rows: Sequence[dict[str, float]], steps: np.ndarray, curves: tuple) -> None:
    for (name, label), colour in zip(curves, (PURSUER, EVADER), strict=False):
        values = np.array([row.get(name, np.nan) for row in rows])
        known = np.isfinite(values)
        axes.plot(steps[known], values[known], color=colour, lw=0.8, alpha=0.35)
        axes.plot(steps[known], smoothed(values[known]), color=colour, lw=1.8, label=label or None)
    if any(label for _, label in curves):
        axes.legend(frameon=False, loc="best")


def _limits(axes: Axes, names: list[str]) -> None:
    _, high = axes.get_ylim()
    if "pursuit/capture_rate" in names:
        axes.set_ylim(-0.03, 1.05)
    elif "ppo/policy_loss" not in names and "pursuit/return" not in names:
        axes.set_ylim(0, high)
    if not any(np.any(line.get_ydata()) for line in axes.lines):  # nothing but zeros: show them above the axis
        axes.set_ylim(-0.05, 1)


def smoothed(values: np.ndarray) -> np.ndarray:
    """A running mean over a twentieth of the curve."""
    width = max(1, len(values) // 20)
    total = np.cumsum(np.concatenate([[0.0], values]))
    index = np.arange(1, len(values) + 1)
    first = np.maximum(0, index - width)
    return (total[index] - total[first]) / (index - first)


def trajectories(recording: Recording, title: str, file: Path, episodes: Sequence[int]) -> None:
    """A page of episodes from above: arena, discs, both paths, where it ended, and where a barrier was active."""
    columns = min(3, len(episodes))
    lines = -(-len(episodes) // columns)
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        width, height = recording.game.arena.size
        panel = 4.2 * height / width + 0.2
        figure = Figure(figsize=(4.2 * columns, panel * lines + 0.9), layout="constrained")
        figure.suptitle(title, fontsize=13, fontweight="bold", x=0.01, ha="left")
        panels = figure.subplots(lines, columns, squeeze=False).flat
        for axes, episode in zip(panels, episodes, strict=False):
            arena(axes, recording, episode)
            paths(axes, recording, episode)
        for axes in list(panels)[len(episodes) :]:
            axes.set_axis_off()
        figure.legend(handles=_legend(), loc="outside lower center", ncols=6, frameon=False)
        figure.savefig(file)


def arena(axes: Axes, recording: Recording, episode: int) -> None:
    """Walls, discs and a few ticks, from above, in metres."""
    furnish(axes, recording.game.arena, recording.discs[episode], recording.edges[episode])


def furnish(axes: Axes, arena: Arena, discs: np.ndarray, edges: np.ndarray) -> None:
    """The same from discs (n, 3) and edges (n, 4), with NaN for padding."""
    left, right, low, high = arena.bounds
    axes.add_patch(floor(arena, fill=False, lw=1.6, ec="#3c4043"))
    for x, y, radius in discs:
        if np.isfinite(radius):
            axes.add_patch(Circle((x, y), radius, fc=DISC, ec="#7d848c", lw=0.8))
    for corners in () if arena.layout is None else arena.layout.polygons:
        axes.add_patch(Polygon(corners, fc=DISC, ec="none"))
    if len(edges):
        walls = list(edges.reshape(-1, 2, 2))
        axes.add_collection(LineCollection(walls, colors="#3c4043", linewidths=1.6, capstyle="round"))
    axes.set(xlim=_wider(left, right), ylim=_wider(low, high), aspect="equal")
    axes.set(xticks=[left, 0.5 * (left + right), right], yticks=[low, 0.5 * (low + high), high])
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0, labelsize=7, colors="#7d848c")


def floor(arena: Arena, **style: Any) -> Patch:
    """The ground on which robots can be: the arena's rectangle or the room's outline."""
    left, right, low, high = arena.bounds
    if arena.layout is not None:
        return Polygon(arena.layout.outline, **style)
    return Rectangle((left, low), right - left, high - low, **style)


def _wider(low: float, high: float) -> tuple[float, float]:
    """An interval with a margin of 1.5 % at either end."""
    return low - 0.015 * (high - low), high + 0.015 * (high - low)


def paths(axes: Axes, recording: Recording, episode: int) -> None:
    """Both robots' paths, where a barrier was active, and as a title how it ended; below them those of movers."""
    length = int(recording.length[episode])
    for x, y, radius in recording.movers[episode, : length + 1].transpose(1, 2, 0):
        axes.plot(x, y, color=MOVER, lw=0.8, alpha=0.6, zorder=1)
        axes.add_patch(Circle((x[-1], y[-1]), radius[0], fc=MOVER, ec="#7d848c", lw=0.8, zorder=1.5))
    game = recording.game
    for poses, robot, colour in (
        (recording.evader, game.evader, EVADER),
        (recording.pursuer, game.robot, PURSUER),
    ):
        path = poses[episode, : length + 1, :2]
        pieces = np.stack([path[:-1], path[1:]], axis=1)
        fade = np.clip(np.linspace(0.25, 1, len(pieces)), 0, 1)
        axes.add_collection(LineCollection(list(pieces), colors=colour, alpha=fade, linewidths=1.5))
        axes.plot(*path[0], marker="o", ms=5, mfc="white", mec=colour, mew=1.3)
        axes.add_patch(Circle(tuple(path[-1]), robot.radius, fc=colour, ec="white", lw=0.5, zorder=4))
    held = recording.own[episode, :length][recording.intervened[episode, :length]]
    axes.scatter(held[:, 0], held[:, 1], s=9, color=BARRIER, zorder=3, linewidths=0)
    if recording.outcome[episode] == "capture":
        x, y, _ = recording.evader[episode, length]
        radius = recording.game.capture_radius
        axes.add_patch(Circle((x, y), radius, fill=False, ec=CAPTURE, lw=1.4, ls=(0, (3, 2)), zorder=5))
    share = recording.intervened[episode, :length].mean()
    axes.set_title(f"{ending(recording, episode)} · barrier active {share:.1%}", fontsize=9)


def ending(recording: Recording, episode: int) -> str:
    """How an episode ended, and when."""
    time = recording.length[episode] * recording.game.robot.dt
    words = {
        "capture": f"captured after {time:.1f} s",
        "timeout": f"not captured in {time:.0f} s",
        "invalid": f"invalid after {time:.1f} s: a number is not finite",
    }
    return words.get(str(recording.outcome[episode]), f"collided after {time:.1f} s")


def hits(verdict: Verdict) -> np.ndarray:
    """(episodes, time) whether the robot that is judged collided by its own motion."""
    return verdict.wall | verdict.obstacle | verdict.robot


def _legend() -> list[Line2D]:
    dot: dict[str, Any] = {"marker": "o", "ls": ""}
    return [
        Line2D([], [], color=PURSUER, lw=2, label="pursuer"),
        Line2D([], [], color=EVADER, lw=2, label="evader"),
        Line2D([], [], mfc="white", mec="#3c4043", ms=5, label="start", **dot),
        Line2D([], [], color=BARRIER, ms=4, label="barrier active", **dot),
        Line2D([], [], mfc="none", mec=CAPTURE, ms=10, label="capture radius", **dot),
        Line2D([], [], color=DISC, ms=9, label="disc", **dot),
    ]
