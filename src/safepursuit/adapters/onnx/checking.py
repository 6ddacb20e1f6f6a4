"""The file against the package."""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from safepursuit.adapters.onnx.controller import Command, Measured, deployed
from safepursuit.adapters.onnx.describing import digest, fingerprint
from safepursuit.adapters.onnx.exporting import double
from safepursuit.adapters.onnx.running import metadata, session
from safepursuit.adapters.onnx.states import KINDS, draw
from safepursuit.experiment import TrainConfig
from safepursuit.policy import Policy

TOLERANCE = 1e-5
"""Largest difference of a control [m/s, rad/s] that passes."""


class Comparison(NamedTuple):
    passed: bool
    result: dict[str, Any]
    """The contents of `check-export --json`."""


def compare(file: Path, policy: Policy, config: TrainConfig, *, count: int = 10_000, seed: int = 0) -> Comparison:
    """Run the file and the package on the same states, of all kinds.

    Both in double precision: that is the test, of the controls and of `feasible`. Besides, the package in single
    precision, as it was trained, on all states but the extreme ones: that is its own rounding. `active` is compared for
    information: where several constraints meet, either may be named. Raises ValueError where the file is none of ours
    or holds another policy.
    """
    opened = session(file)
    about = metadata(opened)
    if about["config_sha256"] != fingerprint(config) or about["policy_sha256"] != digest(policy):
        raise ValueError(f"{file} does not hold this run's policy: export it again, or name the checkpoint it is from.")
    inputs, kind = draw(config.game, int(about["discs"]), count, seed)
    names = [output.name for output in opened.get_outputs()]
    found = dict(zip(names, opened.run(None, inputs), strict=True))
    with jax.enable_x64(True):
        exact = _package(double(policy), config, inputs, np.float64)
    sane = kind != "extreme"
    trained = _package(policy, config, {name: values[sane] for name, values in inputs.items()}, np.float32)

    gaps = {name: _gap(found[name], exact[name]) for name in Command._fields}
    rounding = {name: _gap(found[name][sane], trained[name]) for name in Command._fields}
    decisive = max(gaps[name].max(initial=0) for name in ("safe_control", "nominal_control", "feasible"))
    passed = bool(decisive <= TOLERANCE)
    result = {
        "file": str(file),
        "method": config.method,
        "states": count,
        "seed": seed,
        "tolerance": TOLERANCE,
        "passed": passed,
        "outputs": {name: {"double": _summary(gaps[name]), "single": _summary(rounding[name])} for name in gaps},
        "largest_by_kind": {one: gaps["safe_control"][kind == one].max(initial=0).item() for one in KINDS},
        "not_feasible": int(np.sum(~found["feasible"])),
    }
    return Comparison(passed, result)


def _package(policy: Policy, config: TrainConfig, inputs: dict[str, np.ndarray], dtype: Any) -> dict[str, np.ndarray]:
    """What the package says, samples first."""
    measured = Measured(**{name: jnp.asarray(values.T.astype(dtype)) for name, values in inputs.items()})
    command = jax.jit(partial(deployed, policy, config.game, config.shield))(measured)
    return {name: np.asarray(values).T for name, values in command._asdict().items()}


def _gap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The largest difference of each sample; 1 for another number or flag, infinite where there is no number."""
    if one.dtype.kind != "f":
        return (one != other).astype(float)
    gap = np.abs(one - other.astype(np.float64)).max(axis=1)
    return np.where(np.isnan(gap), np.inf, gap)


def _summary(gap: np.ndarray) -> dict[str, float]:
    return {"largest": gap.max(initial=0).item(), "beyond_tolerance": int(np.sum(gap > TOLERANCE))}
