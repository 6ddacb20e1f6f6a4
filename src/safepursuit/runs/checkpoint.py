"""Checkpoints: a training state as named arrays, written in one step and checked when read.

checkpoints/000000409600/policy/      the policy (Orbax)
checkpoints/000000409600/training/    all other state: optimiser, games, keys, counters
checkpoints/000000409600/digest.json  SHA-256 of every file; the two folders are checked separately
checkpoints/latest, checkpoints/best  the names of two checkpoints

Earlier checkpoints hold everything in one folder, `arrays`, and stay readable.
"""

import hashlib
import json
import math
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import orbax.checkpoint as orbax

from safepursuit.runs.folder import RunFolder, write_json, write_text

Which = Literal["latest", "best"]

_ITEMS = ("policy", "training")

_KEEP = 3
"""Checkpoints kept: the newest, besides the best."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message is one sentence for the user."""


def save(run: RunFolder, step: int, state: Any, *, best: bool) -> Path:
    """Write the arrays of the pytree `state`, then point `latest` (and `best`) to them; returns the folder.

    The field `policy` can be restored by itself.
    """
    folder = run.checkpoints / f"{step:012d}"
    partial = run.checkpoints / f".{folder.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    items: dict[str, dict[str, Any]] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
        name, array = jax.tree_util.keystr(path), np.asarray(_data(leaf))
        if array.size:  # Orbax refuses empty arrays
            items.setdefault(_item(name), {})[name] = array
    content = orbax.args.Composite(**{item: orbax.args.PyTreeSave(arrays) for item, arrays in items.items()})
    written = partial / folder.name
    with orbax.Checkpointer(orbax.CompositeCheckpointHandler()) as writer:
        writer.save(written.resolve(), content)
    write_json(written / "digest.json", _digests(written))
    shutil.rmtree(folder, ignore_errors=True)
    written.rename(folder)
    partial.rmdir()
    for which in ("latest", *(["best"] if best else [])):
        write_text(run.checkpoints / which, folder.name + "\n")
    _prune(run)
    return folder


def restore(run: RunFolder, template: Any, which: Which = "latest") -> Any:
    """The latest (or best) state, in the structure of the pytree `template` of arrays or `ShapeDtypeStruct`s.

    A template with the field `policy` alone reads nothing else. Raises CheckpointError where there is no checkpoint,
    where the part that is read is damaged, or where it does not fit the template.
    """
    folder = locate(run, which)
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    names = [jax.tree_util.keystr(path) for path, _ in leaves]
    arrays = _read(folder, set(map(_item, names)))
    if arrays is None:
        raise CheckpointError(
            f"checkpoint {folder} is incomplete or damaged; remove {folder} and name another checkpoint in "
            f"{run.checkpoints / which}."
        )
    restored = []
    for name, (_, leaf) in zip(names, leaves, strict=True):
        shape = np.shape(_data(leaf))
        found = arrays.get(name) if math.prod(shape) else np.zeros(shape)
        if found is None or found.shape != shape:
            raise CheckpointError(
                f"checkpoint {folder} does not fit this run's configuration: {name} is missing or has another shape."
            )
        restored.append(_like(leaf, found))
    return jax.tree_util.tree_unflatten(structure, restored)


def locate(run: RunFolder, which: Which = "latest") -> Path:
    """The folder of a checkpoint; its name is the number of steps. Raises CheckpointError where there is none."""
    pointer = run.checkpoints / which
    if not pointer.is_file():
        raise CheckpointError(f"run {run.path} has no checkpoint yet.")
    name = pointer.read_text(encoding="utf-8").strip()
    if not name or not (run.checkpoints / name).is_dir():
        raise CheckpointError(f"run {run.path} names {name!r} as its {which} checkpoint, but it is not there.")
    return run.checkpoints / name


def _item(name: str) -> str:
    return _ITEMS[0] if name.startswith(".policy") else _ITEMS[1]


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


def _read(folder: Path, items: Iterable[str]) -> dict[str, np.ndarray] | None:
    """The arrays of these items by name; None where a file differs from its digest."""
    home, others = folder, tuple(f"{item}/" for item in _ITEMS if item not in items)
    if (folder / "arrays").is_dir():
        home, others, items = folder / "arrays", (), [""]
    try:
        written = json.loads((folder / "digest.json").read_text(encoding="utf-8"))
        if _digests(home, others) != {name: one for name, one in written.items() if not name.startswith(others)}:
            return None
    except (OSError, ValueError):
        return None
    with orbax.PyTreeCheckpointer() as reader:
        trees = [reader.restore((home / item).resolve()) for item in items if (home / item).is_dir()]
    return {name: array for tree in trees for name, array in tree.items()}


def _digests(folder: Path, others: tuple[str, ...] = ()) -> dict[str, str]:
    """SHA-256 of every file by its path in the folder, except paths that begin with one of `others`."""
    files = {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}
    return {
        name: hashlib.sha256(file.read_bytes()).hexdigest()
        for name, file in files.items()
        if name != "digest.json" and not name.startswith(others)
    }


def _prune(run: RunFolder) -> None:
    kept = {locate(run, which).name for which in ("latest", "best") if (run.checkpoints / which).is_file()}
    numbered = sorted(folder for folder in run.checkpoints.iterdir() if folder.name.isdigit())
    for folder in numbered[:-_KEEP]:
        if folder.name not in kept:
            shutil.rmtree(folder)
