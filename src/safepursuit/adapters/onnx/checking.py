"""A written file: opened as a robot would, compared with the package, and timed."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime

from safepursuit.adapters.onnx.controller import Command, Measured, deployed
from safepursuit.adapters.onnx.describing import FORMAT, FORMAT_VERSION, fingerprint
from safepursuit.adapters.onnx.exporting import double
from safepursuit.adapters.onnx.states import KINDS, draw
from safepursuit.experiment import TrainConfig
from safepursuit.policy import Policy, digest

TOLERANCE = {"double": 1e-9, "single": 1e-5}
"""Largest difference of a control [m/s, rad/s] or clearance [m] that passes, by the precision of the package."""

VERDICTS = ("active", "feasible")
"""Outputs that are no measures: equal or not."""

_ROUNDING = 1e-9
"""Relative change of the inputs (of the pose absolute, too) that may turn one verdict into another; the closed form of
the projection counts rows as met within a tenth of it."""

_SINGLE = 2.0**-23
"""Relative change of the inputs within which a difference counts as rounding of single precision: a unit in the last
place, two roundings."""

_STEPS = 4
"""A difference counts as such up to so many times what the answer then moves: single precision rounds at every step,
not the inputs alone."""

_CHANGES = 256
"""Such changes that are tried per state."""

_WARM_UP = 500

_PAIRS = 10**7
"""Pairs of constraints, over all states, that are compared at a time: what a file's projection holds in memory."""


class Comparison(NamedTuple):
    passed: bool
    result: dict[str, Any]
    """The contents of `check-export --json`."""


