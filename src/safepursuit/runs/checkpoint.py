"""Checkpoints: a training state as named arrays, written in one step and checked when read.

checkpoints/000000409600/policy/      the policy (Orbax)
checkpoints/000000409600/training/    all other state: optimiser, games, keys, counters
checkpoints/000000409600/digest.json  SHA-256 of every file; the two folders are checked separately; and, as
                                      /config.yaml, of the configuration with which it was trained
checkpoints/latest, checkpoints/best  the names of two checkpoints, and the SHA-256 of their digest.json: a damaged
                                      name is noticed

Earlier checkpoints hold everything in one folder, `arrays`, and stay readable.
"""

import glob
import hashlib
import json
import math
import shutil
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import jax
import numpy as np
import orbax.checkpoint as orbax

from safepursuit.runs.folder import RunFolder, keep_on_disk, write_json, write_text

Which = Literal["latest", "best"]

_ITEMS = _POLICY, _TRAINING = "policy", "training"

_KEEP = 3
"""Checkpoints kept: the newest, besides the best."""

_MARGIN = 200_000
"""Bytes that a checkpoint takes beside its arrays, roughly."""

_FORMER = (
    (".players.state.pursuer_control", ".games.state.robots[0].control"),
    (".players.state.evader_control", ".games.state.robots[1].control"),
    (".players.state.pursuer", ".games.state.robots[0].pose"),
    (".players.state.evader", ".games.state.robots[1].pose"),
    (".players.", ".games."),
)
"""Beginnings of names in checkpoints of release 0.1, and what they are now."""

_PATIENCE = 0.1
"""Seconds after which a checkpoint that cannot be read is read again."""


class CheckpointWarning(UserWarning):
    """A checkpoint is damaged, and an earlier one takes its place; or it was trained with another configuration."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message is one sentence for the user."""


def save(run: RunFolder, step: int, state: Any, *, best: bool) -> Path:
    """Write the arrays of the pytree `state`, then point `latest` (and `best`) to them; returns the folder.

    The field `policy` can be restored by itself. Raises CheckpointError on a full disk.
    """
    folder = run.checkpoints / f"{step:012d}"
    partial = run.checkpoints / f".{folder.name}.partial"
    again = _named(run, "best") == folder  # saved once more, with another digest
    items: dict[str, dict[str, Any]] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
        name, array = jax.tree_util.keystr(path), np.asarray(_data(leaf))
        if array.size:  # Orbax refuses empty arrays
            items.setdefault(_item(name), {})[name] = array
    try:
        shutil.rmtree(partial, ignore_errors=True)
        check_space(run, state)
        _write(partial / folder.name, items, _configured(run))
        keep_on_disk(*sorted((partial / folder.name).rglob("*"), reverse=True), partial / folder.name)
        shutil.rmtree(folder, ignore_errors=True)
        (partial / folder.name).rename(folder)
        partial.rmdir()
        keep_on_disk(run.checkpoints)  # before a pointer names it
        for which in ("latest", *(["best"] if best or again else [])):
            write_text(run.checkpoints / which, f"{folder.name}\n{_seal(folder)}\n")
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, Exception):
            check_space(run, state)  # Orbax has many words for a full disk
        raise
    _prune(run)
    return folder


def _write(folder: Path, items: dict[str, dict[str, Any]], outside: dict[str, str]) -> None:
    content = orbax.args.Composite(**{item: orbax.args.PyTreeSave(arrays) for item, arrays in items.items()})
    folder.parent.mkdir(parents=True)
    with _plain(folder.parent.resolve()) as home, orbax.Checkpointer(orbax.CompositeCheckpointHandler()) as writer:
        writer.save(home / folder.name, content)
    write_json(folder / "digest.json", _digests(folder) | outside)


@contextmanager
def _plain(folder: Path) -> Iterator[Path]:
    """A path to the folder without brackets, which Orbax takes for a pattern when it completes a checkpoint."""
    if glob.escape(str(folder)) == str(folder):
        yield folder
    else:
        with TemporaryDirectory() as home:
            link = Path(home) / "run"
            link.symlink_to(folder, target_is_directory=True)
            yield link


