"""Every file of a run, flipped, cut, emptied, replaced or removed: what is read is the same, or a sentence says so."""

import shutil
import warnings
from dataclasses import replace
from pathlib import Path

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


def reading(read, path):
    """What was read, None where it was refused; and the sentences of the refusal or of warnings."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            found = read(path)
        except ValueError as error:
            return None, [str(error)]
    return found, [str(one.message) for one in told if one.category.__module__.startswith("safepursuit")]


def check(home, tmp_path, read, flips, names):
    """Damage the files of these names; `read` must give the same, or warn, or refuse in a sentence."""
    expected, rng = read(home / "run"), np.random.default_rng(0)
    noticed = tried = 0
    for name in names:
        content, twin = (home / "run" / name).read_bytes(), home / "other" / name
        for what, damaged in damages(content, twin.read_bytes() if twin.is_file() else None, rng, flips):
            copy = tmp_path / "copy"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(home / "run", copy)
            (copy / name).unlink()
            if damaged is not None:
                (copy / name).write_bytes(damaged)
            found, said = reading(read, copy)
            tried, noticed = tried + 1, noticed + bool(said)
            assert all(0 < len(one.strip()) < 1000 and "Traceback" not in one for one in said), (
                f"{name}, {what}: {said}"
            )
            assert found == expected or said, f"{name}, {what}: another result, and nothing said"
    return tried, noticed


@pytest.mark.wide
def test_damage_to_any_file_is_noticed_or_changes_nothing(whole, tmp_path):
    """A file of each kind, at one place, as `evaluate` reads it; all files at twenty places among the long tests."""
    kinds = {}
    for name in files(whole):
        kinds.setdefault((name.parts[0], name.suffix, name.name if len(name.parts) < 3 else ""), name)
    tried, noticed = check(whole, tmp_path, policy, 1, kinds.values())
    assert tried >= 4 * len(kinds)
    assert noticed >= 10


@pytest.mark.heavy
@pytest.mark.parametrize("read", [policy, training], ids=["evaluate", "resume"])
def test_damage_to_every_file_at_twenty_places_is_noticed_or_changes_nothing(whole, tmp_path, read):
    tried, noticed = check(whole, tmp_path, read, FLIPS, files(whole))
    assert tried >= 20 * len(files(whole))
    assert noticed >= 100


def test_a_run_of_release_0_1_is_read_and_goes_on(tmp_path):
    """Trained by commit 698acf3; its parameters as that release reads them."""
    old = shutil.copytree(Path(__file__).parent / "data" / "run-0.1", tmp_path / "old")
    run = load_run(RunFolder.open(old))
    assert (run.steps, run.config.method, run.config.game.horizon) == (64, "barriernet", 30)
    sums = [float(np.sum(np.asarray(leaf, float))) for leaf in jax.tree.leaves(run.policy) if hasattr(leaf, "dtype")]
    assert sums[:4] == pytest.approx([2.2234364934265614, 3.628118246586382, 64.0, 3.5181297920644283])
    trainer = BarrierNetTrainer.resumed(RunFolder.open(old), timesteps=96)
    assert (trainer.state.steps, trainer.state.iteration, len(trainer.history)) == (64, 2, 2)
    assert np.abs(trainer.state.games.state.pursuer[:2]).max() < 10
    assert not trainer.finished
