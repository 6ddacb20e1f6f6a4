"""Class-K gains γ: how fast a barrier may be approached."""

from abc import abstractmethod
from typing import TypeAlias

import equinox as eqx
import jax.numpy as jnp

from safepursuit.barriers.barrier import Barriers
from safepursuit.shapes import Rows


class GainRule(eqx.Module):
    """Class-K gains as a function of the barriers; its arrays have the batch axes last.

    In a large batch the safety layer evaluates its derivative only for the problems in which a row is violated.
    """

    @abstractmethod
    def __call__(self, barriers: Barriers) -> Rows:
        """γ in [0, 1], per step, of every barrier."""


Gains: TypeAlias = Rows | float | GainRule
"""One per barrier, one for all, or a rule."""


def as_rule(gains: Gains, barriers: Barriers) -> GainRule:
    """These gains as a rule."""
    if isinstance(gains, GainRule):
        return gains
    if isinstance(gains, (int, float)):
        return _OneGain(float(gains))
    return _GivenGains(jnp.broadcast_to(gains, barriers.value.shape))


class _OneGain(GainRule):
    value: float = eqx.field(static=True)

    def __call__(self, barriers: Barriers) -> Rows:
        return jnp.full_like(barriers.value, self.value)


class _GivenGains(GainRule):
    values: Rows

    def __call__(self, barriers: Barriers) -> Rows:
        return self.values
