"""One episode on a pair of axes, changed in place from step to step.

What is drawn of the barriers. Theorem 2 keeps the virtual control point q = p + d·e(θ), a point d ahead of the centre,
where h ≥ 0 for every boundary: h is a function of q alone, so its level sets stand still while the robot turns. Drawn
are the level sets of the least h of all boundaries: h = 0, which q never crosses, and h = v̄Δ/γ, inside of which a row
with gain γ slows a robot that heads straight at the boundary at full speed. (For the *centre*, at one heading θ, the
safe set is the same picture shifted by −d·e(θ).) A boundary lights up in the steps in which it held the control.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Polygon

from safepursuit.report.animation.take import Take, least_barrier, level, prediction
from safepursuit.report.figures import BARRIER, CAPTURE, COLLISION, DISC, EVADER, MOVER, PURSUER, arena, floor

NOMINAL = "#5f6368"

_COLOURS = (EVADER, PURSUER)
"""Back to front."""

_TRACE = 4.0
"""Seconds after which the trace has faded to the line of the path."""

_MESH = 401
"""Points along each side of the arena at which h is known to the contour lines."""


class Stage:
    """Arena, robots, traces, controls and barriers of one episode; `show` moves them to a step.

    Robots are drawn with radius `size` [m], or as large as they are. With `window`, the width and height [m] of a view
    that travels with the pursuer, this is a close-up; nothing in it stands still, so that all of it is drawn anew at
    each step.
    """

    def __init__(self, axes: Axes, take: Take, size: float | None, window: tuple[float, float] | None = None) -> None:
        self.axes, self.take, self.window = axes, take, window
        fine = 1.0 if window is None else 1.5
        arena(axes, take.recording, take.index)
        if window is not None:
            axes.set(aspect="auto", xticks=[], yticks=[], facecolor=DISC)
            axes.add_patch(floor(take.recording.game.arena, fc="white", ec="none", zorder=0))
        _contours(axes, take, fine)
        self.movers = [_mover(axes, radius) for radius in take.recording.movers[take.index, 0, :, 2]]
        self.boundaries = list(_boundaries(axes, take, fine))
        self.paths = [axes.plot([], [], color=colour, lw=0.9 * fine, alpha=0.5, zorder=2)[0] for colour in _COLOURS]
        self.fade = max(1, round(_TRACE / take.recording.game.robot.dt))
        self.traces = [_trace(axes, colour, 2 * fine, self.fade) for colour in _COLOURS]
        self.held = axes.plot([], [], marker="o", color=BARRIER, ms=2.6 * fine, mec="none", ls="", zorder=3)[0]
        self.nominal, self.executed = _Arrow(axes, NOMINAL, fine, dashed=True), _Arrow(axes, PURSUER, fine)
        radius = take.recording.game.capture_radius
        self.capture = Circle((0, 0), radius, fill=False, ec=CAPTURE, lw=fine, ls=(0, (3, 2)), zorder=5)
        axes.add_patch(self.capture)
        bodies = take.recording.game.evader.radius, take.recording.game.robot.radius
        self.robots = [_Robot(axes, *one, fine) for one in zip(_COLOURS, [size] * 2 if size else bodies, strict=True)]
        self.point = axes.plot([], [], marker="o", ms=5.5, mfc="white", mec=BARRIER, mew=1.6, ls="", zorder=8)[0]
        self.point.set_visible(window is not None)
        self.hits = axes.plot([], [], marker="x", color=COLLISION, ms=6 * fine, mew=1.5 * fine, ls="", zorder=9)[0]
        self.artists: list[Artist] = self._moving()

    def _moving(self) -> list[Artist]:
        """What `show` changes, back to front."""
        if self.window is not None:
            return [self.axes]
        moving = [
            *self.movers,
            *self.boundaries,
            *self.paths,
            *self.traces,
            self.held,
            self.capture,
            self.point,
            self.hits,
        ]
        moving += self.nominal.artists + self.executed.artists
        for robot in self.robots:
            moving += robot.artists
        for artist in moving:
            artist.set_animated(True)
        return sorted(moving, key=lambda artist: artist.get_zorder())

    def show(self, step: int) -> None:
        """The situation before this step; past the episode's end, the one in which it ended."""
        take, recording = self.take, self.take.recording
        step = min(step, take.length)
        over = step == take.length
        poses = (recording.evader[take.index], recording.pursuer[take.index])
        dt = recording.game.robot.dt
        for path, trace, robot, pose in zip(self.paths, self.traces, self.robots, poses, strict=True):
            path.set_data(*pose[: step + 1, :2].T)
            trace.set_segments(list(_pieces(pose[: step + 1, :2], self.fade)))
            robot.move(pose[step])
        first = recording.discs.shape[1]
        movers = zip(self.movers, self.boundaries[first:], recording.movers[take.index, step], strict=False)
        for disc, lit, (x, y, _) in movers:
            disc.set_center((x, y))
            lit.set_center((x, y))  # type: ignore[attr-defined]
        evader, pursuer = (pose[step] for pose in poses)
        own = pursuer if recording.role == "pursuer" else evader
        path = recording.own[take.index]
        begins = take.hits & ~np.append(False, take.hits[:-1])
        self.held.set_data(*path[:step][recording.intervened[take.index, :step]][:, :2].T)
        self.hits.set_data(*path[:step][begins[:step]][:, :2].T)
        self.capture.set_center(tuple(evader[:2]))
        caught = over and recording.outcome[take.index] == "capture"
        self.capture.set_linewidth(2.2 if caught else 1.0)
        self.capture.set_linestyle("-" if caught else (0, (3, 2)))
        self.point.set_data(*(own[:2] + take.shield.offset * _direction(own[2]))[:, None])
        for artist, lit in zip(self.boundaries, take.active[min(step, take.length - 1)], strict=True):
            artist.set_visible(bool(lit) and not over)
        for arrow, controls in ((self.nominal, recording.nominal), (self.executed, recording.own_control)):
            arrow.point(None if over else prediction(own, controls[take.index, step], dt))
        if self.window is not None:
            width, height = self.window
            self.axes.set_xlim(own[0] - width / 2, own[0] + width / 2)
            self.axes.set_ylim(own[1] - height / 2, own[1] + height / 2)


