"""A scene from above: what stands in it, and where a robot can be."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch

from safepursuit.game import Game, GameState
from safepursuit.report.figures import BARRIER, EVADER, MOVER, PURSUER, STYLE, floor, furnish
from safepursuit.robot import Robot
from safepursuit.scene import Scene, clearance
from safepursuit.shield import Shield, survey

_MESH = 400
"""Points along the longer side at which the safe set is known."""

_SIDE = 7.0
"""The longer side of a picture [inches]."""

_FREE = "#dcebf7"


def draw(game: Game, shield: Shield, start: GameState, title: str, file: Path) -> None:
    """Write a picture of the scene of a start (games on the trailing axis; the first is drawn).

    Light blue is where the centre of the robot can be, within the line its virtual control point can be (theorem
    2); both are found by the safety layer itself.
    """
    scene = jax.tree.map(lambda part: part[..., 0], start.scene)
    width, height = game.arena.size
    scale = _SIDE / max(width, height)
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(scale * width + 0.8, scale * height + 1.1), layout="constrained")
        figure.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left")
        axes = figure.subplots()
        _safe_set(axes, game, shield, scene.standing)
        furnish(axes, game.arena, *_standing(scene.standing))
        _movers(axes, game, scene)
        for pose, robot, colour in ((start.pursuer, game.robot, PURSUER), (start.evader, game.evader, EVADER)):
            x, y, heading = np.asarray(pose)[:, 0]
            axes.add_patch(Circle((x, y), robot.radius, fc=colour, ec="white", lw=0.5, zorder=6))
            nose = robot.radius * np.array([np.cos(heading), np.sin(heading)])
            axes.plot([x, x + nose[0]], [y, y + nose[1]], color="white", lw=1.2, zorder=7)
        handles = [
            Patch(fc=_FREE, label=f"centre of a robot of {2 * game.robot.radius:g} m"),
            Line2D([], [], color=BARRIER, lw=1, label="its control point"),
            Line2D([], [], color=PURSUER, marker="o", ls="", label="pursuer"),
            Line2D([], [], color=EVADER, marker="o", ls="", label="evader"),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
        figure.savefig(file, dpi=110)


def _movers(axes: Axes, game: Game, scene: Scene) -> None:
    """Movers where they begin, and the ways of those that have one."""
    if scene.movers is None or game.arena.layout is None:
        return
    for script in game.arena.layout.movers:
        way = script.points[:, -2:] if script.kind != "loop" else np.concatenate([script.points, script.points[:1]])
        if script.kind in ("cross", "loop", "track"):
            axes.plot(*way.T, color=MOVER, lw=0.9, ls=(0, (4, 3)), zorder=3)
    count = len(scene.movers.speed)
    for x, y, radius in zip(*np.asarray(scene.centre)[:, -count:], np.asarray(scene.radius)[-count:], strict=True):
        axes.add_patch(Circle((x, y), radius, fc=MOVER, ec="#7d848c", lw=0.8, zorder=4))


def _safe_set(axes: Axes, game: Game, shield: Shield, scene: Scene) -> None:
    left, right, low, high = game.arena.bounds
    cell = max(right - left, high - low) / _MESH
    x, y = np.arange(left, right + cell, cell), np.arange(low, high + cell, cell)
    points = jnp.asarray(np.stack(np.meshgrid(x, y)).reshape(2, -1))
    clear, least = (np.asarray(part).reshape(len(y), len(x)) for part in _known(game.robot, shield, scene, points))
    inside = axes.add_patch(floor(game.arena, fill=False, ec="none"))
    for one in (
        axes.contourf(x, y, clear, [0, np.inf], colors=[_FREE], zorder=0),
        axes.contour(x, y, least, [0.0], colors=[BARRIER], linewidths=0.9, zorder=0.5),
    ):
        one.set_clip_path(inside)


@partial(jax.jit, static_argnums=(0, 1))
def _known(robot: Robot, shield: Shield, scene: Scene, points: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Clearance of the body with its centre, and least barrier with its control point, at these points."""
    poses = jnp.stack([points[0] - shield.offset, points[1], jnp.zeros_like(points[0])])
    barriers = survey(shield, robot, poses, scene, velocity=jnp.zeros_like(points)).barriers
    return clearance(scene, points, robot.radius), jnp.min(barriers.value, axis=0)


def _standing(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Discs (n, 3) and edges (n, 4) that are present."""
    there = np.asarray(scene.present)
    discs = np.stack([*np.asarray(scene.centre), np.asarray(scene.radius)], axis=-1)[there]
    if scene.edges is None:
        return discs, np.empty((0, 4))
    edges = np.concatenate([np.asarray(scene.edges.start), np.asarray(scene.edges.end)]).T
    return discs, edges[np.asarray(scene.edges.present)]
