"""Every file of a run, flipped, cut, emptied, replaced or removed: what is read is the same, or a sentence says so."""

import shutil
import warnings
from dataclasses import replace

import jax
import numpy as np
import pytest

from safepursuit.experiment import create_run, load_run
from safepursuit.learn import BarrierNetTrainer
from safepursuit.runs.folder import RunFolder
from tiny import TINY, numbers

FLIPS = 20


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run with a summary, and another one of the same shape to take files from."""
    home = tmp_path_factory.mktemp("runs")
    for name, seed in (("run", 7), ("other", 8)):
        config = replace(TINY, seed=seed)
        trainer = BarrierNetTrainer(config, create_run(home / name, config, ["safepursuit", "train"]))
        trainer.train()
    return home


def files(home):
    """Every file by its path in the run."""
    run = home / "run"
    return sorted(file.relative_to(run) for file in run.rglob("*") if file.is_file())


def policy(path):
    """What `evaluate`, `render` and `export` read: configuration, steps and every parameter."""
    run = load_run(RunFolder.open(path))
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(run.policy) if hasattr(leaf, "dtype")]
    return run.config, run.steps, [(leaf.shape, leaf.tobytes()) for leaf in leaves]


def training(path):
    """What `resume` reads: configuration and everything that decides how a training goes on."""
    trainer = BarrierNetTrainer.resumed(RunFolder.open(path))
    return trainer.config, {name: array.tobytes() for name, array in numbers(trainer.state)}


def damages(content, other, rng, flips):
    """Name and new content, None for a file that is gone."""
    for number in range(flips if content else 0):
        flipped = bytearray(content)
        place = int(rng.integers(len(content)))
        flipped[place] ^= 1 << int(rng.integers(8))
        yield f"flip {number} at {place}", bytes(flipped)
    yield "cut", content[: len(content) // 2]
    yield "longer", content + b"\0"
    yield "emptied", b""
    yield "removed", None
    if other is not None and other != content:
        yield "replaced", other


def check(home, tmp_path, read, flips, names):
    """Damage the files of these names; `read` must give the same, or warn, or raise one sentence."""
    expected, rng = read(home / "run"), np.random.default_rng(0)
    noticed = tried = 0
    for name in names:
        original, twin = home / "run" / name, home / "other" / name
        content = original.read_bytes()
        other = twin.read_bytes() if twin.is_file() else None
        for what, damaged in damages(content, other, rng, flips):
            copy = tmp_path / "copy"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(home / "run", copy)
            if damaged is None:
                (copy / name).unlink()
            else:
                (copy / name).write_bytes(damaged)
            tried += 1
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                try:
                    found = read(copy)
                except ValueError as error:
                    noticed += 1
                    assert str(error).strip(), f"{name}, {what}: no word"
                    assert len(str(error)) < 1000, f"{name}, {what}: {error}"
                    assert "Traceback" not in str(error)
                    continue
            spoken = [one for one in told if one.category.__module__.startswith("safepursuit")]
            noticed += bool(spoken)
            assert found == expected or spoken, f"{name}, {what}: another result, and nothing said"
    return tried, noticed


@pytest.mark.parametrize("read", [policy, training], ids=["evaluate", "resume"])
def test_damage_to_any_file_is_noticed_or_changes_nothing(whole, tmp_path, read):
    """A file of each kind, at two places; all files at twenty among the long tests."""
    kinds = {}
    for name in files(whole):
        kinds.setdefault((name.parts[0], name.suffix, name.name if len(name.parts) < 3 else ""), name)
    tried, noticed = check(whole, tmp_path, read, 2, kinds.values())
    assert tried >= 5 * len(kinds)
    assert noticed >= 10


@pytest.mark.heavy
@pytest.mark.parametrize("read", [policy, training], ids=["evaluate", "resume"])
def test_damage_to_every_file_at_twenty_places_is_noticed_or_changes_nothing(whole, tmp_path, read):
    tried, noticed = check(whole, tmp_path, read, FLIPS, files(whole))
    assert tried >= 20 * len(files(whole))
    assert noticed >= 100
