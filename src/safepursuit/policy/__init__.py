"""Policies: networks and the heads of the safety architectures."""

from safepursuit.policy.config import PolicyConfig
from safepursuit.policy.head import Head, Situation
from safepursuit.policy.pilot import Pilot
from safepursuit.policy.policy import HEADS, Policy, build_policy, situation

__all__ = ["HEADS", "Head", "Pilot", "Policy", "PolicyConfig", "Situation", "build_policy", "situation"]
