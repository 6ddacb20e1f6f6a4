"""Recordings as MCAP, the open format of robotics logs, with the schemas that Foxglove draws.

Episodes follow one another on one time axis, a second apart. Frame `world` is that of the arena, x to the right and
y up, in metres; `pursuer` and `evader` travel with the robots, x ahead. Everything here needs the extra [mcap].
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from safepursuit import __version__
from safepursuit.evaluation.metrics import verdict
from safepursuit.play.recording import Recording
from safepursuit.runs.folder import replacing

try:
    from mcap.writer import CompressionType, Writer
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "MCAP files need the extra [mcap]: pip install 'safepursuit[mcap]'.", name=missing.name
    ) from missing

_CHUNK = 64 * 1024
"""Bytes of messages that are packed, and lost where a file is cut, together."""

_PAUSE = 1_000_000_000
"""Nanoseconds between two episodes."""

_NUMBER, _TEXT = {"type": "number"}, {"type": "string"}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_TIME = _object(sec={"type": "integer"}, nsec={"type": "integer"})
_VECTOR = _object(x=_NUMBER, y=_NUMBER, z=_NUMBER)
_TURN = _object(x=_NUMBER, y=_NUMBER, z=_NUMBER, w=_NUMBER)
_POSE = _object(position=_VECTOR, orientation=_TURN)
_COLOUR = _object(r=_NUMBER, g=_NUMBER, b=_NUMBER, a=_NUMBER)
_CYLINDER = _object(pose=_POSE, size=_VECTOR, bottom_scale=_NUMBER, top_scale=_NUMBER, color=_COLOUR)
_LINE = _object(type={"type": "integer"}, pose=_POSE, thickness=_NUMBER, points=_list(_VECTOR), color=_COLOUR)
_ENTITY = _object(
    timestamp=_TIME, frame_id=_TEXT, id=_TEXT, lifetime=_TIME, cylinders=_list(_CYLINDER), lines=_list(_LINE)
)
_TRANSFORM = _object(timestamp=_TIME, parent_frame_id=_TEXT, child_frame_id=_TEXT, translation=_VECTOR, rotation=_TURN)

SCHEMAS: dict[str, dict[str, Any]] = {
    "foxglove.PoseInFrame": _object(timestamp=_TIME, frame_id=_TEXT, pose=_POSE),
    "foxglove.FrameTransforms": _object(transforms=_list(_TRANSFORM)),
    "foxglove.SceneUpdate": _object(
        deletions=_list(_object(timestamp=_TIME, type={"type": "integer"}, id=_TEXT)), entities=_list(_ENTITY)
    ),
    "safepursuit.Twist": _object(speed=_NUMBER, turn_rate=_NUMBER),
    "safepursuit.Safety": _object(
        episode={"type": "integer"},
        step={"type": "integer"},
        robot=_TEXT,
        nominal_speed=_NUMBER,
        nominal_turn_rate=_NUMBER,
        correction=_NUMBER,
        clearance=_NUMBER,
        distance=_NUMBER,
        intervened={"type": "boolean"},
        infeasible={"type": "boolean"},
        active=_list({"type": "integer"}),
    ),
    "safepursuit.Episode": _object(episode={"type": "integer"}, outcome=_TEXT, steps={"type": "integer"}),
}
"""JSON schemas by name: those of Foxglove as far as they are used, and our own in SI units."""

TOPICS = {
    "/pursuer/pose": "foxglove.PoseInFrame",
    "/evader/pose": "foxglove.PoseInFrame",
    "/pursuer/twist": "safepursuit.Twist",
    "/evader/twist": "safepursuit.Twist",
    "/safety": "safepursuit.Safety",
    "/episode": "safepursuit.Episode",
    "/scene": "foxglove.SceneUpdate",
    "/tf": "foxglove.FrameTransforms",
}
"""What is written, and its schema: poses at the ends of steps, twists and safety at their beginnings, where they hold
for the step that follows; scene and episode once per episode, what moves in the scene at every step."""


def save(recording: Recording, file: Path, scenario: Sequence[int] | np.ndarray | None = None) -> None:
    """Write a recording as .mcap, in place of what is there; `scenario` holds the episodes' numbers, by default 0, 1, …

    Numbers that are not finite are null.
    """
    numbers = np.arange(len(recording.length)) if scenario is None else np.asarray(scenario, int)
    clearance = verdict(recording).clearance
    with replacing(file) as stream:
        writer = Writer(stream, chunk_size=_CHUNK, compression=CompressionType.ZSTD)
        writer.start(library=f"safepursuit {__version__}")
        schemas = {
            name: writer.register_schema(name, "jsonschema", json.dumps({"title": name} | schema).encode())
            for name, schema in SCHEMAS.items()
        }
        channels = {topic: writer.register_channel(topic, "json", schemas[name]) for topic, name in TOPICS.items()}
        start, step = 0, round(1e9 * recording.game.robot.dt)
        for index, number in enumerate(numbers):
            for after, topic, message in _episode(recording, clearance, index, int(number), start, step):
                moment = start + after * step
                content = json.dumps(message, allow_nan=False).encode()
                writer.add_message(channels[topic], moment, content, moment)
            start += int(recording.length[index]) * step + _PAUSE
        writer.finish()


def _episode(
    recording: Recording, clearance: np.ndarray, index: int, number: int, start: int, step: int
) -> list[tuple[int, str, Any]]:
    """Steps after the start, topics and messages of one episode, in order."""
    length = int(recording.length[index])
    facts = {"episode": number, "outcome": str(recording.outcome[index]), "steps": length}
    messages: list[tuple[int, str, Any]] = [(0, "/episode", facts), (0, "/scene", _scene(recording, index, start))]
    for at in range(length + 1):
        stamp = _time(start + at * step)
        moving = []
        for robot in ("pursuer", "evader"):
            position, turn = _placed(getattr(recording, robot)[index, at])
            pose = {"position": position, "orientation": turn}
            messages.append((at, f"/{robot}/pose", {"timestamp": stamp, "frame_id": "world", "pose": pose}))
            frames = {"timestamp": stamp, "parent_frame_id": "world", "child_frame_id": robot}
            moving.append(frames | {"translation": position, "rotation": turn})
        messages.append((at, "/tf", {"transforms": moving}))
        if recording.movers.shape[2]:
            messages.append((at, "/scene", _movers(recording, index, at, stamp)))
        if at == length:
            break
        for robot in ("pursuer", "evader"):
            speed, turn_rate = map(_number, getattr(recording, f"{robot}_control")[index, at])
            messages.append((at, f"/{robot}/twist", {"speed": speed, "turn_rate": turn_rate}))
        messages.append((at, "/safety", _safety(recording, clearance, index, number, at)))
    return messages


def _safety(recording: Recording, clearance: np.ndarray, index: int, number: int, at: int) -> dict[str, Any]:
    gap = (recording.evader - recording.pursuer)[index, at, :2]
    return {
        "episode": number,
        "step": at,
        "nominal_speed": _number(recording.nominal[index, at, 0]),
        "nominal_turn_rate": _number(recording.nominal[index, at, 1]),
        "correction": _number(recording.correction[index, at]),
        "clearance": _number(clearance[index, at]),
        "distance": _number(math.hypot(*gap)),
        "intervened": bool(recording.intervened[index, at]),
        "infeasible": bool(recording.infeasible[index, at]),
        "active": np.flatnonzero(recording.active[index, at]).tolist(),
    }


def _movers(recording: Recording, index: int, at: int, stamp: dict[str, int]) -> dict[str, Any]:
    """Discs that move, in place of where they were."""
    found = [
        _cylinder(x, y, radius, _colour(0.52, 0.65, 0.62)) for x, y, radius in recording.movers[index, at].tolist()
    ]
    entity = {"timestamp": stamp, "frame_id": "world", "id": "movers", "lifetime": _time(0), "frame_locked": False}
    return {"deletions": [], "entities": [entity | {"cylinders": [one for one in found if one], "lines": []}]}


def _scene(recording: Recording, index: int, start: int) -> dict[str, Any]:
    """All that was there is deleted; discs, walls, and the robots' bodies in their own frames are drawn."""
    half_x, half_y = recording.game.arena.half_extents
    corners = [(-half_x, -half_y), (half_x, -half_y), (half_x, half_y), (-half_x, half_y)]
    lines = [_lines(1, corners)]
    edges = recording.edges[index]
    if (known := edges[np.isfinite(edges).all(axis=-1)]).size:
        lines.append(_lines(2, known.reshape(-1, 2).tolist()))
    discs = [_cylinder(x, y, radius, _colour(0.73, 0.75, 0.77)) for x, y, radius in recording.discs[index].tolist()]
    stamp, game = _time(start), recording.game
    blue, orange = _colour(0.12, 0.37, 0.66), _colour(0.82, 0.45, 0.10)
    parts = [
        ("arena", "world", [one for one in discs if one], lines),
        ("pursuer", "pursuer", [_cylinder(0.0, 0.0, game.robot.radius, blue)], []),
        ("evader", "evader", [_cylinder(0.0, 0.0, game.evader.radius, orange)], []),
    ]
    entities = [
        {"timestamp": stamp, "frame_id": frame, "id": name, "lifetime": _time(0), "frame_locked": frame != "world"}
        | {"cylinders": cylinders, "lines": lines}
        for name, frame, cylinders, lines in parts
    ]
    return {"deletions": [{"timestamp": stamp, "type": 1, "id": ""}], "entities": entities}


