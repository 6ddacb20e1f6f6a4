"""ONNX nodes in the order of their making: equal nodes are one, and those that no output needs are left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

OPSET = 20
"""Version of the standard operators, in onnxruntime since 1.17."""
IR_VERSION = 9


@dataclass(frozen=True)
class Node:
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


class Graph:
    """A graph under construction. Values are named."""

    def __init__(self, batch_of: str) -> None:
        self._nodes: list[Node] = []
        self._maker: dict[str, Node] = {}
        self._made: dict[tuple, Node] = {}
        self._constants: dict[str, np.ndarray] = {}
        self._names: dict[tuple, str] = {}
        self.held: dict[str, tuple[int, ...]] = {}
        """Axes of values but the last, the batch; not of all values."""
        (self.batch_size,) = self.add("Shape", batch_of, start=0, end=1)
        """The number of samples, a vector of length one: the length of the first axis of an input."""

    def constant(self, value: np.ndarray) -> str:
        """The name of a constant."""
        key = (value.dtype.str, value.shape, value.tobytes())
        name = self._names.setdefault(key, f"constant{len(self._names)}")
        self._constants[name] = value
        return name

    def indices(self, *values: int) -> str:
        """The name of a constant vector of indices."""
        return self.constant(np.asarray(values, np.int64))

    def add(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> tuple[str, ...]:
        """The names of the values of this node, which is made unless there is an equal one."""
        key = (op, inputs, outputs, repr(sorted(attributes.items())))
        if key not in self._made:
            names = tuple(f"value{len(self._maker) + number}" for number in range(outputs))
            self._made[key] = Node(op, inputs, names, attributes)
            self._nodes.append(self._made[key])
            self._maker |= dict.fromkeys(names, self._made[key])
        return self._made[key].outputs

    def made_by(self, name: str, op: str) -> tuple[str, ...]:
        """The inputs of the node that gives this value, if it is of this kind; none otherwise."""
        node = self._maker.get(name)
        return node.inputs if node is not None and node.op == op else ()

    def number(self, name: str) -> float | int | None:
        """The number that all entries of this value equal; None if it is no such constant."""
        value = self._constants.get(name)
        return value.flat[0].item() if value is not None and value.size and np.all(value == value.flat[0]) else None

    def pieces(self, *names: str) -> tuple[str, int] | None:
        """The value that falls into exactly these pieces, one entry each, and along which axis."""
        node = self._split(names[0])
        return (node.inputs[0], node.attributes["axis"]) if node and node.outputs == names else None

    def piece(self, name: str) -> tuple[str, int, int] | None:
        """The value of which this one is a piece, one entry long, along which axis, and which one."""
        node = self._split(name)
        return (node.inputs[0], node.attributes["axis"], node.outputs.index(name)) if node else None

    def _split(self, name: str) -> Node | None:
        """The node that cuts this value out of another one, if there is one."""
        node = self._maker.get(name)
        return node if node is not None and node.op == "Split" else None

    def model(
        self,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[tuple[str, onnx.ValueInfoProto]],
        name: str,
        metadata: Mapping[str, str],
    ) -> onnx.ModelProto:
        """The finished model; `outputs` are pairs of a value and its description as an output."""
        results = [helper.make_node("Identity", [value], [information.name]) for value, information in outputs]
        needed, kept = {value for value, _ in outputs}, []
        for node in reversed(self._nodes):
            if needed & set(node.outputs):
                needed |= set(node.inputs)
                kept.append(helper.make_node(node.op, node.inputs, node.outputs, **node.attributes))
        constants = [numpy_helper.from_array(value, one) for one, value in self._constants.items() if one in needed]
        graph = helper.make_graph([*kept[::-1], *results], name, list(inputs), [one for _, one in outputs], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        model.producer_name = "safepursuit"
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model, full_check=True)
        return model
