"""The arrays of one sample while its JAX program is lowered to a graph for a batch.

A constant stays a NumPy array, is computed with at once and enters the graph only where it meets a sample. A `Tensor`
is a value of the graph, with the batch as its *last* axis: ONNX aligns shapes at their ends, so that one number per
sample, (N,), meets one array per sample, (rows, N), without a reshape. An axis along which all entries are alike is
held with length 1, because ONNX broadcasts. A `Joined` array is concatenated only where it is used as a whole: most are
taken apart again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from safepursuit.adapters.onnx.graph import Graph

Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Tensor:
    """A value of the graph."""

    name: str
    held: Shape
    """Its axes but the last, the batch: those of `shape`, or 1; leading axes of length 1 may be missing or added."""
    shape: Shape
    """Of one sample's array in the JAX program."""
    dtype: np.dtype

    def axis(self, axis: int) -> int:
        """Where the value holds this axis of `shape`; negative if it does not, because it has length 1 there."""
        return axis + len(self.held) - len(self.shape)

    def length(self, axis: int) -> int:
        """What the value holds of this axis of `shape`."""
        return self.held[self.axis(axis)] if self.axis(axis) >= 0 else 1


@dataclass(frozen=True)
class Joined:
    """Arrays one after the other, not concatenated yet."""

    parts: "tuple[Array, ...]"
    axis: int

    @property
    def shape(self) -> Shape:
        first = self.parts[0].shape
        length = sum(part.shape[self.axis] for part in self.parts)
        return (*first[: self.axis], length, *first[self.axis + 1 :])

    @property
    def dtype(self) -> np.dtype:
        return self.parts[0].dtype


Array: TypeAlias = np.ndarray | Tensor | Joined


def joined(parts: Sequence[Array], axis: int) -> Array:
    """The parts one after the other along an axis."""
    flat: list[Array] = []
    for part in parts:
        flat += part.parts if isinstance(part, Joined) and part.axis == axis else [part]
    if len(flat) == 1:
        return flat[0]
    constants = [part for part in flat if isinstance(part, np.ndarray)]
    return np.concatenate(constants, axis) if len(constants) == len(flat) else Joined(tuple(flat), axis)


def shortest(constant: np.ndarray) -> np.ndarray:
    """The constant with each axis once along which all its entries are alike."""
    for axis in range(constant.ndim):
        first = constant.take([0], axis)
        if np.array_equal(np.broadcast_to(first, constant.shape), constant, equal_nan=constant.dtype.kind == "f"):
            constant = first
    return constant


def whole(graph: Graph, array: Array) -> Tensor:
    """As one value of the graph, a constant repeated for each sample."""
    if isinstance(array, Tensor):
        return array
    if isinstance(array, np.ndarray):
        return _repeated(graph, array)
    rank, axis = len(array.shape), array.axis
    tensors = [part if isinstance(part, np.ndarray) else whole(graph, part) for part in array.parts]
    lengths = [max(_length(one, other) for one in tensors) for other in range(rank)]
    pieces = [expanded(graph, one, (*lengths[:axis], one.shape[axis], *lengths[axis + 1 :])).name for one in tensors]
    name, along = graph.pieces(*pieces) or ("", -1)
    if along != axis:
        (name,) = graph.add("Concat", *pieces, axis=axis)
    return Tensor(name, (*lengths[:axis], array.shape[axis], *lengths[axis + 1 :]), array.shape, array.dtype)


def expanded(graph: Graph, array: Array, held: Shape | None = None) -> Tensor:
    """As one value of the graph that holds exactly these axes (those of its shape, if none are named)."""
    held = array.shape if held is None else held
    if isinstance(array, np.ndarray):
        return _repeated(graph, np.broadcast_to(shortest(array), held))
    tensor = at_rank(graph, whole(graph, array), len(held))
    if tensor.held == held:
        return tensor
    (name,) = graph.add("Expand", tensor.name, graph.indices(*held, 1))
    return replace(tensor, name=name, held=held)


def at_rank(graph: Graph, tensor: Tensor, rank: int) -> Tensor:
    """With leading axes of length 1 added or removed until it holds so many."""
    missing = rank - len(tensor.held)
    if not missing:
        return tensor
    op = "Unsqueeze" if missing > 0 else "Squeeze"
    (name,) = graph.add(op, tensor.name, graph.indices(*range(abs(missing))))
    return replace(tensor, name=name, held=(1,) * missing + tensor.held[max(-missing, 0) :])


def _length(array: np.ndarray | Tensor, axis: int) -> int:
    return array.length(axis) if isinstance(array, Tensor) else shortest(array).shape[axis]


def _repeated(graph: Graph, constant: np.ndarray) -> Tensor:
    size, shape = graph.batch_size, constant.shape
    (full,) = graph.add("Concat", graph.indices(*shape), size, axis=0) if shape else (size,)
    (name,) = graph.add("Expand", graph.constant(constant[..., None]), full)
    return Tensor(name, shape, shape, constant.dtype)
