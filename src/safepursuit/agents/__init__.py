"""Agents: whatever drives a robot, in either role, is a value with one method, `Agent.act`."""

from safepursuit.agents.agent import LAYERS, Agent, Filtered, Layer, Scripted, Trained, View, behind
from safepursuit.agents.ensemble import Company, Ensemble
from safepursuit.agents.imprecise import Faults, Imprecise, predicted
from safepursuit.agents.pilot import Pilot

__all__ = [
    "LAYERS",
    "Agent",
    "Company",
    "Ensemble",
    "Faults",
    "Filtered",
    "Imprecise",
    "Layer",
    "Pilot",
    "Scripted",
    "Trained",
    "View",
    "behind",
    "predicted",
]
