"""Policies: networks and the heads of the safety architectures."""

from safepursuit.policy.config import PolicyConfig
from safepursuit.policy.head import Head, Situation, situation
from safepursuit.policy.network import NETWORKS
from safepursuit.policy.policy import HEADS, Policy, build_policy

__all__ = ["HEADS", "NETWORKS", "Head", "Policy", "PolicyConfig", "Situation", "build_policy", "situation"]
