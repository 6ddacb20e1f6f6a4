"""Dense work on the marked problems of a batch alone, one group of them after the other."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

_SHARE = 32
"""A group is this fraction of the batch, rounded up to a multiple of `_LANES`."""

_LANES = 16
"""A multiple of the width of a vector unit: no remainder is computed by other instructions, with other rounding."""


class Members(NamedTuple):
    """The marked problems of a batch."""

    marked: Bool[Array, "batch"]
    order: Int[Array, "places"]
    """Their indices, then indices beyond the batch, up to a whole group."""
    number: Int[Array, ""]


def members(marked: Bool[Array, "batch"]) -> Members:
    """The marked problems in their order, found by counting in one pass."""
    size = len(marked)
    place = jnp.cumsum(marked, dtype=jnp.int32)
    order = jnp.full(size + _group(size), size, jnp.int32)
    order = order.at[jnp.where(marked, place - 1, len(order))].set(jnp.arange(size, dtype=jnp.int32), mode="drop")
    return Members(marked, order, place[-1])


def in_groups(work: Callable[[Array, Any], Any], chosen: Members, start: Any) -> Any:
    """`work(group, result)` for one group of indices after the other, from `start`; never where none is marked.

    Indices beyond the batch fill the last group: see `gather` and `scatter`.
    """
    group = _group(len(chosen.marked))

    def step(state):
        done, result = state
        return done + group, work(jax.lax.dynamic_slice(chosen.order, (done,), (group,)), result)

    return jax.lax.while_loop(lambda state: state[0] < chosen.number, step, (jnp.zeros((), jnp.int32), start))[1]


def gather(group: Int[Array, "group"], tree: Any) -> Any:
    """The group's entries along the trailing axis of every array; the last entry for indices beyond the batch."""
    return jax.tree.map(lambda array: jnp.take(array, group, axis=-1, mode="clip"), tree)


def scatter(group: Int[Array, "group"], into: Any, entries: Any) -> Any:
    """Every array with the group's entries along the trailing axis replaced; indices beyond the batch are dropped."""
    return jax.tree.map(lambda array, part: array.at[..., group].set(part, mode="drop"), into, entries)


def _group(size: int) -> int:
    return -(-size // (_SHARE * _LANES)) * _LANES
