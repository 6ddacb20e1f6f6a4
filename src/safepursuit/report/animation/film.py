"""Episodes as moving pictures: one after the other with a close-up, or many side by side."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
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

    On the left the arena; on the right a close-up that travels with the pursuer, and distance and clearance over time.
    Raises ValueError for no episode, and whatever `movie.write` and `moments` raise.
    """
    return _write([_Film(take, title) for take in takes], file, fps, speed)


def grid(
    takes: Sequence[Take], shape: tuple[int, int], title: str, file: Path, *, fps: int = 20, speed: float = 2.0
) -> int:
    """Write the episodes side by side, in this many lines and columns; returns the number of pictures.

    Raises ValueError for more episodes than places or none, and whatever `movie.write` and `moments` raise.
    """
    return _write([_Grid(takes, shape, title)] if takes else [], file, fps, speed)


def _write(pages: Sequence["_Page"], file: Path, fps: int, speed: float) -> int:
    if not pages:
        raise ValueError("there is no episode to show.")

    def frames() -> Iterator[np.ndarray]:
        for page in pages:
            picture = None
            for picture in page.pictures(moments(page.length, page.dt, fps, speed)):
                yield picture
            for _ in range(round(HOLD * fps)):
                assert picture is not None
                yield picture

    swatches = np.array([to_rgb(colour) for colour in (PURSUER, EVADER, BARRIER, CAPTURE, COLLISION, NOMINAL)])
    samples = [np.repeat(np.round(255 * swatches).astype(np.uint8), _SWATCH, axis=0)]
    for page in pages[:3]:
        samples += page.pictures(np.array([*page.notable[:4], page.length]))
    return movie.write(file, frames(), fps, samples)


class _Page(ABC):
    """A figure whose moving parts are drawn over a background that is drawn once."""

    length: int
    dt: float
    notable: list[int]
    """Steps at which something is lit up."""

    @abstractmethod
    def compose(self) -> Figure:
        """The figure, with all moving parts marked as animated."""

    @abstractmethod
    def turn(self, step: int) -> list[Artist]:
        """Set the moving parts to a step and return them, back to front."""

    def pictures(self, steps: np.ndarray) -> Iterator[np.ndarray]:
        """(height, width, 3) uint8 for each step."""
        with mpl.rc_context(STYLE | {"axes.grid": False, "figure.dpi": _DPI}):
            figure = self.compose()
            canvas = FigureCanvasAgg(figure)
            canvas.draw()
            background = canvas.copy_from_bbox(figure.bbox)
        for step in steps:
            canvas.restore_region(background)
            for artist in self.turn(int(step)):
                artist.draw(canvas.get_renderer())
            yield np.asarray(canvas.buffer_rgba())[..., :3].copy()


