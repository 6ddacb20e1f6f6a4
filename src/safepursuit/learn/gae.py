"""Generalised advantage estimation (Schulman et al. 2016)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class Advantages(NamedTuple):
    advantage: Float[Array, "time *batch"]
    target: Float[Array, "time *batch"]
    """Regression target of the value: advantage + value."""


def gae(
    reward: Float[Array, "time *batch"],
    value: Float[Array, "time *batch"],
    next_value: Float[Array, "time *batch"],
    terminated: Bool[Array, "time *batch"],
    truncated: Bool[Array, "time *batch"],
    *,
    discount: float,
    trace: float,
) -> Advantages:
    """Â_t = Σ_k (γλ)^k δ_{t+k} up to the end of t's episode, with δ = r + γ(1 − terminated) V(s′) − V(s).

    Games lie on trailing axes. `next_value` is the value of the state that *followed*: at an episode's end that of its
    true last observation. A termination ends the return, a truncation bootstraps from `next_value`; both cut the sum.
    """
    alive = 1 - terminated.astype(value.dtype)
    delta = reward + discount * alive * next_value - value
    decay = discount * trace * jnp.where(terminated | truncated, 0, 1).astype(value.dtype)

    def earlier(following, now):
        surprise, keep = now
        advantage = surprise + keep * following
        return advantage, advantage

    _, advantage = jax.lax.scan(earlier, jnp.zeros_like(value[0]), (delta, decay), reverse=True)
    return Advantages(advantage, advantage + value)
