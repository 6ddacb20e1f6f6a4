"""An experiment: its configuration, and the policy that a run folder holds."""

from safepursuit.experiment.config import PPOConfig, TrainConfig
from safepursuit.experiment.run import TrainedRun, load_config, load_run

__all__ = ["PPOConfig", "TrainConfig", "TrainedRun", "load_config", "load_run"]
