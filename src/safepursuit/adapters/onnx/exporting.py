"""From a policy to an ONNX model that holds it with its safety layer, and to the file."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import onnx
from onnx import helper

from safepursuit.adapters.onnx import projection
from safepursuit.adapters.onnx.arrays import Array, Shape, Tensor, expanded, joined
from safepursuit.adapters.onnx.controller import MOST_ROWS, Command, Measured, asks_for_ways, drive, observed
from safepursuit.adapters.onnx.describing import describe
from safepursuit.adapters.onnx.graph import Graph
from safepursuit.adapters.onnx.lowering import lower
from safepursuit.experiment import TrainConfig
from safepursuit.game import initial_shapes, observation_shapes
from safepursuit.policy import Policy, check_finite
from safepursuit.qp import Halfplanes
from safepursuit.runs.folder import replacing

_DOUBLE = np.dtype(np.float64)


def _closed_form(nominal: Any, A: Any, b: Any, weights: Any) -> tuple:
    return projection.project(nominal, Halfplanes(A, b), weights)


INSTEAD: dict[str, Callable] = {
    "_single": _closed_form,
    "put_along_axis": lambda array, places, values: values,
    "hypot": lambda x, y: jnp.sqrt(x**2 + y**2),
    "is_finite": lambda array: np.ones(array.shape, bool),
}
"""What the graph computes in place of these: the loops of `qp.project`; rows put back in order, which `drive` leaves in
order; lengths whose squares might overflow; the package's tests of single numbers, since the watchdog tests all inputs
and the control, and what lies between is finite for inputs within its bounds and finite parameters."""


def export(
    policy: Policy,
    config: TrainConfig,
    *,
    discs: int | None = None,
    edges: int | None = None,
    movers: int | None = None,
    training: Mapping[str, Any] | None = None,
) -> onnx.ModelProto:
    """The deployed, deterministic policy as an ONNX model for any number of samples (the first axis).

    It takes so many discs (at least one), edges and movers (default: as many as the training's scenes have), padded
    with NaN. `training` says where the policy comes from (see `training_of`). Raises NotFiniteError for a policy whose
    parameters are not finite, ValueError for numbers that make no sense, and where the policy observes movers but the
    file takes none, or the other way round.
    """
    check_finite(policy)
    shapes = _inputs(config, discs, edges, movers)
    graph = Graph("pose")
    with jax.enable_x64(True):
        program = jax.make_jaxpr(partial(drive, double(policy), config.game, config.shield, role=config.role))(
            _sample(shapes)
        )
        results = lower(graph, program, _samples_last(graph, shapes), INSTEAD)
    outputs = [
        (_samples_first(graph, array), _information(name, array.dtype, array.shape))
        for name, array in zip(Command._fields, results, strict=True)
    ]
    inputs = [_information(name, _DOUBLE, shape[::-1]) for name, shape in shapes.items()]
    return graph.model(inputs, outputs, config.role, describe(policy, config, shapes, training or {}))


def _inputs(config: TrainConfig, discs: int | None, edges: int | None, movers: int | None) -> dict[str, Shape]:
    """The shape of each input of one sample, in the order of `Measured`."""
    scene = initial_shapes(config.game, 1).scene
    trained = {
        "edges": 0 if scene.edges is None else len(scene.edges.present),
        "movers": 0 if scene.movers is None else len(scene.movers.speed),
    }
    trained["discs"] = max(1, len(scene.radius) - trained["movers"])
    given = {"discs": discs, "edges": edges, "movers": movers}
    rows = {name: trained[name] if number is None else number for name, number in given.items()}
    for name, number in rows.items():
        least, most = int(name == "discs"), MOST_ROWS[name]
        if not least <= number <= most:
            raise ValueError(f"a file takes {least} to {most} {name}, not {number}.")
    shapes: dict[str, Shape] = {
        "pose": (3,),
        "control": (2,),
        "opponent_pose": (3,),
        "opponent_control": (2,),
        "discs": (3, rows["discs"]),
        "half_extents": (2,),
    }
    if config.shield.budget.delay:
        shapes["pending"] = (2, config.shield.budget.delay)
    if rows["edges"]:
        shapes["edges"] = (4, rows["edges"])
    if rows["movers"]:
        shapes["movers"] = (6, rows["movers"])
    _check_observation(config, shapes, trained["movers"])
    if rows["edges"] and asks_for_ways(config.game, _sample(shapes), config.role):
        shapes["ways"] = (3, 2)
    return shapes


def _check_observation(config: TrainConfig, shapes: Mapping[str, Shape], trained: int) -> None:
    """Raise ValueError where movers in the file, or their absence, make another observation than that of training."""
    seen = jax.eval_shape(partial(observed, config.game, role=config.role), _sample(shapes))
    known = observation_shapes(config.game)
    if (len(seen.ego), len(seen.discs)) != (len(known.ego), len(known.discs)):
        among, movers = ("among movers", "at least one") if trained else ("without movers", "none")
        raise ValueError(
            f"the policy was trained {among}, which its sensor {config.game.sensor!r} shows: the file must take "
            f"{movers}, not {shapes.get('movers', (0, 0))[1]}."
        )


def _sample(shapes: Mapping[str, Shape]) -> Measured:
    return Measured(**{name: jnp.zeros(shape) for name, shape in shapes.items()})


def write(model: onnx.ModelProto, file: Path) -> None:
    """Write the model in one step. Raises FileExistsError where the file is there already: nothing is overwritten."""
    if file.exists():
        raise FileExistsError(f"{file} already exists; name another file, or remove it first.")
    with replacing(file) as stream:
        stream.write(model.SerializeToString())


def double(policy: Policy) -> Policy:
    """The policy with all its numbers in double precision, which JAX must allow."""
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float64) if eqx.is_inexact_array(leaf) else leaf, policy)


def _information(name: str, dtype: np.dtype, shape: Shape) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), ["N", *shape])


def _samples_last(graph: Graph, shapes: Mapping[str, Shape]) -> list[Array]:
    """The inputs, which have the samples first, as a program of one sample sees them.

    Vectors are joined, turned and split at once: onnxruntime's optimiser would carry a transposition of each through
    the whole graph, whereas a product with the identity stays in its place. The product makes all numbers of a sample
    NaN if one of them is not finite; such a sample is not to be trusted anyway.
    """
    vectors = [name for name, shape in shapes.items() if len(shape) == 1]
    total = sum(shapes[name][0] for name in vectors)
    (together,) = graph.add("Concat", *vectors, axis=1)
    (turned,) = graph.add("Gemm", graph.constant(np.eye(total)), together, transB=1)
    numbers = iter(graph.add("Split", turned, outputs=total, axis=0, num_outputs=total))
    arrays: list[Array] = []
    for name, shape in shapes.items():
        if name in vectors:
            arrays.append(joined([Tensor(next(numbers), (1,), (1,), _DOUBLE) for _ in range(shape[0])], 0))
        else:
            arrays.append(Tensor(graph.add("Transpose", name, perm=[2, 1, 0])[0], shape, shape, _DOUBLE))
    return arrays


def _samples_first(graph: Graph, array: Array) -> str:
    tensor = expanded(graph, array)
    if not tensor.shape:
        return tensor.name
    return graph.add("Gemm", tensor.name, graph.constant(np.eye(tensor.shape[0])), transA=1)[0]
