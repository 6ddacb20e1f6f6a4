"""An experiment: its configuration, the policy that a run folder holds, and who plays the other robot."""

from safepursuit.experiment.config import PPOConfig, TrainConfig
from safepursuit.experiment.opponents import opponent
from safepursuit.experiment.run import TrainedRun, create_run, load_config, load_run

__all__ = ["PPOConfig", "TrainConfig", "TrainedRun", "create_run", "load_config", "load_run", "opponent"]
