"""Episodes as films: one after the other with a close-up, or many side by side."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from safepursuit.report.animation import movie
from safepursuit.report.animation.stage import NOMINAL, Stage
from safepursuit.report.animation.strip import GREY, Strip
from safepursuit.report.animation.take import PLAIN, Take, level
from safepursuit.report.figures import BARRIER, CAPTURE, COLLISION, EVADER, PURSUER, STYLE

HOLD = 1.5
"""Seconds for which the last picture of an episode, or of a page of them, stands still."""

_DPI = 100

Turn: TypeAlias = Callable[[int], list[Artist]]
"""Sets the moving parts of a figure to a step and returns them, back to front."""

_SWATCH = 10_000
"""Pixels for which each colour of the robots and barriers counts in the palette of a GIF."""
_WINDOW = (4.0, 3.2)
"""Width and height of the close-up [m]."""

_MARK = 0.24
"""Radius [m] of the robots in views of the whole arena, for an arena of 20 m: their own would be a few pixels."""


def moments(length: int, dt: float, fps: int, speed: float) -> np.ndarray:
    """The steps to be shown of an episode of `length` steps of dt seconds at `speed` times real time.

    Picture k shows the step nearest to time k·speed/fps, so that no error adds up; the last picture shows the end.
    Raises ValueError where fps or speed is not positive.
    """
    if not (fps > 0 and speed > 0):
        raise ValueError(f"frames per second and speed must be positive, not {fps} and {speed:g}.")
    steps = np.round(np.arange(0, length * dt, speed / fps) / dt).astype(int)
    return np.append(steps[steps < length], length)


def film(takes: Sequence[Take], title: str, file: Path, *, fps: int = 20, speed: float = 2.0) -> int:
    """Write the episodes one after the other; returns the number of pictures.

    On the left the arena; on the right a close-up that travels with the robot that is judged, and distance and
    clearance over time.
    Raises ValueError for no episode, and whatever `movie.write` and `moments` raise.
    """
    return _write([_Page([take], partial(_close, take, title)) for take in takes], file, fps, speed)


def grid(
    takes: Sequence[Take], shape: tuple[int, int], title: str, file: Path, *, fps: int = 20, speed: float = 2.0
) -> int:
    """Write the episodes side by side, in this many lines and columns; returns the number of pictures.

    Raises ValueError for more episodes than places or none, and whatever `movie.write` and `moments` raise.
    """
    if len(takes) > shape[0] * shape[1]:
        raise ValueError(f"{len(takes)} episodes do not fit into a grid of {shape[0]} x {shape[1]}.")
    return _write([_Page(takes, partial(_side_by_side, takes, shape, title))] if takes else [], file, fps, speed)


class _Page(NamedTuple):
    """A figure with the episodes that it shows; its moving parts are drawn over a background that is drawn once."""

    takes: Sequence[Take]
    compose: Callable[[], tuple[Figure, Turn]]
    """The figure, with all moving parts marked as animated."""

    @property
    def length(self) -> int:
        """Steps until the last episode ends."""
        return max(take.length for take in self.takes)

    def pictures(self, steps: Sequence[int] | np.ndarray) -> Iterator[np.ndarray]:
        """(height, width, 3) uint8 for each step."""
        with mpl.rc_context(STYLE | {"axes.grid": False, "figure.dpi": _DPI}):
            figure, turn = self.compose()
            canvas = FigureCanvasAgg(figure)
            canvas.draw()
            background = canvas.copy_from_bbox(figure.bbox)
        for step in steps:
            canvas.restore_region(background)
            for artist in turn(int(step)):
                artist.draw(canvas.get_renderer())
            yield np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _write(pages: Sequence[_Page], file: Path, fps: int, speed: float) -> int:
    if not pages:
        raise ValueError("there is no episode to show.")

    def frames() -> Iterator[np.ndarray]:
        for page in pages:
            for picture in page.pictures(moments(page.length, page.takes[0].recording.game.robot.dt, fps, speed)):
                yield picture
            yield from repeat(picture, round(HOLD * fps))

    swatches = np.array([to_rgb(colour) for colour in (PURSUER, EVADER, BARRIER, CAPTURE, COLLISION, NOMINAL)])
    samples = [np.repeat(np.round(255 * swatches).astype(np.uint8), _SWATCH, axis=0)]
    for page in pages[:3]:
        samples += page.pictures([*_lit(page.takes)[:4], page.length])
    return movie.write(file, frames(), fps, samples)


def _close(take: Take, title: str) -> tuple[Figure, Turn]:
    """One episode: arena, close-up, and what there is to read."""
    recording, length = take.recording, take.length
    dt, half = recording.game.robot.dt, 0.5 * max(recording.game.arena.size)
    width, height = 1000, 640

    def at(x: int, y: int) -> tuple[float, float]:
        return x / width, y / height

    def axes(x: int, y: int, *size: int) -> Axes:
        return figure.add_axes((*at(x, y), *at(*size)))

    figure = Figure(figsize=(width / _DPI, height / _DPI))
    figure.text(*at(30, 614), title, fontsize=_fitting(title, 550), fontweight="bold")
    figure.text(*at(990, 614), f"episode {take.index}", fontsize=9, color=GREY, ha="right")
    whole = Stage(axes(30, 58, 540, 540), take, _MARK * half / 10)
    close = Stage(axes(600, 284, 390, 312), take, None, _WINDOW)
    for side in close.axes.spines.values():
        side.set(visible=True, color=PLAIN, lw=0.8)
    close.axes.set_animated(True)
    view = Rectangle((0, 0), *_WINDOW, fill=False, ec=PLAIN, lw=0.6, alpha=0.6, animated=True)
    whole.axes.add_patch(view)
    strips = _strips(take, axes(628, 158, 362, 62), axes(628, 62, 362, 62))
    text: dict[str, Any] = {"animated": True, "fontsize": 9}
    bold = text | {"fontsize": 13, "fontweight": "bold"}
    time, ending = figure.text(*at(600, 256), "", **bold), figure.text(*at(600, 614), "", **bold)
    speed, turning = figure.text(*at(700, 265), "", **text), figure.text(*at(700, 249), "", **text)
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": at(20, 0), "ncols": 5}
    figure.legend(handles=_legend(take), frameon=False, fontsize=8, **place)

    def turn(step: int) -> list[Artist]:
        for stage in (whole, close):
            stage.show(step)
        for strip in strips:
            strip.show(step)
        x, y = recording.own[take.index, step, :2]
        view.set_xy((x - _WINDOW[0] / 2, y - _WINDOW[1] / 2))
        time.set_text(f"{step * dt:5.2f} s")
        last = min(step, length - 1)
        executed, nominal = (each[take.index, last] for each in (recording.own_control, recording.nominal))
        speed.set_text(f"v  {executed[0]:5.2f} m/s      nominal {nominal[0]:5.2f}".replace("-", "−"))
        turning.set_text(f"ω {executed[1]:5.2f} rad/s   nominal {nominal[1]:5.2f}".replace("-", "−"))
        words, colour = take.ending
        ending.set(text=words, color=colour, visible=step == length)
        curves = [artist for strip in strips for artist in strip.artists]
        return [*whole.artists, view, *close.artists, *curves, time, speed, turning, ending]

    return figure, turn


def _strips(take: Take, above: Axes, below: Axes) -> list[Strip]:
    """Distance of the two centres and clearance over time."""
    recording = take.recording
    times = np.arange(take.length + 1) * recording.game.robot.dt
    gap = (recording.evader - recording.pursuer)[take.index, : take.length + 1, :2]
    distance = Strip(above, times, np.hypot(*gap.T), PLAIN, "distance", 2)
    above.axhline(recording.game.capture_radius, color=CAPTURE, lw=0.9, ls=(0, (3, 2)))
    above.set_xticklabels([])
    values = take.verdict.clearance[take.index, : take.length]
    clearance = Strip(below, times, np.append(values, values[-1]), PURSUER, "clearance", 3)
    below.axhline(0, color=COLLISION, lw=0.9)
    below.set_xlabel("seconds", fontsize=7, color=GREY, labelpad=1, loc="right")
    clearance.shade(np.append(recording.intervened[take.index, : take.length], False))
    return [distance, clearance]


def _side_by_side(takes: Sequence[Take], shape: tuple[int, int], title: str) -> tuple[Figure, Turn]:
    """Many episodes; each stands still when it is over, until the last one ends."""
    panel, gap, top, bottom = 250, 14, 46, 48
    lines, columns = shape
    width = max(520, columns * (panel + gap) + gap)
    height = top + lines * (panel + 20) + bottom
    figure = Figure(figsize=(width / _DPI, height / _DPI))
    figure.text(gap / width, 1 - 26 / height, title, fontsize=_fitting(title, width), fontweight="bold")
    half = 0.5 * max(takes[0].recording.game.arena.size)
    stages, labels = [], []
    for place, take in enumerate(takes):
        x = gap + place % columns * (panel + gap)
        y = height - top - (place // columns + 1) * (panel + 20)
        axes = figure.add_axes((x / width, y / height, panel / width, panel / height))
        stages.append(Stage(axes, take, 1.7 * _MARK * half / 10))
        axes.set(xticks=[], yticks=[])
        labels.append(axes.text(0.015, 1.01, "", transform=axes.transAxes, fontsize=8.5, animated=True))
    handles = [handle for handle in _legend(takes[0]) if handle.get_label() != "virtual control point"]
    figure.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 0), ncols=4, frameon=False, fontsize=8)

    def turn(step: int) -> list[Artist]:
        moving: list[Artist] = []
        for stage, label in zip(stages, labels, strict=True):
            stage.show(step)
            words, colour = stage.take.ending
            if step < stage.take.length:
                words, colour = f"{step * stage.take.recording.game.robot.dt:.1f} s", PLAIN
            label.set(text=f"episode {stage.take.index}: {words}", color=colour)
            moving += [*stage.artists, label]
        return moving

    return figure, turn


def _lit(takes: Sequence[Take]) -> list[int]:
    """The first step of each episode in which a boundary is lit up."""
    return [int(np.argmax(lit)) for take in takes if (lit := take.active.any(axis=1)).any()]


def _fitting(title: str, width: int) -> float:
    """The font size with which a bold title stays within so many pixels; 13 at most."""
    return min(13.0, 1.25 * width / len(title))


def _legend(take: Take) -> list[Line2D]:
    dot: dict[str, Any] = {"marker": "o", "ls": ""}
    enforced = "" if take.gain is not None else ", not enforced"
    handles = [
        Line2D([], [], color=PURSUER, ms=7, label="pursuer", **dot),
        Line2D([], [], color=EVADER, ms=7, label="evader", **dot),
        Line2D([], [], color=NOMINAL, ls=(0, (3, 1.5)), lw=1.4, label="nominal control, 1 s ahead"),
        Line2D([], [], color=PURSUER, lw=1.4, label="executed control, 1 s ahead"),
        Line2D([], [], mfc="white", mec=BARRIER, mew=1.6, ms=5.5, label="virtual control point", **dot),
        Line2D([], [], color=BARRIER, lw=1, alpha=0.8, label=f"h = 0{enforced}"),
    ]
    if take.gain is not None:
        outer = level(take.gain, take.recording.game.robot)
        handles.append(Line2D([], [], color=BARRIER, lw=0.8, alpha=0.4, label=f"h = v̄Δ/γ = {outer:.2g} m"))
    return [*handles, Line2D([], [], color=BARRIER, lw=3.4, label="active constraint")]
