"""Pictures of a game in progress, for `render`, on screen or as arrays."""

import math
import os
from functools import lru_cache
from typing import Any, SupportsFloat

import numpy as np

from safepursuit.game import Game, GameState, Role

PURSUER, EVADER, BARRIER, DISC = (31, 95, 168), (209, 115, 26), (194, 24, 91), (185, 190, 197)
INK, PAPER, CAPTURE, WALL = (60, 64, 67), (255, 255, 255), (46, 125, 50), (60, 64, 67)

_COLOURS: dict[Role, tuple[int, int, int]] = {"evader": EVADER, "pursuer": PURSUER}
"""In the order of drawing."""

_SIDE, _HEADER, _MARGIN = 600, 30, 8
"""Pixels: the longer side of the arena, the line of text above it, the wall around it."""

_FINE = 2
"""Factor by which pictures are scaled down after drawing, for smooth edges."""

_LEAST = 5
"""Least radius of a robot [pixels]."""

_AHEAD = 1.0
"""Time for which a control is drawn ahead [s]."""


@lru_cache(maxsize=1)
def _pygame() -> Any:
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        import pygame
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("rendering needs the extra [gym]: pip install 'safepursuit[gym]'.") from error
    pygame.font.init()
    return pygame


class Canvas:
    """Draws the successive states of one game; on screen with `human`."""

    def __init__(self, game: Game, role: Role, human: bool = False) -> None:
        self._game, self._role, self._pygame = game, role, _pygame()
        self._scale = _FINE * _SIDE / max(game.arena.size)
        self._corner = game.arena.bounds[0], game.arena.bounds[3]
        width, height = (round(side * self._scale / _FINE) + 2 * _MARGIN for side in game.arena.size)
        self.size = (width, height + _HEADER)
        self._surface = self._pygame.Surface([_FINE * side for side in self.size])
        self._font = self._pygame.font.Font(None, 20 * _FINE)
        self._trails: tuple[list[tuple[float, float]], list[tuple[float, float]]] = ([], [])
        self._step = 0
        self._window: Any = None
        if human:
            self._pygame.display.init()
            self._pygame.display.set_caption("safepursuit")
            self._window = self._pygame.display.set_mode(self.size)
            self._clock = self._pygame.time.Clock()

    def draw(self, state: GameState, text: str = "", nominal: np.ndarray | None = None) -> np.ndarray | None:
        """Draw a state without a batch; returns (height, width, 3) uint8, or None on screen.

        `text` is written above, beside time and distance. `nominal` [m/s, rad/s] is the last nominal control of the
        robot in this role, if a safety layer changed it.
        """
        step = int(state.step)
        if step < self._step or step == 0:
            self._trails = ([], [])
        self._step = step
        self._surface.fill(DISC)
        self._arena(state)
        self._robots(state, nominal)
        self._write(state, text, nominal is not None)
        picture = self._pygame.transform.smoothscale(self._surface, self.size)
        if self._window is None:
            return np.ascontiguousarray(self._pygame.surfarray.array3d(picture).swapaxes(0, 1))
        self._window.blit(picture, (0, 0))
        self._pygame.event.pump()
        self._pygame.display.flip()
        self._clock.tick(1 / self._game.robot.dt)
        return None

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window is not None:
            self._pygame.display.quit()
            self._window = None

    def _at(self, x: SupportsFloat, y: SupportsFloat) -> tuple[float, float]:
        """World [m] → pixels."""
        left, top = _FINE * _MARGIN, _FINE * (_MARGIN + _HEADER)
        return left + (float(x) - self._corner[0]) * self._scale, top + (self._corner[1] - float(y)) * self._scale

    def _arena(self, state: GameState) -> None:
        draw, layout = self._pygame.draw, self._game.arena.layout
        if layout is None:
            sides = [side * self._scale for side in self._game.arena.size]
            draw.rect(self._surface, PAPER, (*self._at(*self._corner), *sides))
        else:
            draw.polygon(self._surface, PAPER, [self._at(*corner) for corner in layout.outline])
            for polygon in layout.polygons:
                draw.polygon(self._surface, DISC, [self._at(*corner) for corner in polygon])
        for x, y, radius, present in zip(*state.scene.centre, state.scene.radius, state.scene.present, strict=True):
            if present:
                draw.circle(self._surface, DISC, self._at(x, y), float(radius) * self._scale)
        edges = state.scene.edges
        for *ends, present in () if edges is None else zip(*edges.start, *edges.end, edges.present, strict=True):
            if present:
                draw.line(self._surface, WALL, self._at(*ends[:2]), self._at(*ends[2:]), _FINE * 2)

    def _robots(self, state: GameState, nominal: np.ndarray | None) -> None:
        draw, own = self._pygame.draw, state.robot(self._role)
        for (role, colour), trail in zip(_COLOURS.items(), self._trails, strict=True):
            trail.append(self._at(*state.robot(role).pose[:2]))
            if len(trail) > 1:
                pale = [round(0.5 * one + 127) for one in colour]
                draw.lines(self._surface, pale, False, trail, 2 * _FINE)
        draw.circle(self._surface, CAPTURE, self._at(*state.evader[:2]), self._game.capture_radius * self._scale, _FINE)
        if nominal is not None:
            self._path(own.pose, nominal, INK, 2)
        self._path(own.pose, own.control, _COLOURS[self._role], 3)
        for role, colour in _COLOURS.items():
            size = max(self._game.limits(role).radius * self._scale, _LEAST * _FINE)
            pose = state.robot(role).pose
            centre, heading = self._at(*pose[:2]), float(pose[2])
            held = nominal is not None and role == self._role
            draw.circle(self._surface, BARRIER if held else PAPER, centre, size + (2 if held else 1) * _FINE)
            draw.circle(self._surface, colour, centre, size)
            nose = (centre[0] + size * math.cos(heading), centre[1] - size * math.sin(heading))
            draw.line(self._surface, PAPER, centre, nose, 2 * _FINE)

    def _path(self, pose: Any, control: Any, colour: tuple[int, int, int], width: int) -> None:
        """The path of the robot over the next second under a constant control."""
        x, y, heading = (float(one) for one in pose)
        speed, turn_rate, dt = float(control[0]), float(control[1]), self._game.robot.dt
        points = [self._at(x, y)]
        for _ in range(max(1, round(_AHEAD / dt))):
            x, y = x + speed * dt * math.cos(heading), y + speed * dt * math.sin(heading)
            heading += turn_rate * dt
            points.append(self._at(x, y))
        self._pygame.draw.lines(self._surface, colour, False, points, width * _FINE)

    def _write(self, state: GameState, text: str, held: bool) -> None:
        gap = math.hypot(*(state.evader - state.pursuer)[:2])
        words = f"{self._step * self._game.robot.dt:6.2f} s     distance {gap:5.2f} m     {text}"
        line = self._font.render(words, True, BARRIER if held else INK, DISC)
        self._surface.blit(line, (_FINE * _MARGIN, _FINE * _MARGIN))