class _Film(_Page):
    """One episode: arena, close-up, and what there is to read."""

    WIDTH, HEIGHT = 1000, 640

    def __init__(self, take: Take, title: str) -> None:
        self.take, self.title = take, title
        self.length, self.dt = take.length, take.recording.game.robot.dt
        self.notable = _lit([take])

    def compose(self) -> Figure:
        take = self.take
        figure = Figure(figsize=(self.WIDTH / _DPI, self.HEIGHT / _DPI))
        half_x, half_y = take.recording.game.arena.half_extents
        at, box = self._at, self._box
        figure.text(*at(30, 614), self.title, fontsize=_fitting(self.title, 550), fontweight="bold")
        figure.text(*at(990, 614), f"episode {take.index}", fontsize=9, color=GREY, ha="right")
        whole = figure.add_axes(box(30, 58, 540, 540))
        self.whole = Stage(whole, take, _MARK * max(half_x, half_y) / 10)
        self.close = Stage(figure.add_axes(box(600, 284, 390, 312)), take, take.recording.game.robot.radius, _WINDOW)
        for side in self.close.axes.spines.values():
            side.set(visible=True, color=PLAIN, lw=0.8)
        self.close.axes.set_animated(True)
        self.view = Rectangle((0, 0), *_WINDOW, fill=False, ec=PLAIN, lw=0.6, alpha=0.6, animated=True)
        whole.add_patch(self.view)
        self.strips = self._strips(figure)
        text: dict[str, Any] = {"animated": True, "fontsize": 9}
        bold = text | {"fontsize": 13, "fontweight": "bold"}
        self.time = figure.text(*at(600, 256), "", **bold)
        self.speed = figure.text(*at(700, 265), "", **text)
        self.turning = figure.text(*at(700, 249), "", **text)
        self.ending = figure.text(*at(600, 614), "", **bold)
        figure.legend(
            handles=_legend(take), loc="lower left", bbox_to_anchor=at(20, 0), ncols=5, frameon=False, fontsize=8
        )
        return figure

    def _at(self, x: int, y: int) -> tuple[float, float]:
        return x / self.WIDTH, y / self.HEIGHT

    def _box(self, x: int, y: int, width: int, height: int) -> tuple[float, float, float, float]:
        return *self._at(x, y), width / self.WIDTH, height / self.HEIGHT

    def _strips(self, figure: Figure) -> list["Strip"]:
        take, game = self.take, self.take.recording.game
        gap = (take.recording.evader - take.recording.pursuer)[take.index, : self.length + 1, :2]
        clearance = take.verdict.clearance[take.index, : self.length]
        times = np.arange(self.length + 1) * self.dt
        above = Strip(figure.add_axes(self._box(628, 158, 362, 62)), times, np.hypot(*gap.T), PLAIN, "distance", 2)
        above.axes.axhline(game.capture_radius, color=CAPTURE, lw=0.9, ls=(0, (3, 2)))
        above.axes.set_xticklabels([])
        values = np.append(clearance, clearance[-1])
        below = Strip(figure.add_axes(self._box(628, 62, 362, 62)), times, values, PURSUER, "clearance", 3)
        below.axes.axhline(0, color=COLLISION, lw=0.9)
        below.axes.set_xlabel("seconds", fontsize=7, color=GREY, labelpad=1, loc="right")
        below.shade(np.append(take.recording.intervened[take.index, : self.length], False))
        return [above, below]

    def turn(self, step: int) -> list[Artist]:
        take, recording = self.take, self.take.recording
        for stage in (self.whole, self.close):
            stage.show(step)
        for strip in self.strips:
            strip.show(step)
        x, y = recording.pursuer[take.index, step, :2]
        self.view.set_xy((x - _WINDOW[0] / 2, y - _WINDOW[1] / 2))
        self.time.set_text(f"{step * self.dt:5.2f} s")
        last = min(step, self.length - 1)
        executed, nominal = (each[take.index, last] for each in (recording.pursuer_control, recording.pursuer_nominal))
        self.speed.set_text(f"v  {executed[0]:5.2f} m/s      nominal {nominal[0]:5.2f}".replace("-", "−"))
        self.turning.set_text(f"ω {executed[1]:5.2f} rad/s   nominal {nominal[1]:5.2f}".replace("-", "−"))
        words, colour = take.ending
        self.ending.set(text=words, color=colour, visible=step == self.length)
        texts = (self.time, self.speed, self.turning, self.ending)
        return [
            *self.whole.artists,
            self.view,
            *self.close.artists,
            *(artist for strip in self.strips for artist in strip.artists),
            *texts,
        ]


class _Grid(_Page):
    """Many episodes; each stands still when it is over, until the last one ends."""

    PANEL, GAP, TOP, BOTTOM = 250, 14, 46, 48

    def __init__(self, takes: Sequence[Take], shape: tuple[int, int], title: str) -> None:
        if len(takes) > shape[0] * shape[1]:
            raise ValueError(f"{len(takes)} episodes do not fit into a grid of {shape[0]} x {shape[1]}.")
        self.takes, self.shape, self.title = takes, shape, title
        self.length, self.dt = max(take.length for take in takes), takes[0].recording.game.robot.dt
        self.notable = _lit(takes)

    def compose(self) -> Figure:
        lines, columns = self.shape
        width = max(520, columns * (self.PANEL + self.GAP) + self.GAP)
        height = self.TOP + lines * (self.PANEL + 20) + self.BOTTOM
        figure = Figure(figsize=(width / _DPI, height / _DPI))
        figure.text(
            self.GAP / width, 1 - 26 / height, self.title, fontsize=_fitting(self.title, width), fontweight="bold"
        )
        half = max(self.takes[0].recording.game.arena.half_extents)
        self.stages, self.labels = [], []
        for place, take in enumerate(self.takes):
            x = self.GAP + place % columns * (self.PANEL + self.GAP)
            y = height - self.TOP - (place // columns + 1) * (self.PANEL + 20)
            axes = figure.add_axes((x / width, y / height, self.PANEL / width, self.PANEL / height))
            self.stages.append(Stage(axes, take, 1.7 * _MARK * half / 10))
            axes.set(xticks=[], yticks=[])
            self.labels.append(axes.text(0.015, 1.01, "", transform=axes.transAxes, fontsize=8.5, animated=True))
        handles = [handle for handle in _legend(self.takes[0]) if handle.get_label() != "virtual control point"]
        figure.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 0), ncols=4, frameon=False, fontsize=8)
        return figure

    def turn(self, step: int) -> list[Artist]:
        moving: list[Artist] = []
        for stage, label in zip(self.stages, self.labels, strict=True):
            stage.show(step)
            words, colour = stage.take.ending
            if step < stage.take.length:
                words, colour = f"{step * self.dt:.1f} s", PLAIN
            label.set(text=f"episode {stage.take.index}: {words}", color=colour)
            moving += [*stage.artists, label]
        return moving


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
