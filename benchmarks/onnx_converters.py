"""The deployed controller as an ONNX file, by our own lowering and by jax2onnx. Run by `make bench-converters`.

Writes docs/benchmarks/onnx_converters.md and .json. jax2onnx lives in an environment of its own.
"""

import os

# One core and one thread, before any of the libraries starts its own.
os.environ["OMP_NUM_THREADS"] = "1"
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnx.compose
import onnxruntime
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun
from jax2onnx import to_onnx
from onnx import helper

from pages import machine, machine_text, table
from safepursuit import qp
from safepursuit.adapters.onnx import export, projection
from safepursuit.adapters.onnx.controller import Command, Measured, deployed, drive
from safepursuit.adapters.onnx.exporting import INSTEAD, double
from safepursuit.adapters.onnx.rules import COMPOSED
from safepursuit.adapters.onnx.states import draw
from safepursuit.experiment import TrainConfig
from safepursuit.learn import BarrierNetTrainer
from safepursuit.policy import Policy

OUT = Path(__file__).resolve().parent.parent / "docs" / "benchmarks"
PACKAGES = ("safepursuit", "jax", "jaxlib", "numpy", "jax2onnx", "onnx", "onnx-ir", "onnxruntime")

METHODS = ("barriernet", "cbf-beta", "ppo")
DISCS = 2
STATES = 1000
TURN = 100
"""Calls of one file before the next has its turn."""

SHAPES = {
    "pose": (3,),
    "control": (2,),
    "opponent_pose": (3,),
    "opponent_control": (2,),
    "discs": (DISCS, 3),
    "half_extents": (2,),
}
"""Of one sample, as a file takes it."""


class Controller(NamedTuple):
    """What is to be converted."""

    policy: Policy
    config: TrainConfig

    def call(self, drives: Callable, arrays: tuple[jax.Array, ...]) -> Command:
        """The function of the package for one sample or for a batch on trailing axes, in the arrays' precision."""
        policy = double(self.policy) if arrays[0].dtype == jnp.float64 else self.policy
        return drives(policy, self.config.game, self.config.shield, Measured(*arrays))


def controller(method: str) -> Controller:
    """A fresh policy with random weights in its last layer, so that its controls meet the constraints."""
    config = replace(TrainConfig(), method=method)
    policy = BarrierNetTrainer(replace(config, num_envs=16)).policy
    weight = policy.head.layer.weight
    loud = jax.random.normal(jax.random.key(1), weight.shape, weight.dtype)
    return Controller(eqx.tree_at(lambda one: one.head.layer.weight, policy, loud), config)


# What jax2onnx is given.


def samples_first(drives: Callable, given: Controller) -> Callable:
    """The function of the package, the batch turned to its last axis and back."""
    return lambda *arrays: tuple(one.T for one in given.call(drives, tuple(array.T for array in arrays)))


def finished(drives: Callable, given: Controller, dtype: Any) -> Callable:
    """The jaxpr of one sample, as a function; that of `drive` with all substitutes of our own lowering."""
    like = [jnp.zeros(shape, dtype) for shape in SHAPES.values()]
    program = jax.make_jaxpr(samples_first(drives, given))(*like)
    return jaxpr_as_fun(jax.make_jaxpr(partial(standing_in, program))(*like) if drives is drive else program)


def arc_sine(x: Any) -> Any:
    """In double precision without ONNX's operator, which jax2onnx writes in double even for single, for |x| ≤ 1/2."""
    y = x * (1 + x * x / 6)
    for _ in range(3):
        y = y + (x - jnp.sin(y)) / jnp.cos(y)
    return y


def standing_in(program: ClosedJaxpr, *arrays: Any) -> list[Any]:
    """The program with the substitutes of our own lowering: no loops, and only what onnxruntime has in double."""
    known = dict(zip(program.jaxpr.constvars, program.consts, strict=True))
    known |= zip(program.jaxpr.invars, arrays, strict=True)

    def read(variable: Any) -> Any:
        return variable.val if isinstance(variable, Literal) else known[variable]

    for equation in program.jaxpr.eqns:
        operands = list(map(read, equation.invars))
        known |= zip(equation.outvars, _results(equation, operands), strict=True)
    return list(map(read, program.jaxpr.outvars))


def _results(equation: Any, operands: list[Any]) -> list[Any]:
    kind, params = equation.primitive.name, equation.params
    inner = params.get("jaxpr") or params.get("call_jaxpr")
    if inner is not None:
        other = INSTEAD.get(inner.jaxpr.debug_info.func_name)
        return jax.tree.leaves(other(*operands)) if other else standing_in(inner, *operands)
    if other := INSTEAD.get(kind) or (COMPOSED | {"asin": arc_sine}).get(kind):
        return [other(*operands)]
    results = equation.primitive.bind(*operands, **params)
    return list(results) if equation.primitive.multiple_results else [results]


