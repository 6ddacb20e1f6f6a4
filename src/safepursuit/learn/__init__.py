"""Proximal policy optimisation with the safety layer in the loop."""

from safepursuit.learn.gae import gae
from safepursuit.learn.loss import ppo_loss
from safepursuit.learn.pair import Pair
from safepursuit.learn.seeds import SeedGroup
from safepursuit.learn.trainer import BarrierNetTrainer

__all__ = ["BarrierNetTrainer", "Pair", "SeedGroup", "gae", "ppo_loss"]
