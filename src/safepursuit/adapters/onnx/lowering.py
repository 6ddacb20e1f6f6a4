"""A JAX program of one sample → ONNX nodes for a batch.

A jaxpr is a list of pure operations of some forty kinds, with their shapes. Each kind has a rule in `rules` or
`layout`. The program is traced for *one* sample, so that every length is known; the graph adds the batch, as the last
axis of every value. What does not depend on the sample is computed here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from safepursuit.adapters.onnx.arrays import Array
from safepursuit.adapters.onnx.graph import Graph
from safepursuit.adapters.onnx.layout import LAYOUT
from safepursuit.adapters.onnx.rules import COMPOSED, ELEMENTWISE, RULES, elementwise

_CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "custom_jvp_call": "call_jaxpr"}
"""Operations that only call another program, and the parameter that holds it."""

_NOTHING = {"optimization_barrier", "stop_gradient", "copy"}
"""Operations that change no number."""


def lower(
    graph: Graph, program: ClosedJaxpr, inputs: Sequence[Array], instead: Mapping[str, Callable] | None = None
) -> list[Array]:
    """Add a program's nodes to the graph and return its outputs.

    Where the program calls a function that `instead` names, the other function stands in for it; for an operation of
    one result it is called with the arrays themselves. Raises NotImplementedError for an operation without a rule.
    """
    known: dict[Any, Array] = dict(zip(program.jaxpr.constvars, map(np.asarray, program.consts), strict=True))
    known |= zip(program.jaxpr.invars, inputs, strict=True)

    def read(variable: Any) -> Array:
        return np.asarray(variable.val) if isinstance(variable, Literal) else known[variable]

    for equation in program.jaxpr.eqns:
        operands = [read(variable) for variable in equation.invars]
        known |= zip(equation.outvars, _equation(graph, equation, operands, instead or {}), strict=True)
    return [read(variable) for variable in program.jaxpr.outvars]


def _equation(graph: Graph, equation: Any, operands: list[Array], instead: Mapping[str, Callable]) -> list[Array]:
    kind, params = equation.primitive.name, equation.params
    if kind in _CALLS:
        program = params[_CALLS[kind]]
        other = instead.get(program.jaxpr.debug_info.func_name)
        return lower(graph, program if other is None else _traced(other, operands), operands, instead)
    if all(isinstance(one, np.ndarray) for one in operands):
        results = equation.primitive.bind(*operands, **params)
        return list(map(np.asarray, results if equation.primitive.multiple_results else [results]))
    if kind in instead:
        return [instead[kind](*operands)]
    if kind in _NOTHING:
        return operands
    out = equation.outvars[0].aval
    if kind in COMPOSED and out.dtype != np.float32:
        return lower(graph, _traced(COMPOSED[kind], operands), operands)
    if kind in ELEMENTWISE:
        return [elementwise(graph, ELEMENTWISE[kind], operands, out.shape, out.dtype)]
    rule = RULES.get(kind) or LAYOUT.get(kind)
    if rule is None:
        raise NotImplementedError(f"there is no rule for JAX's operation {kind!r} in ONNX.")
    result = rule(graph, out, *operands, **{name: _plain(value) for name, value in params.items()})
    return result if isinstance(result, list) else [result]


def _plain(value: Any) -> Any:
    """A parameter with Python's integers; `vmap` leaves NumPy's."""
    if type(value) is tuple:  # not one with names
        return tuple(int(one) if isinstance(one, np.integer) else one for one in value)
    return value


def _traced(function: Callable, operands: Sequence[Array]) -> ClosedJaxpr:
    like = [jax.ShapeDtypeStruct(one.shape, one.dtype) for one in operands]
    return jax.make_jaxpr(lambda *arrays: jax.tree.leaves(function(*arrays)))(*like)
