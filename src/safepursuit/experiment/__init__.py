"""Experiments: the configuration, the policy of a run folder, and the opponent."""

from safepursuit.experiment.config import PPOConfig, TrainConfig, errors_of
from safepursuit.experiment.opponents import opponent
from safepursuit.experiment.run import TrainedRun, load_config, load_run, store_policy
from safepursuit.experiment.starting import check_opponents, create_run
from safepursuit.experiment.zoo import in_zoo, open_run

__all__ = [
    "PPOConfig",
    "TrainConfig",
    "TrainedRun",
    "check_opponents",
    "create_run",
    "errors_of",
    "in_zoo",
    "load_config",
    "load_run",
    "open_run",
    "opponent",
    "store_policy",
]
