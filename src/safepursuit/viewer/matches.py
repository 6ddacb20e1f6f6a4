"""The data of the page in which a visitor runs from a trained pursuer."""

from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
from typing import NamedTuple

import jax
import numpy as np

from safepursuit.game import Game, initial
from safepursuit.viewer.packing import pack

_STARTS = 24


class Model(NamedTuple):
    """An exported pursuer."""

    name: str
    content: bytes
    """The ONNX file."""
    discs: int
    """Rows for discs that it takes."""
    delay: int
    """Commands on their way."""
    promises: bool
    """Whether its safety layer keeps clear."""


def match(game: Game, models: Sequence[Model], seed: int = 0) -> bytes:
    """The data: the rules of a game, pursuers for it, random starts, and the runtime of ONNX files.

    Raises ValueError where a model takes fewer discs than the game's layouts have, no layout is found, or one has other
    walls than the arena's four, or the robots have a wheel base or reverse.
    """
    if game.robot.wheel_base is not None:
        raise ValueError("the page knows no limits of wheels: it cannot show a robot with a wheel_base.")
    if game.robot.reverses:
        raise ValueError("the page knows no way to drive backwards: it cannot show a robot with a min_speed below 0.")
    for model in models:
        if model.discs < game.arena.obstacles:
            raise ValueError(f"{model.name} takes {model.discs} discs, fewer than the {game.arena.obstacles} here.")
    states = initial(jax.random.key(seed), game, _STARTS)
    if states.scene.edges is not None:
        raise ValueError(f"the page knows discs and the arena's four walls only, not the room {game.arena.scene}.")
    if game.evader_model is not None:
        raise ValueError("the page knows two robots of one model only, not another one for the evader.")
    poses = np.stack([np.asarray(robot.pose, np.float64).T for robot in states.robots], axis=1)
    scene = states.scene
    discs = np.stack([*np.asarray(scene.centre, np.float64), np.asarray(scene.radius, np.float64)], axis=-1)
    discs = np.moveaxis(np.where(np.asarray(scene.present)[..., None], discs, np.nan), 1, 0)
    runtime = files("safepursuit.viewer").joinpath("pages", "onnxruntime.wasm.gz").read_bytes()
    arrays = {"poses": poses, "discs": discs, "runtime": np.frombuffer(runtime, np.uint8)}
    arrays |= {f"model{number}": np.frombuffer(one.content, np.uint8) for number, one in enumerate(models)}
    about = {
        "models": [{name: value for name, value in one._asdict().items() if name != "content"} for one in models],
        "robot": asdict(game.robot),
        "half_extents": list(game.arena.half_extents),
        "capture_radius": game.capture_radius,
        "horizon": game.horizon,
        "radius_range": list(game.arena.radius_range),
    }
    return pack("play", about, arrays)
