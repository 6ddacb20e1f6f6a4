"""Safe reinforcement learning for pursuit-evasion between ground robots."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from safepursuit.adapters.gymnasium import PursuitEvasionEnv as PursuitEvasionEnv
    from safepursuit.experiment import PPOConfig, TrainConfig
    from safepursuit.learn import BarrierNetTrainer

__version__ = "0.1.0"

__all__ = ["BarrierNetTrainer", "PPOConfig", "TrainConfig", "__version__"]


def __getattr__(name: str) -> Any:
    """Load learner and environment only when they are asked for, so that the safety core can be used by itself at no
    cost."""
    if name == "PursuitEvasionEnv":
        from safepursuit.adapters.gymnasium import PursuitEvasionEnv

        return PursuitEvasionEnv
    if name in __all__:
        from importlib import import_module

        return getattr(import_module(f"safepursuit.{'learn' if name == 'BarrierNetTrainer' else 'experiment'}"), name)
    raise AttributeError(f"module 'safepursuit' has no attribute {name!r}")
