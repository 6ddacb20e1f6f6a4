"""Class-K gains γ: how fast a barrier may be approached."""

from abc import abstractmethod
from typing import TypeAlias

import equinox as eqx
import jax.numpy as jnp

from safepursuit.barriers.barrier import Barriers
from safepursuit.shapes import Rows


class GainRule(eqx.Module):
    """Class-K gains from what lies around; its arrays end in the axes of the batch.

    The safety layer follows it only where a boundary is met, which makes its derivative cheap.
    """

    @abstractmethod
    def __call__(self, barriers: Barriers) -> Rows:
        """γ in [0, 1], per step, of every barrier."""


Gains: TypeAlias = Rows | float | GainRule
"""One per barrier, one for all, or a rule that makes them."""


def as_rule(gains: Gains, barriers: Barriers) -> GainRule:
    """The rule that gives these gains, whatever form they have."""
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
