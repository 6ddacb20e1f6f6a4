"""Robots: limits, motion during one step, and coordinates in which the safety program is linear."""

from safepursuit.robot.budget import Budget
from safepursuit.robot.inertial import Inertial
from safepursuit.robot.models import ROBOTS, within_theory
from safepursuit.robot.unicycle import Integrator, Robot, Unicycle

__all__ = ["ROBOTS", "Budget", "Inertial", "Integrator", "Robot", "Unicycle", "within_theory"]
