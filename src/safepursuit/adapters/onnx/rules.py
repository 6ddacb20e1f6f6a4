"""JAX's operations that compute, in ONNX operators that onnxruntime has in both precisions."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from onnx import helper

from safepursuit.adapters.onnx.arrays import Array, Shape, Tensor, at_rank, expanded, joined, shortest, whole
from safepursuit.adapters.onnx.graph import Graph
from safepursuit.adapters.onnx.layout import cut

ELEMENTWISE = {
    **{
        one: one.capitalize()
        for one in ("abs", "add", "asin", "ceil", "div", "floor", "max", "min", "mul", "neg", "sqrt")
    },
    **{one: one.capitalize() for one in ("and", "cos", "exp", "log", "not", "or", "pow", "sign", "sin", "sub", "tanh")},
    "eq": "Equal",
    "ge": "GreaterOrEqual",
    "gt": "Greater",
    "le": "LessOrEqual",
    "logistic": "Sigmoid",
    "lt": "Less",
}
"""Operations that are one operator, entry by entry."""

_NEUTRAL = {"Add": 0, "And": True, "Div": 1, "Mul": 1, "Or": False, "Sub": 0}
_COMMUTES = {"Add", "And", "Mul", "Or"}


def elementwise(graph: Graph, op: str, operands: Sequence[Array], shape: Shape, dtype: Any) -> Array:
    """One node that works entry by entry; axes along which all operands are alike stay short."""
    for one, other in (operands, operands[::-1]) if op in _COMMUTES else (operands,) if op in _NEUTRAL else ():
        if isinstance(other, np.ndarray) and np.all(other == _NEUTRAL[op]) and one.shape == tuple(shape):
            return one
    short = [shortest(one) if isinstance(one, np.ndarray) else whole(graph, one) for one in operands]
    held = np.broadcast_shapes(*(one.shape if isinstance(one, np.ndarray) else one.held for one in short))
    # onnxruntime is faster for equal shapes than for a scalar: a constant is as long as what it meets.
    names = [
        graph.constant(np.broadcast_to(one, held)[..., None]) if isinstance(one, np.ndarray) else one.name
        for one in short
    ]
    shortcut = _SHORTCUTS.get(op)
    name = (shortcut and shortcut(graph, *names)) or graph.add(op, *names)[0]
    graph.held[name] = held
    return Tensor(name, held, tuple(shape), np.dtype(dtype))


def _cast(graph: Graph, out: Any, array: Array, *, new_dtype: Any, **_: Any) -> Array:
    if array.dtype == new_dtype:
        return array
    tensor = whole(graph, array)
    (name,) = graph.add("Cast", tensor.name, to=helper.np_dtype_to_tensor_dtype(np.dtype(new_dtype)))
    return replace(tensor, name=name, dtype=np.dtype(new_dtype))


def _select(graph: Graph, out: Any, which: Array, no: Array, yes: Array) -> Array:
    if isinstance(which, np.ndarray) and (which.all() or not which.any()):
        return yes if which.all() else no
    return elementwise(graph, "Where", (which, yes, no), out.shape, out.dtype)


def _reduction(op: str) -> Callable[..., Array]:
    def rule(graph: Graph, out: Any, array: Array, *, axes: Sequence[int], **_: Any) -> Array:
        # Alike entries count once in a maximum, but each in a sum.
        tensor = expanded(graph, array) if op == "ReduceSum" else whole(graph, array)
        tensor = at_rank(graph, tensor, max(len(tensor.held), len(tensor.shape)))
        added = range(len(tensor.held) - len(tensor.shape))  # leading axes of length 1 go with the others
        removed = [*added, *(tensor.axis(axis) for axis in axes)]
        sizes_of = graph.made_by(tensor.name, "Abs") if op == "ReduceSum" else ()
        kind, of = ("ReduceL1", *sizes_of) if sizes_of else (op, tensor.name)
        (name,) = graph.add(kind, of, graph.indices(*removed), keepdims=0)
        return Tensor(name, tuple(np.delete(tensor.held, removed).tolist()), out.shape, tensor.dtype)

    return rule


def _dot(graph: Graph, out: Any, left: Array, right: Array, *, dimension_numbers: Any, **_: Any) -> Array:
    """Constant weights (outputs, inputs) times a sample (inputs, …)."""
    ((of_left,), (of_right,)), batch = dimension_numbers
    if not isinstance(left, np.ndarray) or left.ndim != 2 or of_right != 0 or batch != ((), ()):
        raise NotImplementedError("there is no rule for products other than constant weights times a sample.")
    weights, sample = graph.constant(left if of_left == 1 else left.T), expanded(graph, right).name
    if len(out.shape) == 1:
        (name,) = graph.add("MatMul", weights, sample)
    else:
        (columns,) = graph.add("Reshape", sample, graph.indices(right.shape[0], -1))
        (product,) = graph.add("MatMul", weights, columns)
        (name,) = graph.add("Reshape", product, graph.indices(*out.shape, -1))
    return Tensor(name, out.shape, out.shape, np.dtype(out.dtype))


def _argmin(graph: Graph, out: Any, array: Array, *, axes: Sequence[int], index_dtype: Any) -> Array:
    tensor = expanded(graph, array)
    if len(tensor.shape) != 1:
        raise NotImplementedError("there is no rule for the least entry of more than a vector.")
    (name,) = graph.add("ArgMin", tensor.name, axis=0, keepdims=1)
    return _cast(graph, out, Tensor(name, (1,), (), np.dtype(np.int64)), new_dtype=index_dtype)


def _integer_pow(graph: Graph, out: Any, array: Array, *, y: int = 2) -> Array:
    if y == 2:
        return elementwise(graph, "Mul", (array, array), out.shape, out.dtype)
    return elementwise(graph, "Pow", (array, np.asarray(y, array.dtype)), out.shape, out.dtype)


def _scatter(op: str | None) -> Callable[..., Array]:
    """An array with one of its slices, at a constant place, replaced by others, or joined with them by `op`."""

    def rule(graph: Graph, out: Any, array: Array, place: Array, update: Array, **params: Any) -> Array:
        numbers = params["dimension_numbers"]
        along, windows = numbers.scatter_dims_to_operand_dims, numbers.update_window_dims
        if not isinstance(place, np.ndarray) or place.shape != (1,) or windows != tuple(range(len(out.shape))):
            raise NotImplementedError("there is no rule for writing anything but one slice at a constant place.")
        (axis,), start = along, int(place[0])
        stop = start + update.shape[axis]
        if op is not None:
            update = elementwise(graph, op, (cut(graph, array, axis, start, stop), update), update.shape, out.dtype)
        rest = [cut(graph, array, axis, *ends) for ends in ((0, start), (stop, out.shape[axis])) if ends[0] < ends[1]]
        return joined([*rest[: start > 0], update, *rest[start > 0 :]], axis)

    return rule


RULES: dict[str, Callable[..., Array]] = {
    "argmin": _argmin,
    "convert_element_type": _cast,
    "dot_general": _dot,
    "integer_pow": _integer_pow,
    "reduce_and": _reduction("ReduceMin"),
    "reduce_max": _reduction("ReduceMax"),
    "reduce_min": _reduction("ReduceMin"),
    "reduce_or": _reduction("ReduceMax"),
    "reduce_sum": _reduction("ReduceSum"),
    "scatter": _scatter(None),
    "scatter-add": _scatter("Add"),
    "select_n": _select,
    "square": _integer_pow,
}
"""Operations that take more than one operator of the same shape."""


def _asin(x: Any) -> Any:
    """onnxruntime has the arc sine in single precision only: a Newton step on sin y = x makes it double."""
    near = jnp.arcsin(x.astype(jnp.float32)).astype(x.dtype)
    return near + (x - jnp.sin(near)) / jnp.cos(near)


def _log1p(x: Any) -> Any:
    """log u · x/(u − 1) with u = 1 + x as rounded, which cancels the rounding (Kahan)."""
    u = 1 + x
    return jnp.where(u == 1, x, jnp.log(u) * x / jnp.where(u == 1, 1, u - 1))


def _expm1(x: Any) -> Any:
    """2t/(1 − t) with t = tanh(x/2)."""
    t = jnp.tanh(x / 2)
    return 2 * t / (1 - t)


COMPOSED: dict[str, Callable] = {"asin": _asin, "expm1": _expm1, "log1p": _log1p, "ne": lambda x, y: ~(x == y)}
"""Operations that ONNX (or, in double precision, onnxruntime) does not have, in terms of others."""


# One operator for the work of several: a node costs its time however little it computes. Lengths and directions of
# vectors are guarded at zero for the sake of their derivatives, which a file has not.


def _clip(graph: Graph, high: str, inner: str) -> str | None:
    """min(high, max(low, x)) with two numbers."""
    low, x = graph.made_by(inner, "Max") or ("", "")
    bounds = [graph.number(low), graph.number(high)]
    return None if None in bounds else graph.add("Clip", x, *(graph.constant(np.asarray(one)) for one in bounds))[0]


def _length(graph: Graph, none: str, zero: str, root: str) -> str | None:
    """√(x² + y²), guarded: “0 where s = 0, else √(1 or else s)”."""
    (guarded,) = graph.made_by(root, "Sqrt") or ("",)
    condition, one, square = graph.made_by(guarded, "Where") or ("",) * 3
    if (
        condition != none
        or not _is_with_zero(graph, none, "Equal", square)
        or (graph.number(one), graph.number(zero)) != (1, 0)
    ):
        return None
    vector, axis = _components(graph, square) or ("", 0)
    if not vector:
        return graph.add("Sqrt", square)[0]
    keep = len(graph.held[square]) == len(graph.held[vector])
    return graph.add("ReduceL2", vector, graph.indices(axis), keepdims=int(keep))[0]


def _components(graph: Graph, square: str) -> tuple[str, int] | None:
    """The array and its axis along which x and y lie, for x² + y²."""
    terms = [graph.made_by(term, "Mul") for term in graph.made_by(square, "Add")]
    if len(terms) != 2 or any(len(set(factors)) != 1 for factors in terms):
        return None
    x, y = (factors[0] for factors in terms)
    held = graph.held.get(x, ())
    if (split := graph.pieces(x, y)) or held[:1] != (1,) or held != graph.held.get(y):
        return split
    (vector,) = graph.add("Concat", x, y, axis=0)
    graph.held[vector] = (2, *held[1:])
    return vector, 0


def _direction(graph: Graph, vector: str, divisor: str) -> str | None:
    """v/‖v‖, guarded: “v/(‖v‖ where it is > 0, else 1)”."""
    condition, length, one = graph.made_by(divisor, "Where") or ("",) * 3
    of, axes = graph.made_by(length, "ReduceL2") or ("", "")
    if of != vector or not _is_with_zero(graph, condition, "Greater", length) or graph.number(one) != 1:
        return None
    return graph.add("LpNormalization", vector, axis=graph.number(axes), p=2)[0]


def _is_with_zero(graph: Graph, flag: str, comparison: str, value: str) -> bool:
    compared = graph.made_by(flag, comparison)
    return bool(compared) and compared[0] == value and graph.number(compared[1]) == 0


_SHORTCUTS: dict[str, Callable[..., str | None]] = {"Div": _direction, "Min": _clip, "Where": _length}