def closed_form(nominal: Any, build: Callable, ingredients: Any, weights: Any, box: Any) -> qp.Projection:
    """`qp.project_onto` without its loops, for a batch."""
    rows, scale = qp.join(qp.sides(box), build(ingredients)), jnp.broadcast_to(weights[:, None], nominal.shape)
    return jax.vmap(projection.project, in_axes=-1, out_axes=-1)(nominal, rows, scale)


def converted(traced: Callable, dtype: Any, batch: bool = True) -> onnx.ModelProto:
    return to_onnx(
        traced,
        [("N", *shape) if batch else shape for shape in SHAPES.values()],
        enable_double_precision=dtype is np.float64,
        input_names=list(SHAPES),
        output_names=list(Command._fields),
    )


def function_closed(given: Controller, dtype: Any) -> onnx.ModelProto:
    with mock.patch.object(qp, "project_onto", closed_form):
        return converted(samples_first(drive, given), dtype)


def alone(given: Controller, dtype: Any) -> onnx.ModelProto:
    return converted(finished(drive, given, dtype), dtype, batch=False)


def scanned(given: Controller, dtype: Any) -> onnx.ModelProto:
    """The file of one sample as the body of a loop over the samples."""
    one = onnx.compose.add_prefix(alone(given, dtype), "one/")
    inputs, outputs = (
        [
            helper.make_tensor_value_info(
                value.name.removeprefix("one/"),
                value.type.tensor_type.elem_type,
                ["N", *(length.dim_value for length in value.type.tensor_type.shape.dim)],
            )
            for value in values
        ]
        for values in (one.graph.input, one.graph.output)
    )
    scan = helper.make_node("Scan", list(SHAPES), Command._fields, body=one.graph, num_scan_inputs=len(SHAPES))
    graph = helper.make_graph([scan], "pursuer", inputs, outputs)
    return helper.make_model(graph, opset_imports=one.opset_import, ir_version=one.ir_version)


OURS = "our own"
WAYS: dict[str, Callable[[Controller, Any], onnx.ModelProto]] = {
    OURS: lambda given, dtype: export(given.policy, given.config, discs=DISCS),
    "jax2onnx: the function": lambda given, dtype: converted(samples_first(deployed, given), dtype),
    "jax2onnx: the function, closed form": function_closed,
    "jax2onnx: the jaxpr": lambda given, dtype: converted(jax.vmap(finished(deployed, given, dtype)), dtype),
    "jax2onnx: the jaxpr, closed form": lambda given, dtype: converted(jax.vmap(finished(drive, given, dtype)), dtype),
    "jax2onnx: the jaxpr, closed form, one sample": alone,
    "jax2onnx: the jaxpr, closed form, one sample in a Scan": scanned,
}


# What comes of it.


class File(NamedTuple):
    """A conversion: figures, and the opened file and the feed of one call if there are any."""

    result: dict[str, Any]
    opened: onnxruntime.InferenceSession | None = None
    feed: dict[str, np.ndarray] | None = None


def tried(way: str, given: Controller, states: dict[str, np.ndarray]) -> File:
    """In double precision; in single where nothing comes of that."""
    file = attempt(way, given, np.float64, states)
    if file.opened is None:
        single = attempt(way, given, np.float32, states)
        file = single._replace(result={**single.result, "failure_in_double": file.result["failure"]})
    return file


def attempt(way: str, given: Controller, dtype: Any, states: dict[str, np.ndarray]) -> File:
    result: dict[str, Any] = {"precision": np.dtype(dtype).name}
    start = time.perf_counter()
    try:
        with jax.enable_x64(dtype is np.float64):
            model = WAYS[way](given, dtype)
        result |= {"seconds": time.perf_counter() - start, "nodes": nodes(model.graph)}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        opened = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        result["loads"] = True
        inputs = {name: values.astype(dtype) for name, values in states.items()}
        single = len(opened.get_inputs()[0].shape) == 1
        feeds = [{name: inputs[name][i if single else slice(i, i + 1)] for name in inputs} for i in range(STATES)]
        found = [opened.run(["safe_control"], feed)[0] for feed in (feeds if single else [inputs])]
        difference = np.reshape(found, (STATES, 2)) - expected(given, dtype, inputs)
        result["difference"] = float(np.max(np.abs(difference)))
    except Exception as error:  # of any library: its sentence is the result
        sentence = " ".join(str(error).split("-" * 20)[0].split())
        seconds = time.perf_counter() - start
        return File({"seconds": seconds, **result, "failure": f"{type(error).__name__}: {sentence}"})
    return File(result, opened, feeds[0])


