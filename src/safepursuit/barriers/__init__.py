"""Barriers: rows of the safety program, a file per kind, the bound of its governor, and class-K gains.

A kind of barrier is evaluated at a pose and gives rows of the program; `shield` joins the rows of all kinds.
"""

from safepursuit.barriers.barrier import Barrier, Barriers
from safepursuit.barriers.control_point import ControlPoint
from safepursuit.barriers.gains import GainRule, Gains, as_rule
from safepursuit.barriers.separation import Separation

__all__ = ["Barrier", "Barriers", "ControlPoint", "GainRule", "Gains", "Separation", "as_rule"]
