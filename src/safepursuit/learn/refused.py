"""The batch of an update that is refused, kept so that its fault can be looked for."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from safepursuit.learn.rollout import Rollout
from safepursuit.policy import Policy
from safepursuit.runs.folder import RunFolder, replacing

MOST = 3
"""Batches that a run keeps: a training that leaves out one update after the other does not fill the disk."""


class Batch(NamedTuple):
    """What an update begins with."""

    policy: Policy
    rollout: Rollout
    learning_rate: float


def has_room(run: RunFolder) -> bool:
    """Whether the run keeps a further batch."""
    return len(list(run.nonfinite.glob("*.npz"))) < MOST


def keep(run: RunFolder, iteration: int, batch: Batch) -> Path | None:
    """Write every array to nonfinite/iteration-N.npz, under its path in the batch.

    None where the run has `MOST` of them, or the disk takes no more.
    """
    if not has_room(run):
        return None
    file = run.nonfinite / f"iteration-{iteration}.npz"
    leaves = jax.tree_util.tree_flatten_with_path(batch)[0]
    arrays: dict[str, Any] = {jax.tree_util.keystr(path).lstrip("."): np.asarray(leaf) for path, leaf in leaves}
    try:
        run.nonfinite.mkdir(exist_ok=True)
        with replacing(file) as stream:
            np.savez_compressed(stream, **arrays)
    except OSError:
        return None
    return file
