"""Some problems of a batch, brought together: work on these few as densely as on all."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

_SHARE = 32
"""A group is this fraction of the batch,"""

_LANES = 16
"""rounded up to a multiple of what a vector unit holds, so that all are computed alike and none rounds otherwise."""


class Members(NamedTuple):
    """Those of a batch that are marked."""

    marked: Bool[Array, "batch"]
    order: Int[Array, "places"]
    """Their indices, then indices beyond the batch, up to a whole group."""
    number: Int[Array, ""]


def members(marked: Bool[Array, "batch"]) -> Members:
    """Sorted out by counting, one pass."""
    size = len(marked)
    place = jnp.cumsum(marked, dtype=jnp.int32)
    order = jnp.full(size + _group(size), size, jnp.int32)
    order = order.at[jnp.where(marked, place - 1, len(order))].set(jnp.arange(size, dtype=jnp.int32), mode="drop")
    return Members(marked, order, place[-1])


def in_groups(work: Callable[[Array, Any], Any], those: Members, start: Any) -> Any:
    """`work(group, result)` for one group of indices after the other, from `start`; not at all where none is marked.

    Indices beyond the batch fill the last group: see `gather` and `scatter`.
    """
    group = _group(len(those.marked))

    def step(state):
        done, result = state
        return done + group, work(jax.lax.dynamic_slice(those.order, (done,), (group,)), result)

    return jax.lax.while_loop(lambda state: state[0] < those.number, step, (jnp.zeros((), jnp.int32), start))[1]


def gather(group: Int[Array, "group"], tree: Any) -> Any:
    """The group's entries of the trailing axis of every array; the last one for indices beyond the batch."""
    return jax.tree.map(lambda array: jnp.take(array, group, axis=-1, mode="clip"), tree)


def scatter(group: Int[Array, "group"], into: Any, entries: Any) -> Any:
    """Every array with the group's entries of the trailing axis replaced; indices beyond the batch are left out."""
    return jax.tree.map(lambda array, part: array.at[..., group].set(part, mode="drop"), into, entries)


def _group(size: int) -> int:
    return -(-size // (_SHARE * _LANES)) * _LANES