def _lines(kind: int, corners: Sequence[Sequence[float]]) -> dict[str, Any]:
    """A closed line through these corners (kind 1), or one from each first to the next (kind 2)."""
    points = [{"x": x, "y": y, "z": 0.0} for x, y in corners]
    return {
        "type": kind,
        "pose": _still(),
        "thickness": 0.05,
        "points": points,
        "color": _colour(0.35, 0.38, 0.42),
    }


def _cylinder(x: float, y: float, radius: float, colour: dict[str, float]) -> dict[str, Any] | None:
    if not all(map(math.isfinite, (x, y, radius))):
        return None
    pose = _still() | {"position": {"x": x, "y": y, "z": 0.1}}
    size = {"x": 2 * radius, "y": 2 * radius, "z": 0.2}
    return {"pose": pose, "size": size, "bottom_scale": 1.0, "top_scale": 1.0, "color": colour}


def _placed(pose: np.ndarray) -> tuple[dict[str, Any], dict[str, Any]]:
    """Position and quaternion of a pose."""
    x, y, heading = map(float, pose)
    heading = heading if math.isfinite(heading) else math.nan  # whose sine is NaN
    turn = {"x": 0.0, "y": 0.0, "z": _number(math.sin(heading / 2)), "w": _number(math.cos(heading / 2))}
    return {"x": _number(x), "y": _number(y), "z": 0.0}, turn


def _still() -> dict[str, Any]:
    return {"position": {"x": 0.0, "y": 0.0, "z": 0.0}, "orientation": {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0}}


def _colour(r: float, g: float, b: float) -> dict[str, float]:
    return {"r": r, "g": g, "b": b, "a": 1.0}


def _time(nanoseconds: int) -> dict[str, int]:
    return {"sec": nanoseconds // 1_000_000_000, "nsec": nanoseconds % 1_000_000_000}


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