class _Robot:
    """A disc with a white mark from its centre to its nose."""

    def __init__(self, axes: Axes, colour: str, size: float, fine: float) -> None:
        self.size = size
        self.body = Circle((0, 0), size, fc=colour, ec="white", lw=0.6, zorder=6)
        axes.add_patch(self.body)
        self.nose = axes.plot([], [], color="white", lw=1.3 * fine**2, solid_capstyle="butt", zorder=7)[0]
        self.artists: list[Artist] = [self.body, self.nose]

    def move(self, pose: np.ndarray) -> None:
        self.body.set_center(tuple(pose[:2]))
        self.nose.set_data(*np.stack([pose[:2], pose[:2] + self.size * _direction(pose[2])], axis=1))


class _Arrow:
    """A control as the way it leads, with a tip."""

    def __init__(self, axes: Axes, colour: str, fine: float, dashed: bool = False) -> None:
        style: dict[str, Any] = {"ls": (0, (3, 1.5))} if dashed else {}
        self.length = 0.25 / fine
        self.shaft = axes.plot([], [], color=colour, lw=1.4 * fine, zorder=5, **style)[0]
        self.tip = Polygon(np.zeros((3, 2)), closed=True, fc=colour, ec="none", zorder=5)
        axes.add_patch(self.tip)
        self.artists: list[Artist] = [self.shaft, self.tip]

    def point(self, way: np.ndarray | None) -> None:
        for artist in self.artists:
            artist.set_visible(way is not None)
        if way is None:
            return
        self.shaft.set_data(*way.T)
        last = way[-1] - way[-2]
        heading = np.arctan2(last[1], last[0])
        ahead, aside = self.length * _direction(heading), 0.45 * self.length * _direction(heading + np.pi / 2)
        self.tip.set_xy(np.stack([way[-1] + 0.6 * ahead, way[-1] - 0.4 * ahead + aside, way[-1] - 0.4 * ahead - aside]))


def _direction(heading: float) -> np.ndarray:
    return np.array([np.cos(heading), np.sin(heading)])


def _pieces(path: np.ndarray, count: int) -> np.ndarray:
    """The last `count` pieces of a path, oldest first; the missing ones of a short path are points."""
    recent = path[-count - 1 :]
    recent = np.concatenate([np.repeat(recent[:1], count + 1 - len(recent), axis=0), recent])
    return np.stack([recent[:-1], recent[1:]], axis=1)


def _trace(axes: Axes, colour: str, width: float, count: int) -> LineCollection:
    alpha = np.linspace(0, 1, count) ** 1.5
    lines = LineCollection([], colors=[(colour, float(a)) for a in alpha], linewidths=width, zorder=4)
    axes.add_collection(lines)
    return lines


def _contours(axes: Axes, take: Take, fine: float) -> None:
    left, right, low, high = take.recording.game.arena.bounds
    x, y = np.linspace(left, right, _MESH), np.linspace(low, high, _MESH)
    h = least_barrier(take, np.stack(np.meshgrid(x, y)).reshape(2, -1)).reshape(_MESH, _MESH)
    axes.contour(x, y, h, [0.0], colors=[BARRIER], linewidths=0.9 * fine, alpha=0.8, zorder=1)
    if take.gain is not None:
        outer = level(take.gain, take.recording.game.robot)
        axes.contour(x, y, h, [outer], colors=[BARRIER], linewidths=0.7 * fine, alpha=0.35, zorder=1)


def _boundaries(axes: Axes, take: Take, fine: float) -> Iterator[Artist]:
    """What lights up, in the order of `scene.boundaries`."""
    half_x, half_y = take.recording.game.arena.half_extents
    round_ones = np.concatenate([take.recording.discs[take.index], take.recording.movers[take.index, 0]])
    for x, y, radius in np.nan_to_num(round_ones, nan=-1e3):
        yield axes.add_patch(Circle((x, y), max(radius, 0), fc=(BARRIER, 0.25), ec=BARRIER, lw=2.6 * fine, zorder=2))
    for side in (1, -1):
        yield _line(axes, [side * half_x] * 2, [-half_y, half_y], fine)
    for side in (1, -1):
        yield _line(axes, [-half_x, half_x], [side * half_y] * 2, fine)
    for x, y, x_end, y_end in take.recording.edges[take.index]:
        yield _line(axes, [x, x_end], [y, y_end], fine)


def _mover(axes: Axes, radius: float) -> Circle:
    """A disc that moves."""
    disc = Circle((0, 0), max(np.nan_to_num(radius), 0), fc=MOVER, ec="#7d848c", lw=0.8, zorder=1.5)
    axes.add_patch(disc)
    return disc


def _line(axes: Axes, x: list[float], y: list[float], fine: float) -> Line2D:
    return axes.plot(x, y, color=BARRIER, lw=3.4 * fine, zorder=2, solid_capstyle="butt")[0]