def check_space(run: RunFolder, state: Any) -> None:
    """Raise CheckpointError where the disk has no room for a checkpoint of this state."""
    size = _MARGIN + sum(getattr(_data(leaf), "nbytes", 8) for leaf in jax.tree.leaves(state))
    free = shutil.disk_usage(run.checkpoints).free
    if free < size:
        raise CheckpointError(
            f"the disk is full: a checkpoint takes {size / 1e6:.1f} MB, and {run.checkpoints} has {free / 1e6:.1f} MB "
            "left."
        )


def restore(run: RunFolder, template: Any, which: Which | int = "latest") -> Any:
    """The latest (or best) state, or that after so many steps, in the structure of the pytree `template`.

    A template, of arrays or `ShapeDtypeStruct`s, with the field `policy` alone reads nothing else. Where the part that
    is read is damaged in the latest checkpoint, the one before it is read, with a warning. Raises CheckpointError where
    none is left, or where it does not fit the template.
    """
    return restored(run, template, which)[0]


def restored(run: RunFolder, template: Any, which: Which | int = "latest") -> tuple[Any, int]:
    """As `restore`, with the number of steps of the checkpoint that was read."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    names = [jax.tree_util.keystr(path) for path, _ in leaves]
    items = set(map(_item, names))
    folder, arrays = Path(), {}
    while not folder.name or not folder.is_dir():  # a training may have removed it while it was read
        folder = _intact(run, which, items)
        try:
            arrays = _read(folder, items)
        except (OSError, ValueError):
            if folder.is_dir():
                raise
    _compare_configuration(run, folder)
    found = []
    for name, (_, leaf) in zip(names, leaves, strict=True):
        shape = np.shape(_data(leaf))
        array = arrays.get(name) if math.prod(shape) else np.zeros(shape)
        if array is None or array.shape != shape:
            raise CheckpointError(
                f"checkpoint {folder} does not fit this run's configuration: {name} is missing or has another shape."
            )
        found.append(_like(leaf, array))
    return jax.tree_util.tree_unflatten(structure, found), int(folder.name)


def _configured(run: RunFolder) -> dict[str, str]:
    """SHA-256 of config.yaml but for the total of steps, which `resume` may raise; nothing where there is none.

    Its name is that of no file of a checkpoint.
    """
    try:
        lines = run.config.read_bytes().splitlines()
    except OSError:
        return {}
    return {
        "/config.yaml": hashlib.sha256(
            b"\n".join(one for one in lines if not one.startswith(b"timesteps:"))
        ).hexdigest()
    }


def _compare_configuration(run: RunFolder, folder: Path) -> None:
    """Warn where config.yaml is not the one with which the checkpoint was trained; earlier ones do not tell."""
    written, now = _written(folder).get("/config.yaml"), _configured(run)
    if written is not None and now and written != now["/config.yaml"]:
        warnings.warn(
            f"{run.config} was changed or damaged since checkpoint {folder.name} was trained with it; it is used as "
            "it is.",
            CheckpointWarning,
            stacklevel=2,
        )


def exists(run: RunFolder) -> bool:
    """Whether the run has a checkpoint, damaged or not."""
    return bool(_numbered(run))


def steps(run: RunFolder) -> int:
    """Environment steps of the latest policy that can be read. Raises CheckpointError where there is none."""
    return int(_intact(run, "latest", {_POLICY}).name)


def _intact(run: RunFolder, which: Which | int, items: set[str]) -> Path:
    """The checkpoint of this name; for the latest, the newest one before it if these items of it are damaged."""
    for patience in (_PATIENCE, 0.0):
        named, sure = _pointed(run, which)
        if named and _undamaged(named, items):
            if sure:
                return named
            if not patience:
                warnings.warn(
                    f"{run.checkpoints / str(which)} is damaged: {named.name}, which it names, may not be the one that "
                    "it was written for.",
                    CheckpointWarning,
                    stacklevel=2,
                )
                return named
        time.sleep(patience if named else 0.0)  # a training may have replaced it meanwhile
    numbered = _numbered(run)
    if not numbered:
        raise CheckpointError(f"run {run.path} has no checkpoint yet.")
    if isinstance(which, int):
        raise CheckpointError(f"run {run.path} has no undamaged checkpoint at step {which:,}.")
    pointer = run.checkpoints / which
    lost = f"checkpoint {named} is incomplete or damaged" if named else f"{pointer} names no checkpoint"
    if which == "best":
        raise CheckpointError(f"{lost}: take the latest one, or name another one in {pointer}.")
    for folder in reversed(numbered[: numbered.index(named)] if named else numbered):
        if _undamaged(folder, items):
            gone = f": the {int(named.name) - int(folder.name):,} steps after it are lost" if named else ""
            warnings.warn(f"{lost}; {folder.name} is used instead{gone}.", CheckpointWarning, stacklevel=2)
            return folder
    raise CheckpointError(f"{lost}, and there is none before it that can be used: train anew in another run folder.")


def _numbered(run: RunFolder) -> list[Path]:
    """The folders of all checkpoints, oldest first."""
    return sorted(one for one in run.checkpoints.glob("[0-9]*") if one.name.isdigit())


def _named(run: RunFolder, which: Which | int) -> Path | None:
    """The folder of a number of steps, or to which a pointer points; None where it is not there."""
    return _pointed(run, which)[0]


def _pointed(run: RunFolder, which: Which | int) -> tuple[Path | None, bool]:
    """As `_named`, and whether that is sure: a pointer has the digest of its checkpoint, earlier ones have none.

    The digest decides. Where it is that of no checkpoint, the name is taken, which may be damaged.
    """
    if isinstance(which, int):
        folder = run.checkpoints / f"{which:012d}"
        return (folder, True) if folder.is_dir() else (None, False)
    try:
        name, seal = (*(run.checkpoints / which).read_text(encoding="utf-8").split(), "", "")[:2]
    except (OSError, UnicodeDecodeError):
        return None, False
    for folder in _numbered(run):
        if _seal(folder) == seal:
            return folder, True
    folder = run.checkpoints / name
    return (folder, not seal) if name.isdigit() and folder.is_dir() else (None, False)


def _item(name: str) -> str:
    return _POLICY if name.startswith(".policy") else _TRAINING


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


def _layout(folder: Path, items: Iterable[str]) -> tuple[Path, Iterable[str], tuple[str, ...]]:
    """Where the items lie, their names there, and the beginnings of the paths of all others."""
    if (folder / "arrays").is_dir():
        return folder / "arrays", [""], ("/",)
    return folder, items, ("/", *(f"{item}/" for item in _ITEMS if item not in items))


def _undamaged(folder: Path, items: Iterable[str]) -> bool:
    """Whether every file of these items is there and as its digest says."""
    home, _, others = _layout(folder, items)
    try:
        written = _written(folder)
        return _digests(home, others) == {name: one for name, one in written.items() if not name.startswith(others)}
    except (OSError, ValueError, AttributeError):
        return False


def _written(folder: Path) -> dict[str, str]:
    """The contents of digest.json. Raises OSError, ValueError or AttributeError where it is none."""
    return dict(json.loads((folder / "digest.json").read_text(encoding="utf-8")).items())


def _seal(folder: Path) -> str:
    """SHA-256 of digest.json; "none" where there is none."""
    try:
        return hashlib.sha256((folder / "digest.json").read_bytes()).hexdigest()
    except OSError:
        return "none"


def _read(folder: Path, items: Iterable[str]) -> dict[str, np.ndarray]:
    """The arrays of these items by name."""
    home, items, _ = _layout(folder, items)
    with orbax.PyTreeCheckpointer() as reader:
        trees = [reader.restore((home / item).resolve()) for item in items if (home / item).is_dir()]
    return {_present_name(name): array for tree in trees for name, array in tree.items()}


def _present_name(name: str) -> str:
    for former, now in _FORMER:
        if name.startswith(former):
            return now + name[len(former) :]
    return name


def _digests(folder: Path, others: tuple[str, ...] = ()) -> dict[str, str]:
    """SHA-256 of every file by its path in the folder, except paths that begin with one of `others`."""
    files = {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}
    return {
        name: hashlib.sha256(file.read_bytes()).hexdigest()
        for name, file in files.items()
        if name != "digest.json" and not name.startswith(others)
    }


def _prune(run: RunFolder) -> None:
    kept = {folder.name for which in ("latest", "best") if (folder := _named(run, which))}
    for folder in _numbered(run)[:-_KEEP]:
        if folder.name not in kept:
            shutil.rmtree(folder)
