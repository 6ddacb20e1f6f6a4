"""The zoo: trained policies that ship with the package, named zoo:NAME wherever a run folder is.

    safepursuit/zoo/index.json    {"pursuer": {"sha256": …, "summary": …}, …}
    safepursuit/zoo/NAME.npz      the policy's arrays by name, config.yaml, provenance.json, the format's version

A policy is unpacked into a run folder in the user's cache when it is first named. Nothing is pickled.
"""

import json
import shutil
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import jax
import numpy as np
from platformdirs import user_cache_path

import safepursuit
from safepursuit.experiment.config import TrainConfig
from safepursuit.experiment.run import Learned, TrainedRun, policy_shapes, store_policy
from safepursuit.runs import configuration
from safepursuit.runs.folder import RunFolder, RunFolderError, replacing, write_json, write_text

PREFIX = "zoo:"
VERSION = 1
"""Of the files."""

_FILES = Path(safepursuit.__file__).parent / "zoo"


def catalogue(files: Path = _FILES) -> Mapping[str, Mapping[str, str]]:
    """What is in the zoo: its digest and a sentence, by name."""
    index = files / "index.json"
    found: dict[str, dict[str, str]] = json.loads(index.read_text(encoding="utf-8")) if index.is_file() else {}
    return found


def in_zoo(name: str | Path) -> bool:
    """Whether this names a policy of the zoo, not a run folder."""
    return str(name).startswith(PREFIX)


def open_run(name: str | Path) -> RunFolder:
    """The run of this folder, or of a name in the zoo such as zoo:pursuer. Raises RunFolderError for none."""
    return unpacked(str(name).removeprefix(PREFIX)) if in_zoo(name) else RunFolder.open(Path(name))


def unpacked(name: str, files: Path = _FILES, cache: Path | None = None) -> RunFolder:
    """The run folder of a policy of the zoo, made in the user's cache if it is not there.

    Raises RunFolderError for an unknown name, and for a file that is damaged or of another version.
    """
    known = catalogue(files)
    if name not in known:
        raise RunFolderError(f"the zoo has no {name!r}; it has {', '.join(known) or 'nothing'}.")
    content, digest = (files / f"{name}.npz").read_bytes(), known[name]["sha256"]
    if sha256(content).hexdigest() != digest:
        raise RunFolderError(f"the file of {PREFIX}{name} is damaged: install safepursuit again.")
    home = (cache or user_cache_path("safepursuit") / "zoo") / f"{name}-{digest[:16]}"
    if not (home / "config.yaml").is_file():
        home.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(mkdtemp(prefix=f".{name}-", dir=home.parent))
        try:
            _unpack(files / f"{name}.npz", RunFolder(partial))
            if not home.exists():
                partial.rename(home)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return RunFolder.open(home)


def _unpack(file: Path, run: RunFolder) -> None:
    with np.load(file, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    if int(arrays.pop("version")) != VERSION:
        raise RunFolderError(f"{file} is of another version than this safepursuit reads: install a matching one.")
    text, steps = str(arrays.pop("config")), int(arrays.pop("steps"))
    config = configuration.parse(TrainConfig(), text, str(file))
    leaves, structure = jax.tree_util.tree_flatten_with_path(policy_shapes(config))
    given = [arrays[jax.tree_util.keystr(path)] for path, _ in leaves]
    write_text(run.path / "README.md", str(arrays["card"]))
    learned = jax.tree_util.tree_unflatten(structure, given)
    store_policy(run, learned.policy, steps, text, json.loads(str(arrays["provenance"])))


def pack(run: TrainedRun, name: str, summary: str, card: str, files: Path = _FILES) -> Path:
    """Put a policy into the zoo under this name, with a sentence about it and its model card; returns its file."""
    assert run.folder is not None
    leaves = jax.tree_util.tree_flatten_with_path(Learned(run.policy))[0]
    content: Any = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}
    provenance = (run.folder.path / "provenance.json").read_text(encoding="utf-8")
    texts: Any = {"config": configuration.dump(run.config), "provenance": provenance, "card": card}
    files.mkdir(exist_ok=True)
    with replacing(files / f"{name}.npz") as stream:
        np.savez_compressed(stream, version=VERSION, steps=run.steps, **texts, **content)
    digest = sha256((files / f"{name}.npz").read_bytes()).hexdigest()
    entry = {name: {"sha256": digest, "summary": summary}}
    write_json(files / "index.json", dict(catalogue(files)) | entry)
    return files / f"{name}.npz"
