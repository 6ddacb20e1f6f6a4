"""Where one operator does the work of several: each node of a graph costs half a microsecond, however little it does.

What is recognised is what the package is written in: lengths and directions of vectors, whose derivatives are kept
finite at zero by choices that make no difference to their values, and tests for numbers that are not finite.
"""

from collections.abc import Callable, Sequence

import numpy as np

from safepursuit.adapters.onnx.graph import Graph


def shortcut(graph: Graph, op: str, names: Sequence[str], **attributes: int) -> str | None:
    """A value equal to that of this node, at less cost; None where there is no shortcut."""
    rule = _RULES.get(op)
    return rule(graph, *names, **attributes) if rule else None


def _clip(graph: Graph, one: str, other: str) -> str | None:
    """min(max(x, low), high) with two numbers."""
    for high, inner in ((one, other), (other, one)):
        for low, x in _both_ways(graph.made_by(inner, "Max")):
            if graph.number(low) is not None and graph.number(high) is not None:
                return graph.add("Clip", x, *(graph.first_of(bound) for bound in (low, high)))[0]
    return None


def _length(graph: Graph, positive: str, root: str, zero: str) -> str | None:
    """√(x² + y²), guarded: “√(s or else 1) where s > 0, else 0”."""
    (guarded,) = graph.made_by(root, "Sqrt") or ("",)
    condition, square, one = graph.made_by(guarded, "Where") or ("",) * 3
    if condition != positive or not _is_positive(graph, positive, square) or _numbers(graph, one, zero) != [1, 0]:
        return None
    pair = _components(graph, square)
    if pair is None:
        return graph.add("Sqrt", square)[0]
    vector, axis = pair
    return graph.add(
        "ReduceL2", vector, graph.indices(axis), keepdims=int(len(graph.held[square]) == len(graph.held[vector]))
    )[0]


def _components(graph: Graph, square: str) -> tuple[str, int] | None:
    """The array and its axis along which x and y lie, for x² + y²."""
    terms = [graph.made_by(term, "Mul") for term in graph.made_by(square, "Add")]
    if len(terms) != 2 or any(len(set(factors)) != 1 for factors in terms):
        return None
    x, y = (factors[0] for factors in terms)
    if split := graph.pieces(x, y):
        return split
    held = graph.held.get(x)
    if held is None or held != graph.held.get(y):
        return None
    if held[:1] != (1,):
        x, y = (graph.add("Unsqueeze", one, graph.indices(0))[0] for one in (x, y))
        held = (1, *held)
    (vector,) = graph.add("Concat", x, y, axis=0)
    graph.held[vector] = (2, *held[1:])
    return vector, 0


def _direction(graph: Graph, vector: str, divisor: str) -> str | None:
    """v/‖v‖, guarded: “v/(‖v‖ where it is > 0, else 1)”."""
    condition, length, one = graph.made_by(divisor, "Where") or ("",) * 3
    of, axes = graph.made_by(length, "ReduceL2") or ("", "")
    if of != vector or not _is_positive(graph, condition, length) or _numbers(graph, one) != [1]:
        return None
    return graph.add("LpNormalization", vector, axis=graph.number(axes), p=2)[0]


def _all_finite(graph: Graph, flags: str, axes: str, *, keepdims: int) -> str | None:
    """Numbers are all finite where the sum of their sizes is."""
    size, bound = graph.made_by(flags, "Less") or ("", "")
    (numbers,) = graph.made_by(size, "Abs") or ("",)
    if not numbers or _numbers(graph, bound) != [np.inf]:
        return None
    (total,) = graph.add("ReduceL1", numbers, axes, keepdims=keepdims)
    return graph.add("Less", total, graph.first_of(bound))[0]


def _sum_of_sizes(graph: Graph, sizes: str, axes: str, *, keepdims: int) -> str | None:
    (numbers,) = graph.made_by(sizes, "Abs") or ("",)
    return graph.add("ReduceL1", numbers, axes, keepdims=keepdims)[0] if numbers else None


def _is_positive(graph: Graph, flag: str, value: str) -> bool:
    compared = graph.made_by(flag, "Greater")
    return bool(compared) and compared[0] == value and graph.number(compared[1]) == 0


def _numbers(graph: Graph, *names: str) -> list[float | None]:
    return [graph.number(name) for name in names]


def _both_ways(pair: Sequence[str]) -> list[tuple[str, str]]:
    return [(pair[0], pair[1]), (pair[1], pair[0])] if pair else []


_RULES: dict[str, Callable[..., str | None]] = {
    "Div": _direction,
    "Min": _clip,
    "ReduceMin": _all_finite,
    "ReduceSum": _sum_of_sizes,
    "Where": _length,
}