def nodes(graph: onnx.GraphProto) -> int:
    """Those of loops and branches included."""
    inner = [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
    return len(graph.node) + sum(map(nodes, inner))


def expected(given: Controller, dtype: Any, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """The safe controls of the package in that precision, (samples, 2)."""
    with jax.enable_x64(dtype is np.float64):
        arrays = tuple(jnp.asarray(values.T, dtype) for values in inputs.values())
        return np.asarray(jax.jit(lambda *arrays: given.call(deployed, arrays).safe_control)(*arrays)).T


def timed(files: dict[str, File], calls: int) -> Iterator[tuple[str, dict[str, float]]]:
    """p50 and p99 [µs] of CPU time of single calls; the files take turns, so that other load falls on all of them."""
    times: dict[str, list[float]] = {way: [] for way, file in files.items() if file.opened is not None}
    for turn in range(calls // TURN + 1):
        for way in times if turn % 2 else reversed(times):
            opened, feed = files[way].opened, files[way].feed
            for _ in range(TURN):
                start = time.thread_time_ns()
                opened.run(None, feed)
                times[way].append((time.thread_time_ns() - start) / 1e3)
    for way, values in times.items():
        p50, p99 = np.percentile(values[TURN:], [50, 99])  # the first turn warms up
        yield way, {"p50_us": float(p50), "p99_us": float(p99)}


def measured(method: str, calls: int) -> dict[str, dict[str, Any]]:
    """Results by way of conversion."""
    given = controller(method)
    states, kind = draw(given.config.game, DISCS, 2 * STATES, 0)
    ordinary = {name: values[kind != "extreme"][:STATES] for name, values in states.items()}
    files = {}
    for way in WAYS:
        files[way] = tried(way, given, ordinary)
        print(method, way, files[way].result, file=sys.stderr, flush=True)
    results = {way: file.result for way, file in files.items()}
    for way, times in timed(files, calls):
        results[way] |= times
    return results


def warm_up() -> None:
    """What a converter does once a process is not counted as conversion."""
    to_onnx(lambda x: jnp.sin(x), [("N", 2)])
    export(controller("ppo").policy, controller("ppo").config)


# The page.


FORMS = {"seconds": ".1f", "nodes": ",", "difference": ".1e", "p50_us": ",.0f", "p99_us": ",.0f"}


def page(found: dict[str, dict[str, dict[str, Any]]], about: dict[str, Any], calls: int) -> str:
    sections = "\n\n".join(section(method, results) for method, results in found.items())
    return f"""# The exported controller by our own lowering and by jax2onnx

Written by `benchmarks/onnx_converters.py` (`make bench-converters`); do not edit by hand.

The deployed controller of `TrainConfig`'s defaults with {DISCS} discs and random weights in the last layer. “nodes”
count those of loops. “difference” is the largest between the safe control of the file and JAX's in the same precision
[m/s, rad/s], on {STATES:,} states of all kinds that `check-export` draws but the extreme. p50 and p99 are CPU times of
calls with one sample, on one thread through onnxruntime's Python interface, {calls:,} of each file in turns of {TURN}.
Where there is no difference, the conversion or the run failed, for the reason below the table.

What jax2onnx is given, in double precision, and again in single where no file comes of that:

* the function: `controller.deployed`, with a batch of any size;
* the function, closed form: `controller.drive`, with `adapters/onnx/projection.py` for the loops of `qp.project`;
* the jaxpr: the finished program of one sample, mapped over the batch, which avoids jax2onnx's own versions of JAX's
  functions;
* the jaxpr, closed form: that of `controller.drive`, with all substitutes of our own lowering and an arc sine that
  onnxruntime has in double precision;
* one sample: the same without a batch. Our own file takes any number of samples;
* in a Scan: that file as the body of ONNX's `Scan`, which goes through the samples one by one.

{sections}

## Machine

{machine_text(about)}
"""


def section(method: str, results: dict[str, dict[str, Any]]) -> str:
    rows = [["converter", "precision", "seconds", "nodes", "loads", "difference", "p50 [µs]", "p99 [µs]", "p50 / ours"]]
    failures: dict[str, list[str]] = {}
    for way, one in results.items():
        cells = [f"{one[key]:{form}}" if key in one else "" for key, form in FORMS.items()]
        ratio = f"{one['p50_us'] / results[OURS]['p50_us']:.2f}" if "p50_us" in one else ""
        rows.append([way, one["precision"], *cells[:2], "yes" if one.get("loads") else "no", *cells[2:], ratio])
        for key, precision in (("failure_in_double", "float64"), ("failure", one["precision"])):
            if key in one:
                failures.setdefault(f"{way}: {one[key]}", []).append(precision)
    lines = [f"* {failure} ({', '.join(precisions)})" for failure, precisions in failures.items()]
    return f"## {method}\n\n{table(rows)}\n\n" + "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=5000, help="timed calls of each file")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the results")
    arguments = parser.parse_args()
    onnxruntime.set_default_logger_severity(4)
    about = machine({"onnxruntime": 1}, PACKAGES)
    warm_up()
    found = {method: measured(method, arguments.calls) for method in arguments.methods.split(",")}
    text = page(found, about, arguments.calls)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "onnx_converters.md").write_text(text, encoding="utf-8")
    record = json.dumps({"machine": about, "results": found}, indent=1, ensure_ascii=False) + "\n"
    (arguments.out / "onnx_converters.json").write_text(record, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