class Screen:
    """The display of an environment of one game: `mode` is its render mode, or None."""

    MODES = ["human", "rgb_array"]  # noqa: RUF012, Gymnasium expects a list

    def __init__(self, game: Game, role: Role, mode: str | None) -> None:
        """Raises ValueError for an unknown mode."""
        if mode is not None and mode not in self.MODES:
            raise ValueError(f"unknown render_mode {mode!r}; known are {', '.join(self.MODES)}.")
        self._game, self._role, self.mode = game, role, mode
        self._canvas: Canvas | None = None

    def show(self, state: GameState, text: str = "", nominal: np.ndarray | None = None) -> None:
        """Draw the next state in mode "human". Arguments as for `Canvas.draw`."""
        if self.mode == "human":
            self._draw(state, text, nominal)

    def frame(self, state: GameState, text: str = "", nominal: np.ndarray | None = None) -> np.ndarray | None:
        """The picture in mode "rgb_array", otherwise None."""
        return self._draw(state, text, nominal) if self.mode == "rgb_array" else None

    def close(self) -> None:
        if self._canvas is not None:
            self._canvas.close()
            self._canvas = None

    def _draw(self, state: GameState, text: str, nominal: np.ndarray | None) -> np.ndarray | None:
        if self._canvas is None:
            self._canvas = Canvas(self._game, self._role, human=self.mode == "human")
        return self._canvas.draw(state, text, nominal)
