"""Calling the file as a robot would: one sample at a time, on one thread."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from safepursuit.adapters.onnx.describing import FORMAT, FORMAT_VERSION

_WARM_UP = 500


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
    about = opened.get_modelmeta().custom_metadata_map
    if about.get("format") != FORMAT or about.get("format_version") != FORMAT_VERSION:
        raise ValueError(f"{file} is no exported pursuer of this version; write it with 'safepursuit export'.")
    return opened


def metadata(opened: onnxruntime.InferenceSession) -> dict[str, str]:
    """What the file says about itself."""
    return dict(opened.get_modelmeta().custom_metadata_map)


def latency(file: Path, calls: int = 10_000) -> dict[str, Any]:
    """Times [µs] of single calls through onnxruntime's Python interface: a robot among as many discs as the file knows.

    Keys: calls, batch, threads, p50_us, p99_us, max_us. Raises ValueError as `session` does.
    """
    opened = session(file)
    discs = int(metadata(opened)["discs"])
    angle = 2 * np.pi * np.arange(discs) / discs
    around = np.stack([3 * np.cos(angle), 3 * np.sin(angle), np.full(discs, 0.3)], axis=-1)
    inputs = {
        "pose": np.array([[0.3, -0.2, 0.5]]),
        "control": np.array([[0.8, 0.1]]),
        "opponent_pose": np.array([[5.0, 4.0, -2.0]]),
        "opponent_control": np.array([[0.6, -0.3]]),
        "discs": around[None],
        "half_extents": np.array([[10.0, 10.0]]),
    }
    for _ in range(_WARM_UP):
        opened.run(None, inputs)
    times = np.empty(calls)
    for call in range(calls):
        start = time.perf_counter_ns()
        opened.run(None, inputs)
        times[call] = time.perf_counter_ns() - start
    p50, p99, most = np.percentile(times, [50, 99, 100]) / 1e3
    return {"calls": calls, "batch": 1, "threads": 1, "p50_us": p50, "p99_us": p99, "max_us": most}
