"""Policies: networks and the heads of the safety architectures."""

from safepursuit.policy.config import PolicyConfig
from safepursuit.policy.head import Head, Situation, situation
from safepursuit.policy.network import NETWORKS
from safepursuit.policy.policy import HEADS, NotFiniteError, Policy, build_policy, check_finite, digest, not_finite

__all__ = [
    "HEADS",
    "NETWORKS",
    "Head",
    "NotFiniteError",
    "Policy",
    "PolicyConfig",
    "Situation",
    "build_policy",
    "check_finite",
    "digest",
    "not_finite",
    "situation",
]
