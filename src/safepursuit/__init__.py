"""Safe reinforcement learning for pursuit-evasion between ground robots.

Train, judge and load policies; the safety layer by itself; the game and its environments. Names are imported at first
use, so that the safety layer alone loads quickly.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from safepursuit import game, plugins, shield
    from safepursuit.adapters.gymnasium import PursuitEvasionEnv, PursuitEvasionVectorEnv
    from safepursuit.adapters.pettingzoo import PursuitEvasionParallelEnv
    from safepursuit.agents import Agent
    from safepursuit.api import evaluate, load, metrics, train
    from safepursuit.experiment import PPOConfig, TrainConfig
    from safepursuit.game import Game, GameState
    from safepursuit.learn import BarrierNetTrainer
    from safepursuit.qp import Halfplanes, project
    from safepursuit.robot import Robot, Unicycle
    from safepursuit.scene import Scene
    from safepursuit.shield import Shield

__version__ = "0.1.0"

__all__ = [
    "Agent",
    "BarrierNetTrainer",
    "Game",
    "GameState",
    "Halfplanes",
    "PPOConfig",
    "PursuitEvasionEnv",
    "PursuitEvasionParallelEnv",
    "PursuitEvasionVectorEnv",
    "Robot",
    "Scene",
    "Shield",
    "TrainConfig",
    "Unicycle",
    "evaluate",
    "game",
    "load",
    "metrics",
    "plugins",
    "project",
    "shield",
    "train",
]

_HOMES = {
    "adapters.gymnasium": ("PursuitEvasionEnv", "PursuitEvasionVectorEnv"),
    "adapters.pettingzoo": ("PursuitEvasionParallelEnv",),
    "agents": ("Agent",),
    "api": ("evaluate", "load", "metrics", "train"),
    "experiment": ("PPOConfig", "TrainConfig"),
    "game": ("Game", "GameState"),
    "learn": ("BarrierNetTrainer",),
    "qp": ("Halfplanes", "project"),
    "robot": ("Robot", "Unicycle"),
    "scene": ("Scene",),
    "shield": ("Shield",),
}


def __getattr__(name: str) -> Any:
    if name in ("game", "plugins", "shield"):
        return import_module(f"safepursuit.{name}")
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"safepursuit.{home}"), name)
    raise AttributeError(f"module 'safepursuit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