def session(file: Path) -> onnxruntime.InferenceSession:
    """The file, ready to be called on one thread.

    Raises ValueError where there is no such file, or where it is none of ours or of another version.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    if not file.is_file():
        raise ValueError(f"file {file} does not exist.")
    try:
        opened = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # whose types onnxruntime does not export
        raise ValueError(f"{file} is not an ONNX file that onnxruntime can run: {error}") from None
    about = _metadata(opened)
    if (about.get("format"), about.get("format_version")) != (FORMAT, FORMAT_VERSION):
        raise ValueError(f"{file} is no exported policy of this version; write it with 'safepursuit export'.")
    return opened


def compare(file: Path, policy: Policy, config: TrainConfig, *, count: int = 10_000, seed: int = 0) -> Comparison:
    """Run the file and the package on the same states, of all kinds.

    Both in double precision: controls and clearance may differ by `TOLERANCE`; `active` and `feasible` in ties alone,
    states in which the package itself gives the file's verdict once the inputs are changed by `_ROUNDING`, as where
    several constraints meet. Besides, the package in single precision, as it was trained, on all states but the extreme
    ones. Beyond the tolerance its controls may differ where the answer in either precision moves 1/`_STEPS` as far once
    the inputs are changed by `_SINGLE`: where the body grazes a disc, say, or the exact answer jumps. Raises ValueError
    where the file is none of ours or holds another policy.
    """
    opened = session(file)
    about = _metadata(opened)
    if about["config_sha256"] != fingerprint(config) or about["policy_sha256"] != digest(policy):
        raise ValueError(f"{file} does not hold this run's policy: export it again, or name the checkpoint it is from.")
    rows = _rows(opened)
    inputs, kind = draw(
        config.game,
        rows["discs"],
        count,
        seed,
        delay=rows.get("pending", 0),
        edges=rows.get("edges", 0),
        movers=rows.get("movers", 0),
        ways="ways" in rows,
    )
    names = [output.name for output in opened.get_outputs()]
    found = _in_parts(lambda part: dict(zip(names, opened.run(None, part), strict=True)), inputs, _at_a_time(inputs))
    with jax.enable_x64(True):
        exact = _package(double(policy), config, inputs, np.float64)
    sane = kind != "extreme"
    ordinary = {name: values[sane] for name, values in inputs.items()}
    trained = _package(policy, config, ordinary, np.float32, _at_a_time(inputs))

    gaps = {name: _gap(found[name], exact[name]) for name in Command._fields}
    rounding = {name: _gap(found[name][sane], trained[name]) for name in Command._fields}
    measures = [name for name in gaps if name not in VERDICTS]
    outputs = {
        name: {"double": _summary(gaps[name], "double"), "single": _summary(rounding[name], "single")} for name in gaps
    }
    far = np.flatnonzero(np.max([rounding[name] for name in measures], axis=0) > TOLERANCE["single"])
    moved = spread(policy, config, inputs, np.flatnonzero(sane)[far], seed)
    for name in measures:
        unexplained = rounding[name][far] > np.maximum(_STEPS * moved[name], TOLERANCE["single"])
        outputs[name]["single"]["unexplained"] = int(unexplained.sum())
    differs = np.flatnonzero(np.any([gaps[name] > 0 for name in VERDICTS], axis=0))
    tied = ties(policy, config, inputs, differs, found, seed)
    verdicts = {
        name: {"different": int(gaps[name].sum()), "ties": int((gaps[name][differs] * tied[name]).sum())}
        for name in VERDICTS
    }
    same = all(not outputs[name]["double"]["beyond_tolerance"] for name in measures)
    rounded = all(not outputs[name]["single"]["unexplained"] for name in measures)
    passed = same and rounded and all(one["different"] == one["ties"] for one in verdicts.values())
    result = {
        "file": str(file),
        "method": config.method,
        "states": count,
        "seed": seed,
        "tolerance": TOLERANCE,
        "passed": passed,
        "verdicts": verdicts,
        "outputs": outputs,
        "largest_by_kind": {one: gaps["safe_control"][kind == one].max(initial=0).item() for one in KINDS},
        "not_feasible": int(np.sum(~found["feasible"])),
    }
    return Comparison(passed, result)


def ties(
    policy: Policy,
    config: TrainConfig,
    inputs: dict[str, np.ndarray],
    states: np.ndarray,
    found: dict[str, np.ndarray],
    seed: int,
) -> dict[str, np.ndarray]:
    """Which of these states are ties, (states,) per verdict."""
    if not len(states):
        return {name: np.zeros(0, bool) for name in VERDICTS}
    said = _changed(policy, config, inputs, states, _ROUNDING, seed)
    return {name: np.any(said[name] == found[name][states, None], axis=1) for name in VERDICTS}


def spread(
    policy: Policy, config: TrainConfig, inputs: dict[str, np.ndarray], states: np.ndarray, seed: int
) -> dict[str, np.ndarray]:
    """How far the package's measures move in these states, in either precision, where single precision rounds the
    inputs: (states,) per output. Close to an edge single precision knows less of the normal than of where it stands."""
    measures = [name for name in Command._fields if name not in VERDICTS]
    if not len(states):
        return {name: np.zeros(0) for name in measures}
    both = [_changed(policy, config, inputs, states, _SINGLE, seed, dtype) for dtype in (np.float64, np.float32)]
    moved = [
        {name: np.ptp(said[name], axis=1).reshape(len(states), -1).max(axis=1) for name in measures} for said in both
    ]
    return {name: np.maximum(*(one[name] for one in moved)) for name in measures}


def _changed(
    policy: Policy,
    config: TrainConfig,
    inputs: dict[str, np.ndarray],
    states: np.ndarray,
    size: float,
    seed: int,
    dtype: type = np.float64,
) -> dict[str, np.ndarray]:
    """What the package says after random changes of the inputs: (states, changes, …)."""
    random, changed = np.random.default_rng(seed), {}
    for name, values in inputs.items():
        many = np.repeat(values[states], _CHANGES, axis=0)
        scale = np.abs(many) + (name == "pose")
        changed[name] = many + size * random.uniform(-1, 1, many.shape) * np.where(np.isfinite(scale), scale, 0)
    with jax.enable_x64(dtype is np.float64):
        given = double(policy) if dtype is np.float64 else policy
        said = _package(given, config, changed, dtype, _at_a_time(inputs))
    return {name: values.reshape(-1, _CHANGES, *values.shape[1:]) for name, values in said.items()}


def latency(file: Path, calls: int = 10_000) -> dict[str, Any]:
    """Times [µs] of single calls through onnxruntime's Python interface: a robot among as many discs, edges and movers
    as the file takes.

    Keys: calls, batch, threads, p50_us, p99_us, max_us. Raises ValueError as `session` does.
    """
    opened = session(file)
    rows = _rows(opened)

    def around(count: int, distance: float) -> np.ndarray:
        angle = 2 * np.pi * np.arange(count) / max(count, 1)
        return distance * np.stack([np.cos(angle), np.sin(angle)], axis=-1)

    discs, movers, posts = (
        around(rows.get(name, 0), far) for name, far in (("discs", 3.0), ("movers", 4.0), ("edges", 5.0))
    )
    every = {
        "pose": np.array([[0.3, -0.2, 0.5]]),
        "control": np.array([[0.8, 0.1]]),
        "opponent_pose": np.array([[5.0, 4.0, -2.0]]),
        "opponent_control": np.array([[0.6, -0.3]]),
        "discs": np.pad(discs, ((0, 0), (0, 1)), constant_values=0.3)[None],
        "half_extents": np.array([[10.0, 10.0]]),
        "pending": np.zeros((1, rows.get("pending", 0), 2)),
        "edges": np.concatenate([posts, posts + 0.5], axis=-1)[None],
        "movers": np.pad(movers, ((0, 0), (0, 4)), constant_values=0.3)[None],
        "ways": np.array([[[5.0, 4.0, 7.0], [4.0, 4.0, 6.0]]]),
    }
    inputs = {name: every[name] for name in rows}
    for _ in range(_WARM_UP):
        opened.run(None, inputs)
    times = np.empty(calls)
    for call in range(calls):
        start = time.perf_counter_ns()
        opened.run(None, inputs)
        times[call] = time.perf_counter_ns() - start
    p50, p99, most = np.percentile(times, [50, 99, 100]) / 1e3
    return {"calls": calls, "batch": 1, "threads": 1, "p50_us": p50, "p99_us": p99, "max_us": most}


def _metadata(opened: onnxruntime.InferenceSession) -> dict[str, str]:
    return dict(opened.get_modelmeta().custom_metadata_map)


def _rows(opened: onnxruntime.InferenceSession) -> dict[str, int]:
    """How many rows, or numbers, a sample has in each of the inputs."""
    return {one.name: one.shape[1] for one in opened.get_inputs()}


def _at_a_time(inputs: dict[str, np.ndarray]) -> int:
    """How many of these states are compared at a time."""
    boundaries = 4 + sum(inputs[name].shape[1] for name in ("discs", "edges", "movers") if name in inputs)
    return max(1, min(len(inputs["pose"]), _PAIRS // (4 + 2 * boundaries) ** 2))


def _in_parts(
    says: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]], inputs: dict[str, np.ndarray], size: int
) -> dict[str, np.ndarray]:
    """What is said of all states, asked for so many at a time: always as many, for one compiled program."""
    total = len(inputs["pose"])
    parts = [
        says({name: np.resize(many[first : first + size], (size, *many.shape[1:])) for name, many in inputs.items()})
        for first in range(0, total, size)
    ]
    return {name: np.concatenate([part[name] for part in parts])[:total] for name in Command._fields}


def _package(
    policy: Policy, config: TrainConfig, inputs: dict[str, np.ndarray], dtype: Any, size: int | None = None
) -> dict[str, np.ndarray]:
    """What the package says, samples first."""

    def says(part: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        measured = Measured(**{name: jnp.asarray(values.T.astype(dtype)) for name, values in part.items()})
        command = _deployed(policy, config.game, config.shield, measured, config.role)
        return {name: np.asarray(values).T for name, values in command._asdict().items()}

    return _in_parts(says, inputs, size or _at_a_time(inputs))


_deployed = eqx.filter_jit(deployed)


def _gap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The largest difference of each sample; 1 for another number or flag, infinite where there is no number."""
    if one.dtype.kind != "f":
        return (one != other).astype(float)
    gap = np.abs(one - other.astype(np.float64)).reshape(len(one), -1).max(axis=1)
    return np.where(np.isnan(gap), np.inf, gap)


def _summary(gap: np.ndarray, precision: str) -> dict[str, float]:
    return {"largest": gap.max(initial=0).item(), "beyond_tolerance": int(np.sum(gap > TOLERANCE[precision]))}
