"""Recorded episodes as the data of the replay page."""

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from safepursuit.barriers.control_point import standoff
from safepursuit.evaluation.metrics import verdict as judged
from safepursuit.evaluation.referee import Verdict
from safepursuit.play.recording import Recording
from safepursuit.shield import Shield
from safepursuit.viewer.packing import pack
from safepursuit.viewer.programs import Layer, Programs, programs

OUTCOMES = ("capture", "timeout", "collision", "invalid")

_WALLS = ("wall +x", "wall −x", "wall +y", "wall −y")
"""The arena's four, in the order of `scene.boundaries`."""


def replay(
    recording: Recording,
    layer: Layer,
    *,
    title: str,
    note: str = "",
    numbers: np.ndarray | None = None,
    verdict: Verdict | None = None,
) -> bytes:
    """The data of a replay page: these episodes, and the program of this layer at every step.

    `numbers` (episodes,) are the episodes' names, by default 0, 1, 2, …; `note` says what the page should tell of the
    layer, which is that of the robot judged. Poses and controls are kept in single precision, in which they were
    played. Raises ValueError for more boundaries than a page shows.
    """
    verdict = judged(recording) if verdict is None else verdict
    played = np.arange(recording.pursuer_control.shape[1]) < recording.length[:, None]
    stood = np.arange(recording.pursuer.shape[1]) <= recording.length[:, None]
    hit = verdict.wall | verdict.obstacle | verdict.robot
    flags = recording.intervened + 2 * recording.infeasible + 4 * hit + 8 * recording.lost_gradient
    arrays = {
        "length": recording.length.astype(np.uint32),
        "number": (np.arange(len(recording.length)) if numbers is None else numbers).astype(np.uint32),
        "outcome": np.array([OUTCOMES.index(one) for one in recording.outcome], np.uint8),
        "discs": _single(recording.discs),
        "edges": _single(recording.edges),
        **({"movers": _single(recording.movers[stood])} if recording.movers.shape[2] else {}),
        "pursuer": _single(recording.pursuer[stood]),
        "evader": _single(recording.evader[stood]),
        "pursuer_control": _single(recording.pursuer_control[played]),
        "nominal": _single(recording.nominal[played]),
        "evader_control": _single(recording.evader_control[played]),
        "correction": _single(recording.correction[played]),
        "clearance": _single(verdict.clearance[played]),
        "flags": flags[played].astype(np.uint8),
        "active": np.packbits(recording.active[played], axis=-1, bitorder="little"),
        "standoff": _single(_standoffs(layer.shield, recording)),
    }
    found = programs(recording, layer)
    if found is not None:
        arrays |= _of_programs(found)
    game, robot, room = recording.game, recording.game.limits(recording.role), recording.game.arena.layout
    about = {
        "title": title,
        "note": note,
        "role": recording.role,
        "half_extents": list(game.arena.half_extents),
        "bounds": list(game.arena.bounds),
        "room": room and {"outline": room.outline.tolist(), "solid": [corners.tolist() for corners in room.polygons]},
        "robot_radius": game.robot.radius,
        "evader_radius": game.evader.radius,
        "capture_radius": game.capture_radius,
        "dt": game.robot.dt,
        "integrator": game.robot.integrator,
        "max_speed": robot.max_speed,
        "max_turn_rate": robot.max_turn_rate,
        "horizon": game.horizon,
        "inertia": game.robot.has_inertia,
        "boundaries": _names(recording),
        "offset": layer.shield.offset,
        "level": None if not layer.gain else robot.max_speed * robot.dt / layer.gain,
    }
    return pack("replay", about, arrays)


def _single(array: np.ndarray) -> np.ndarray:
    return np.asarray(array, np.float32)


def _of_programs(found: Programs) -> dict[str, np.ndarray]:
    if len(found.boundary) and found.boundary.max() > 255:
        raise ValueError("a page shows no more than 255 boundaries.")
    arrays = {
        "rows": _single(np.concatenate([found.A, found.b[:, None]], axis=1)),
        "row_boundary": found.boundary.astype(np.uint8),
        "row_count": found.rows.astype(np.uint8),
        "box": _single(found.box[:1] if np.all(found.box == found.box[:1]) else found.box),
        "gain": _single(found.gain),
    }
    if found.sector is not None:  # of a robot with inertia, whose coordinates depend on its velocity
        arrays["sector"] = _single(found.sector)
        arrays["program_nominal"] = _single(found.nominal)
        arrays["program_control"] = _single(found.control)
    return arrays


def _names(recording: Recording) -> list[str]:
    discs, edges = recording.discs.shape[1], recording.edges.shape[1]
    names = [f"disc {number + 1}" for number in range(discs)]
    names += [*(f"mover {number + 1}" for number in range(recording.movers.shape[2])), *_WALLS]
    names += [*(f"edge {number + 1}" for number in range(edges)), "other robot"]
    return names[: recording.active.shape[-1]] if recording.active.shape[-1] else names


def _standoffs(shield: Shield, recording: Recording) -> np.ndarray:
    """(episodes, discs + 2) how far from each disc's surface, from a wall, and from an edge the virtual control point
    has h = 0."""
    kind: Any = shield.kinds[0]
    robot = recording.game.robot
    body = replace(robot, radius=robot.radius + kind.margin)
    radius = recording.discs[..., 2]
    radii = np.concatenate([radius, np.full((len(radius), 1), np.inf), np.zeros((len(radius), 1))], axis=1)
    return np.asarray(standoff(body, kind.offset, jnp.asarray(radii.T))).T
