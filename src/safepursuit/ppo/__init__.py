"""Proximal policy optimisation with the safety layer in the loop."""

from safepursuit.ppo.config import PPOConfig, TrainConfig
from safepursuit.ppo.gae import gae
from safepursuit.ppo.loss import ppo_loss
from safepursuit.ppo.seeds import SeedGroup
from safepursuit.ppo.trainer import BarrierNetTrainer, load_config

__all__ = ["BarrierNetTrainer", "PPOConfig", "SeedGroup", "TrainConfig", "gae", "load_config", "ppo_loss"]
