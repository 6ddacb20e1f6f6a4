"""JAX's operations that move numbers without computing, in ONNX."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from safepursuit.adapters.onnx.arrays import Array, Joined, Shape, Tensor, at_rank, expanded, joined, whole
from safepursuit.adapters.onnx.graph import Graph


def _unsqueeze(graph: Graph, array: Array, shape: Shape, where: Sequence[int]) -> Array:
    """In a larger shape: axis i becomes axis where[i], the others are new and all alike."""
    if isinstance(array, np.ndarray):
        lengths = [1] * len(shape)
        for old, new in enumerate(where):
            lengths[new] = array.shape[old]
        return np.broadcast_to(array.reshape(lengths), shape)
    tensor = whole(graph, array)
    # Only new axes to the right of an axis that is held in full have to be inserted.
    full = [new for old, new in enumerate(where) if tensor.length(old) > 1]
    first = full[0] if full else len(shape)
    added = [axis for axis in range(first, len(shape)) if axis not in where]
    if not added:
        return replace(tensor, shape=tuple(shape))
    leading = next(index for index, length in enumerate(tensor.held) if length > 1)
    (name,) = graph.add("Unsqueeze", tensor.name, graph.indices(*(leading + axis - first for axis in added)))
    held = (tensor.length(where.index(axis)) if axis in where else 1 for axis in range(first, len(shape)))
    return Tensor(name, (*tensor.held[:leading], *held), tuple(shape), tensor.dtype)


def _broadcast(graph: Graph, out: Any, array: Array, *, broadcast_dimensions: Sequence[int], **_: Any) -> Array:
    return _unsqueeze(graph, array, out.shape, broadcast_dimensions)


def _concatenate(graph: Graph, out: Any, *parts: Array, dimension: int) -> Array:
    return joined(parts, dimension)


def _stack(graph: Graph, out: Any, *parts: Array, axis: int) -> Array:
    one = (*out.shape[:axis], 1, *out.shape[axis + 1 :])
    where = [at for at in range(len(one)) if at != axis]
    return joined([_unsqueeze(graph, part, one, where) for part in parts], axis)


def _slice(graph: Graph, out: Any, array: Array, *, start_indices: Shape, limit_indices: Shape, strides: Any) -> Array:
    if strides is not None and set(strides) != {1}:
        raise NotImplementedError("there is no rule for slices with strides.")
    for axis, (start, stop) in enumerate(zip(start_indices, limit_indices, strict=True)):
        array = cut(graph, array, axis, start, stop)
    return array


def cut(graph: Graph, array: Array, axis: int, start: int, stop: int) -> Array:
    """The entries from `start` to `stop` along an axis."""
    if (start, stop) == (0, array.shape[axis]):
        return array
    if isinstance(array, np.ndarray):
        return array[(slice(None),) * axis + (slice(start, stop),)]
    if isinstance(array, Joined) and array.axis == axis:
        pieces, first = [], 0
        for part in array.parts:
            low, high = max(start - first, 0), min(stop - first, part.shape[axis])
            pieces += [cut(graph, part, axis, low, high)] if low < high else []
            first += part.shape[axis]
        return joined(pieces, axis)
    tensor = whole(graph, array)
    shape = (*tensor.shape[:axis], stop - start, *tensor.shape[axis + 1 :])
    if tensor.length(axis) == 1:
        return replace(tensor, shape=shape)
    at, length = tensor.axis(axis), tensor.shape[axis]
    held = (*tensor.held[:at], stop - start, *tensor.held[at + 1 :])
    if stop - start == 1:  # the other pieces are usually needed, too
        names = graph.add("Split", tensor.name, outputs=length, axis=at, num_outputs=length)
        graph.held |= dict.fromkeys(names, held)
        graph.held[tensor.name] = tensor.held
        return Tensor(names[start], held, shape, tensor.dtype)
    (name,) = graph.add("Slice", tensor.name, *(graph.indices(one) for one in (start, stop, at)))
    return Tensor(name, held, shape, tensor.dtype)


def _squeeze(graph: Graph, out: Any, array: Array, *, dimensions: Sequence[int]) -> Array:
    tensor = whole(graph, array)
    shape = tuple(length for axis, length in enumerate(tensor.shape) if axis not in dimensions)
    # To the left of all axes that are held in full, axes of length 1 do not matter.
    full = [axis for axis in range(len(tensor.shape)) if tensor.length(axis) > 1]
    removed = [tensor.axis(axis) for axis in dimensions if full and axis > full[0]]
    if not removed:
        return replace(tensor, shape=shape)
    axes, piece = graph.indices(*removed), graph.piece(tensor.name)
    added = graph.made_by(tensor.name, "Unsqueeze")
    if added and added[1] == axes:
        name = added[0]
    elif piece and [piece[1]] == removed:  # one node for cutting it out and dropping its axis
        (name,) = graph.add("Gather", piece[0], graph.constant(np.asarray(piece[2])), axis=piece[1])
    else:
        (name,) = graph.add("Squeeze", tensor.name, axes)
    return Tensor(name, tuple(np.delete(tensor.held, removed).tolist()), shape, tensor.dtype)


def _reshape(graph: Graph, out: Any, array: Array, **_: Any) -> Array:
    tensor = whole(graph, array)
    if len(tensor.shape) == 2 and len(out.shape) == 1 and tensor.length(1) == 1:  # each entry several times
        column = replace(tensor, shape=(tensor.shape[0], 1))
        rows = whole(graph, _squeeze(graph, out, column, dimensions=[1]))
        index = graph.indices(*np.repeat(np.arange(tensor.shape[0]), tensor.shape[1]).tolist())
        (name,) = graph.add("Gather", rows.name, index, axis=rows.axis(0))
        return Tensor(name, (*rows.held[:-1], *out.shape), out.shape, tensor.dtype)
    (name,) = graph.add("Reshape", expanded(graph, tensor).name, graph.indices(*out.shape, -1))
    return Tensor(name, out.shape, out.shape, tensor.dtype)


def _transpose(graph: Graph, out: Any, array: Array, *, permutation: Sequence[int]) -> Array:
    tensor = whole(graph, array)
    full = [axis for axis in permutation if tensor.length(axis) > 1]
    if full == sorted(full):  # only axes along which all entries are alike change places
        alike = [axis for axis in permutation if axis not in full]
        rows = _squeeze(graph, out, tensor, dimensions=alike)
        return _unsqueeze(graph, rows, out.shape, [permutation.index(axis) for axis in full])
    tensor = at_rank(graph, tensor, len(array.shape))
    (name,) = graph.add("Transpose", tensor.name, perm=[*permutation, len(permutation)])
    return Tensor(name, tuple(tensor.held[axis] for axis in permutation), out.shape, tensor.dtype)


def _entry(graph: Graph, out: Any, array: Array, index: Array, **_: Any) -> Array:
    """One entry of a vector."""
    if len(array.shape) != 1 or out.shape != (1,):
        raise NotImplementedError("there is no rule for anything but single entries at computed places.")
    where = at_rank(graph, whole(graph, index), 1)
    (name,) = graph.add("GatherElements", expanded(graph, array).name, where.name, axis=0)
    return Tensor(name, (1,), (1,), array.dtype)


LAYOUT: dict[str, Callable[..., Array | list[Array]]] = {
    "broadcast_in_dim": _broadcast,
    "concatenate": _concatenate,
    "dynamic_slice": _entry,
    "reshape": _reshape,
    "slice": _slice,
    "squeeze": _squeeze,
    "stack": _stack,
    "transpose": _transpose,
}
"""The rules, by JAX's name of the operation."""
