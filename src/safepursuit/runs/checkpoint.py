"""Checkpoints: a whole training state as named arrays, written in one step and checked when read.

checkpoints/000000409600/arrays/     the arrays (Orbax)
checkpoints/000000409600/digest.json SHA-256 of every file: a checkpoint cut short is recognised
checkpoints/latest, checkpoints/best the names of two of them
"""

import hashlib
import json
import logging
import shutil
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import orbax.checkpoint as orbax

from safepursuit.runs.folder import RunFolder, write_json, write_text

Which = Literal["latest", "best"]

_KEEP = 3
"""How many of the newest checkpoints stay, besides the best."""

logging.getLogger("absl").setLevel(logging.ERROR)


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message is one sentence for the user."""


def save(run: RunFolder, step: int, state: Any, *, best: bool) -> Path:
    """Write the arrays of the pytree `state`; then, and only then, point `latest` (and `best`) to them."""
    folder = run.checkpoints / f"{step:012d}"
    partial = run.checkpoints / f".{folder.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    with orbax.PyTreeCheckpointer() as writer:
        writer.save((partial / "arrays").resolve(), _named(state))
    write_json(partial / "digest.json", _digests(partial / "arrays"))
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    for which in ("latest", *(["best"] if best else [])):
        write_text(run.checkpoints / which, folder.name + "\n")
    _prune(run)
    return folder


def restore(run: RunFolder, template: Any, which: Which = "latest") -> Any:
    """The state saved last (or the best one), in the shape of the pytree `template`.

    Raises CheckpointError where there is none, where it is damaged, or where it does not fit the template.
    """
    folder = locate(run, which)
    advice = f"remove {folder} and name another checkpoint in {run.checkpoints / which}"
    try:
        expected = json.loads((folder / "digest.json").read_text(encoding="utf-8"))
        intact = _digests(folder / "arrays") == expected
    except (OSError, ValueError):
        intact = False
    if not intact:
        raise CheckpointError(f"checkpoint {folder} is incomplete or damaged; {advice}.")
    with orbax.PyTreeCheckpointer() as reader:
        arrays = reader.restore((folder / "arrays").resolve())
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    restored = []
    for path, leaf in leaves:
        name = jax.tree_util.keystr(path)
        found = arrays.get(name)
        if found is None or found.shape != np.shape(_data(leaf)):
            raise CheckpointError(
                f"checkpoint {folder} does not fit this run's configuration: {name} is missing or has another shape."
            )
        restored.append(_like(leaf, found))
    return jax.tree_util.tree_unflatten(structure, restored)


def locate(run: RunFolder, which: Which = "latest") -> Path:
    """The folder of a checkpoint. Raises CheckpointError where there is none."""
    pointer = run.checkpoints / which
    if not pointer.is_file():
        raise CheckpointError(f"run {run.path} has no checkpoint yet.")
    name = pointer.read_text(encoding="utf-8").strip()
    if not name or not (run.checkpoints / name).is_dir():
        raise CheckpointError(f"run {run.path} names {name!r} as its {which} checkpoint, but it is not there.")
    return run.checkpoints / name


def _named(state: Any) -> dict[str, Any]:
    return {
        jax.tree_util.keystr(path): np.asarray(_data(leaf))
        for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]
    }


def _data(leaf: Any) -> Any:
    """Random keys are stored as their data."""
    is_key = isinstance(leaf, jax.Array) and jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf


def _like(leaf: Any, found: np.ndarray) -> Any:
    if isinstance(leaf, int | float):
        return type(leaf)(found.item())
    data = _data(leaf)
    array = jax.numpy.asarray(found, data.dtype)
    return array if data is leaf else jax.random.wrap_key_data(array, impl=jax.random.key_impl(leaf))


def _digests(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        raise FileNotFoundError(folder)
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def _prune(run: RunFolder) -> None:
    kept = {locate(run, which).name for which in ("latest", "best") if (run.checkpoints / which).is_file()}
    numbered = sorted(folder for folder in run.checkpoints.iterdir() if folder.name.isdigit())
    for folder in numbered[:-_KEEP]:
        if folder.name not in kept:
            shutil.rmtree(folder)
