"""Configuration files, run folders, checkpoints, metric logs, the live display: nothing is lost or taken silently."""

import csv
import hashlib
import io
import json
import math
import shutil
import struct
import threading
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml
from rich.console import Console
from tensorboardX.proto.event_pb2 import Event

from safepursuit.experiment import PPOConfig, TrainConfig, load_run
from safepursuit.game import Game, Reward
from safepursuit.learn import BarrierNetTrainer
from safepursuit.robot import Unicycle
from safepursuit.runs import checkpoint, configuration, folder
from safepursuit.runs.checkpoint import CheckpointError, CheckpointWarning
from safepursuit.runs.configuration import ConfigurationError
from safepursuit.runs.console import TrainingDisplay
from safepursuit.runs.folder import RunFolder, RunFolderError, write_json
from safepursuit.runs.metrics import MetricsLog, read_metrics
from safepursuit.scene import Arena
from safepursuit.shield import Shield
from tiny import TINY, numbers

# --- configuration -----------------------------------------------------------------------------------------------

FULL = TrainConfig(
    method="ppo",
    evader="flee",
    timesteps=12_345,
    num_envs=3,
    rollout_length=10,
    seed=9,
    role="evader",
    pursuer="voronoi",
    checkpoint_every=7,
    evader_shielded=False,
    game=Game(
        Arena((7.0, 5.5), 4, (0.2, 0.7), 0.75, True),
        Unicycle(0.2, 0.9, 2.0, 0.04, "arc"),
        evader_speed_ratio=1.1,
        horizon=77,
        start_clearance=0.4,
        collision_terminates=True,
        reward=Reward(capture=3.0, time=0.25),
    ),
    shield=Shield(offset=0.15, gain=0.7, robot_barrier=True, robot_gain=0.9),
    policy=replace(TINY.policy, hidden=(8, 4, 2), learned_gains=False),
    ppo=PPOConfig(learning_rate=3e-4, minibatches=5, decay=False),
)


def test_the_round_trip_of_a_configuration_loses_nothing(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(configuration.dump(FULL))
    assert configuration.load(TrainConfig(), file) == FULL
    # Plain YAML: any reader sees the same.
    plain = yaml.safe_load(configuration.dump(FULL))
    assert plain["game"]["arena"]["half_extents"] == [7.0, 5.5]
    assert plain["policy"]["hidden"] == [8, 4, 2]


def test_a_file_says_only_what_differs(tmp_path):
    file = tmp_path / "few.yaml"
    file.write_text("seed: 5\nppo:\n  learning_rate: 1\ngame:\n  arena:\n    obstacles: 3.0\n")
    loaded = configuration.load(TrainConfig(), file)
    expected = replace(
        TrainConfig(seed=5),
        ppo=PPOConfig(learning_rate=1.0),
        game=replace(Game(), arena=Arena(obstacles=3)),
    )
    assert loaded == expected
    assert type(loaded.ppo.learning_rate) is float
    assert type(loaded.game.arena.obstacles) is int
    assert configuration.load(FULL, file).evader == "flee"  # what the file does not say stays


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sed: 5", r"unknown key 'sed'; did you mean 'seed'\?"),
        ("ppo:\n  learning_rat: 1", r"unknown key 'ppo.learning_rat'; did you mean 'learning_rate'\?"),
        ("zzz: 1", "unknown key 'zzz'; known are checkpoint_every, .*, timesteps"),
        ("seed: five", "seed must be a whole number, not 'five'"),
        ("seed: 1.5", "seed must be a whole number, not 1.5"),
        ("seed: true", "seed must be a whole number, not True"),
        ("evader: 3", "evader must be a word, not 3"),
        ("evader_shielded: 1", "evader_shielded must be true or false, not 1"),
        ("ppo: 3", "ppo must hold keys and values, not 3"),
        ("policy:\n  hidden: 64", "policy.hidden must be a list, not 64"),
        ("policy:\n  hidden: [10000000]", "policy hidden and disc_width may be at most 65,536, not 10,000,000"),
        ("policy:\n  hidden: [64, wide]", "policy.hidden must be a whole number, not 'wide'"),
        ("ppo:\n  clip: null", "ppo.clip must be a number, not None"),
        ("- 1\n- 2", "must hold keys and values"),
        ("seed: [1", "cannot be read"),
        ("seed: ${nowhere}", "seed is .* interpolations are not read"),
        ("evader: ${oc.env:HOME}", r"evader is '\$\{oc.env:HOME\}': interpolations are not read"),
        ("seed: &here 1\nnum_envs: *here", "uses an alias"),
        ("seed: !!python/object/apply:os.getcwd []", "cannot be read"),
        ("[" * 5000, "nested too deeply"),
        ("#" * 1_000_001, "larger than 1,000,000 bytes"),
        ("evader: nobody", "unknown evader 'nobody'; known are random, run, flee"),
        ("rollout_length: 10", "cannot be cut into 8 minibatches"),
        ("game:\n  robot:\n    max_turn_rate: 40", "the robot may turn 2.00 rad"),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence(tmp_path, text, message):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        configuration.load(TrainConfig(), file)
    assert "\n" not in str(caught.value)
    if isinstance(caught.value, ConfigurationError):
        assert str(file) in str(caught.value)


def test_a_missing_or_binary_file_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="does not exist"):
        configuration.load(TrainConfig(), tmp_path / "none.yaml")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        configuration.load(TrainConfig(), tmp_path)
    file = tmp_path / "noise.yaml"
    file.write_bytes(bytes(range(256)))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        configuration.load(TrainConfig(), file)


def test_an_empty_file_changes_nothing(tmp_path):
    file = tmp_path / "empty.yaml"
    file.write_text("")
    assert configuration.load(FULL, file) == FULL


# --- run folders -------------------------------------------------------------------------------------------------


def create(path, config=TINY):
    return RunFolder.create(path, configuration.dump(config), ["safepursuit", "train", "--evader", "two words"])


def test_a_run_folder_says_where_it_comes_from(tmp_path):
    run = create(tmp_path / "a" / "b")
    assert (run.path / "command.txt").read_text() == "safepursuit train --evader 'two words'\n"
    provenance = json.loads((run.path / "provenance.json").read_text())
    assert provenance["packages"]["safepursuit"] == "0.1.0"
    assert provenance["packages"]["jax"] == jax.__version__
    assert provenance["cores"] >= 1
    assert configuration.load(TrainConfig(), run.config) == TINY
    for sub in (run.checkpoints, run.evaluations, run.figures):
        assert sub.is_dir()
    assert RunFolder.open(run.path).config == run.config


def test_nothing_is_overwritten(tmp_path):
    run = create(tmp_path / "run")
    before = {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()}
    with pytest.raises(RunFolderError, match=r"already exists and is not empty: .*: safepursuit resume /"):
        create(run.path)
    assert {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()} == before
    (tmp_path / "file").write_text("precious")
    with pytest.raises(RunFolderError, match="already exists"):
        create(tmp_path / "file")
    with pytest.raises(RunFolderError, match="cannot be created"):
        create(tmp_path / "file" / "below")
    (tmp_path / "empty").mkdir()
    create(tmp_path / "empty")


def test_what_is_no_run_folder_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="does not exist"):
        RunFolder.open(tmp_path / "none")
    with pytest.raises(RunFolderError, match=r"not a run folder: it has no config\.yaml"):
        RunFolder.open(tmp_path)


def test_small_files_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    file = tmp_path / "deep" / "result.json"
    write_json(file, {"größe": 1.5})
    assert json.loads(file.read_text(encoding="utf-8")) == {"größe": 1.5}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(file, {"größe": math.nan})

    def power_cut(*_):
        raise OSError("power cut")

    monkeypatch.setattr(folder.os, "replace", power_cut)
    with pytest.raises(OSError, match="power cut"):
        write_json(file, {"größe": 2.5})
    assert json.loads(file.read_text(encoding="utf-8")) == {"größe": 1.5}


def test_outside_of_git_there_is_no_commit(monkeypatch):
    def missing(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(folder.subprocess, "run", missing)
    assert folder.provenance()["commit"] is None


# --- checkpoints -------------------------------------------------------------------------------------------------


class State(NamedTuple):
    weights: dict[str, jax.Array]
    flags: jax.Array
    key: jax.Array
    steps: int
    best: float


def state(number, width=3):
    return State(
        {"a": jnp.full((2, width), number, jnp.float32), "b": jnp.asarray(1e-45 * number, jnp.float32)},
        jnp.array([True, False]),
        jax.random.key(number),
        number,
        number / 3,
    )


def same(one, two):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        a, b = ((jax.random.key_data(x) if hasattr(x, "dtype") and x.dtype == one.key.dtype else x) for x in (a, b))
        np.testing.assert_array_equal(a, b)
        assert type(a) is type(b)


@pytest.fixture
def run(tmp_path):
    return create(tmp_path / "run")


def test_a_checkpoint_gives_back_every_bit(run):
    checkpoint.save(run, 40, state(4), best=True)
    restored = checkpoint.restore(run, state(0))
    same(restored, state(4))
    assert type(restored.steps) is int
    assert float(jax.random.uniform(restored.key)) == float(jax.random.uniform(state(4).key))


@pytest.mark.parametrize("name", ["[v2] test", "x[/b]", "a*b?", ":smile:"])
def test_a_run_folder_may_have_any_name(tmp_path, name):
    run = create(tmp_path / name)
    checkpoint.save(run, 40, state(4), best=True)
    same(checkpoint.restore(run, state(0)), state(4))
    assert [one.name for one in run.checkpoints.iterdir() if one.is_dir()] == [f"{40:012d}"]


def test_latest_and_best_point_to_what_they_say(run):
    for number, best in ((1, True), (2, False), (3, True), (4, False)):
        checkpoint.save(run, number, state(number), best=best)
    same(checkpoint.restore(run, state(0)), state(4))
    same(checkpoint.restore(run, state(0), "best"), state(3))


def test_the_newest_and_the_best_are_kept(run):
    for number in range(1, 8):
        checkpoint.save(run, number, state(number), best=number == 2)
    kept = sorted(int(one.name) for one in run.checkpoints.iterdir() if one.is_dir())
    assert kept == [2, 5, 6, 7]
    same(checkpoint.restore(run, state(0), "best"), state(2))


def test_without_a_checkpoint_there_is_nothing_to_restore(run):
    with pytest.raises(CheckpointError, match="has no checkpoint yet"):
        checkpoint.restore(run, state(0))


def test_a_checkpoint_of_another_shape_is_refused(run):
    checkpoint.save(run, 1, state(1), best=True)
    with pytest.raises(CheckpointError, match=r"does not fit this run's configuration: \.weights\['a'\]"):
        checkpoint.restore(run, state(0, width=4))
    with pytest.raises(CheckpointError, match="does not fit"):
        checkpoint.restore(run, {"more": jnp.zeros(3)})


@pytest.mark.wide
def test_every_file_of_a_checkpoint_cut_in_half_is_noticed(run):
    """Each file in turn, the pointer too: the checkpoint before takes its place, and nothing is touched."""
    checkpoint.save(run, 1, state(1), best=True)
    newest = checkpoint.save(run, 2, state(2), best=False)
    files = [run.checkpoints / "latest", *newest.rglob("*")]
    files = [file for file in files if file.is_file() and file.stat().st_size > 0]
    assert len(files) >= 5
    for file in files:
        whole = file.read_bytes()
        kept = 9 if file.name == "latest" else len(whole) // 2  # half of a pointer is its name, and more
        for part in (whole[:kept], b"", None):
            file.unlink() if part is None else file.write_bytes(part)
            before = {one: one.read_bytes() for one in run.path.rglob("*") if one.is_file()}
            if newest in file.parents:
                expected, lost = (
                    state(1),
                    f"{newest} is incomplete or damaged; {1:012d} is used .* the 1 steps after it",
                )
            else:  # only the pointer is gone
                expected, lost = state(2), f"{file} names no checkpoint; {2:012d} is used"
            with pytest.warns(CheckpointWarning, match=lost):
                same(checkpoint.restore(run, state(0)), expected)
            assert {one: one.read_bytes() for one in run.path.rglob("*") if one.is_file()} == before
        file.write_bytes(whole)
    same(checkpoint.restore(run, state(0)), state(2))


@pytest.mark.parametrize("which", ["latest", "best"])
def test_a_pointer_whose_name_is_damaged_is_not_followed_to_another_checkpoint(run, which):
    for number in (1, 2):
        checkpoint.save(run, number, state(number), best=True)
    pointer = run.checkpoints / which
    pointer.write_text(pointer.read_text().replace(f"{2:012d}", f"{1:012d}"))
    same(checkpoint.restore(run, state(0), which), state(2))


@pytest.mark.parametrize("which", ["latest", "best"])
def test_the_pointer_of_another_run_is_noticed(run, which):
    """Its name may be that of a checkpoint here; nothing here has its digest."""
    for number in (1, 2):
        checkpoint.save(run, number, state(number), best=True)
    (run.checkpoints / which).write_text(f"{1:012d}\n{64 * '0'}\n")
    with pytest.warns(CheckpointWarning, match=f"{which} is damaged: {1:012d}, which it names, may not be the one"):
        same(checkpoint.restore(run, state(0), which), state(1))


def test_a_best_checkpoint_that_is_saved_once_more_stays_the_best(run):
    checkpoint.save(run, 1, state(1), best=True)
    checkpoint.save(run, 1, state(1), best=False)
    same(checkpoint.restore(run, state(0), "best"), state(1))


def test_where_no_checkpoint_is_left_a_sentence_says_so(run):
    """Of the best there is only one; of all others, the last resort may be damaged too."""
    for number in (1, 2):
        folder = checkpoint.save(run, number, state(number), best=True)
        (folder / "digest.json").unlink()
    with pytest.raises(CheckpointError, match=f"{folder} is incomplete or damaged: take the latest one"):
        checkpoint.restore(run, state(0), "best")
    with pytest.raises(CheckpointError, match=f"{folder} is incomplete or damaged, and there is none before it"):
        checkpoint.restore(run, state(0))


def test_a_file_more_or_less_is_noticed(run):
    folder = checkpoint.save(run, 1, state(1), best=True)
    extra = folder / "training" / "extra"
    extra.write_text("!")
    with pytest.raises(CheckpointError, match="incomplete or damaged"):
        checkpoint.restore(run, state(0))
    extra.unlink()
    next(file for file in (folder / "training").rglob("*") if file.is_file()).unlink()
    with pytest.raises(CheckpointError, match="incomplete or damaged"):
        checkpoint.restore(run, state(0))


def test_a_reader_finds_a_whole_checkpoint_however_a_training_replaces_them(run, monkeypatch):
    """Twice the checkpoint is removed in the reader's hands: before its files are looked at, and after."""
    for moment in ("_undamaged", "_read"):
        checkpoint.save(run, 1, state(1), best=True)
        look = getattr(checkpoint, moment)

        def replaced(folder, items, look=look, moment=moment):
            monkeypatch.setattr(checkpoint, moment, look)
            for number in (1, 2):
                shutil.rmtree(run.checkpoints / f"{number:012d}", ignore_errors=True)
            checkpoint.save(run, 2, state(2), best=True)
            return look(folder, items)

        monkeypatch.setattr(checkpoint, moment, replaced)
        same(checkpoint.restore(run, state(0), "best"), state(2))


def test_a_full_disk_is_noticed_before_it_is_written(run, monkeypatch):
    checkpoint.save(run, 1, state(1), best=True)
    before = {one: one.read_bytes() for one in run.path.rglob("*") if one.is_file()}
    usage = shutil.disk_usage(run.path)
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda _: usage._replace(free=20_000))
    with pytest.raises(
        CheckpointError, match=rf"disk is full: a checkpoint takes 0.2 MB, and {run.checkpoints} has 0.0"
    ):
        checkpoint.save(run, 2, state(2), best=True)
    assert {one: one.read_bytes() for one in run.path.rglob("*") if one.is_file()} == before


def test_leftovers_of_an_interrupted_save_are_ignored(run):
    checkpoint.save(run, 1, state(1), best=True)
    partial = run.checkpoints / f".{2:012d}.partial"
    shutil.copytree(run.checkpoints / f"{1:012d}", partial)
    same(checkpoint.restore(run, state(0)), state(1))
    checkpoint.save(run, 2, state(2), best=False)
    same(checkpoint.restore(run, state(0)), state(2))
    assert not partial.exists()


@pytest.mark.parametrize("moment", ["arrays", "digest", "rename"])
def test_a_save_that_fails_leaves_the_last_checkpoint_alone(run, monkeypatch, moment):
    """Also where it is the same step that is saved again."""
    checkpoint.save(run, 1, state(1), best=True)

    def power_cut(*_, **__):
        raise OSError("power cut")

    target = {
        "arrays": (checkpoint.orbax.Checkpointer, "save"),
        "digest": (checkpoint, "write_json"),
        "rename": (checkpoint, "write_text"),
    }[moment]
    monkeypatch.setattr(*target, power_cut)
    for step in (2, 1) if moment != "rename" else (2,):
        with pytest.raises(OSError, match="power cut"):
            checkpoint.save(run, step, state(9), best=True)
        same(checkpoint.restore(run, state(0)), state(1))
        same(checkpoint.restore(run, state(0), "best"), state(1))
    monkeypatch.undo()
    checkpoint.save(run, 2, state(2), best=False)
    same(checkpoint.restore(run, state(0)), state(2))


def save_in_the_earlier_layout(run, step, state):
    """All arrays in one folder, with their digests beside it."""
    folder = run.checkpoints / f"{step:012d}"
    with checkpoint.orbax.PyTreeCheckpointer() as writer:
        writer.save((folder / "arrays").resolve(), dict(numbers(state)))
    files = [file for file in (folder / "arrays").rglob("*") if file.is_file()]
    digests = {
        file.relative_to(folder / "arrays").as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files
    }
    write_json(folder / "digest.json", digests)
    for pointer in ("latest", "best"):
        (run.checkpoints / pointer).write_text(f"{folder.name}\n")
    return folder


def test_the_policy_is_read_without_the_rest_of_the_state(run):
    trainer = BarrierNetTrainer(TINY, run)
    trainer.save()
    folder = run.checkpoints / f"{0:012d}"
    shutil.rmtree(folder / "training")
    trained = load_run(run, "best")
    assert (trained.config, trained.steps) == (TINY, 0)
    jax.tree.map(np.testing.assert_array_equal, trained.policy, trainer.policy)
    with pytest.raises(CheckpointError, match="incomplete or damaged"):
        BarrierNetTrainer.load(run)
    next(file for file in (folder / "policy").rglob("*") if file.is_file()).unlink()
    with pytest.raises(CheckpointError, match="incomplete or damaged"):
        load_run(run)


def test_a_checkpoint_of_the_earlier_layout_can_be_read(run):
    trainer = BarrierNetTrainer(TINY, run)
    folder = save_in_the_earlier_layout(run, 32, trainer.state)
    trained = load_run(run)
    assert trained.steps == 32
    jax.tree.map(np.testing.assert_array_equal, trained.policy, trainer.policy)
    restored = dict(numbers(BarrierNetTrainer.load(run).state))
    for name, value in numbers(trainer.state):
        np.testing.assert_array_equal(restored[name], value)
    next(file for file in (folder / "arrays").rglob("*") if file.is_file()).unlink()
    with pytest.raises(CheckpointError, match="incomplete or damaged"):
        load_run(run)


def test_no_thread_outlives_a_save(run):
    before = set(threading.enumerate())
    checkpoint.save(run, 1, state(1), best=True)
    assert set(threading.enumerate()) <= before


# --- metric logs -------------------------------------------------------------------------------------------------


def row(iteration, **more):
    return {"iteration": float(iteration), "steps": 32.0 * iteration, "ppo/kl": 0.1 / 3 * iteration} | more


def write(run, rows, after=0):
    log = MetricsLog(run, after)
    for one in rows:
        log.write(one)
    log.close()


def test_every_row_is_on_disk_when_it_is_written(run):
    log = MetricsLog(run)
    for number in (1, 2, 3):
        log.write(row(number))
        with run.metrics.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == number
        assert float(rows[-1]["ppo/kl"]) == 0.1 / 3 * number
    log.close()


def test_a_log_that_goes_on_drops_what_was_lost(run):
    """Rows beyond the checkpoint, and a row that was cut short."""
    write(run, [row(k) for k in range(1, 6)])
    with run.metrics.open("a") as file:
        file.write("6.0,19")
    assert [one["iteration"] for one in read_metrics(run)] == [1, 2, 3, 4, 5]
    write(run, [row(4, **{"ppo/kl": math.nan}), row(5)], after=3)
    rows = read_metrics(run)
    assert [one["iteration"] for one in rows] == [1, 2, 3, 4, 5]
    assert [one["steps"] for one in rows] == [32 * k for k in range(1, 6)]
    assert math.isnan(rows[3]["ppo/kl"])
    assert rows[1] == row(2)  # to the last bit
    write(run, [], after=0)
    assert read_metrics(run) == []


def test_a_disk_that_fills_up_is_noticed_before_the_row_is_written(run, monkeypatch):
    """tensorboardX would wait for ever for its thread, which has died."""
    write(run, [row(1)])
    log = MetricsLog(run, 1)
    usage = shutil.disk_usage(run.path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=20_000))
    with pytest.raises(OSError, match=f"No space left on device: '{run.metrics}'"):
        log.write(row(2))
    log.close()
    assert read_metrics(run) == [row(1)]


def scalars(run):
    """(step, name) → value of all TensorBoard events, by their wire format: length, checksum, message, checksum."""
    found = {}
    for file in sorted(run.tensorboard.iterdir()):
        data, at = file.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack("<Q", data[at : at + 8])
            event = Event.FromString(data[at + 12 : at + 12 + length])
            at += 12 + length + 4
            for value in event.summary.value:
                found[event.step, value.tag] = value.simple_value
    return found


def test_tensorboard_shows_the_same_under_the_same_names(run):
    write(
        run,
        [
            row(1, **{"pursuit/return": math.nan, "time/seconds": 0.5}),
            row(2, **{"pursuit/return": 2.5, "time/seconds": 1.0}),
        ],
    )
    found = scalars(run)
    for one in read_metrics(run):
        for name, value in one.items():
            if "/" in name and math.isfinite(value):
                assert found.pop((int(one["steps"]), name)) == pytest.approx(value, rel=1e-6)
    assert found == {}  # and nothing else: a rate without episodes has no point


# --- the live display --------------------------------------------------------------------------------------------


@dataclass
class Shown:
    terminal: bool
    text: io.StringIO = field(default_factory=io.StringIO)

    def display(self, iterations):
        console = Console(file=self.text, force_terminal=self.terminal, width=60)
        return TrainingDisplay(iterations, 32, console)


def metrics(iteration):
    return {
        "iteration": float(iteration),
        "steps": 32.0 * iteration,
        "pursuit/capture_rate": math.nan if iteration == 1 else 0.5,
        "pursuit/return": 1.25,
        "safety/collisions": 3.0,
        "qp/time_us": 4.56,
        "qp/infeasible_rate": 0.0123,
        "qp/intervention_rate": 0.25,
        "qp/correction": 0.0789,
        "ppo/kl": 0.0042,
        "time/steps_per_second": 98_765.0,
    }


def test_a_file_gets_one_line_an_iteration_with_the_four_figures_of_the_program():
    shown = Shown(terminal=False)
    with shown.display(3) as display:
        for iteration in (1, 2, 3):
            display(metrics(iteration))
    header, *lines = shown.text.getvalue().splitlines()
    assert len(lines) == 3
    for title in ("QP time", "infeasible", "intervention", "correction", "capture", "steps/s"):
        assert title in header
    for figure in ("4.56 µs", "1.23%", "25.00%", "0.0789", "50.0%", "98,765", "96"):
        assert figure in lines[2]
    assert "–" in lines[0]  # no episode ended: no rate
    assert "\x1b" not in shown.text.getvalue()
    assert len({len(line) for line in (header, *lines)}) == 1  # in columns
    assert len(header) < 80


def test_a_long_training_prints_some_25_lines_the_first_and_the_last_among_them():
    shown = Shown(terminal=False)
    with shown.display(1000) as display:
        for iteration in range(1, 1001):
            display(metrics(iteration))
    lines = shown.text.getvalue().splitlines()[1:]
    assert 20 <= len(lines) <= 30
    assert [int(lines[k].split()[0]) for k in (0, -1)] == [1, 1000]


def test_a_terminal_sees_a_live_panel_too():
    shown = Shown(terminal=True)
    with shown.display(2) as display:
        for iteration in (1, 2):
            display(metrics(iteration))
    text = shown.text.getvalue()
    assert "KL" in text
    assert "0.0042" in text
    assert "64/64" in text
    assert "\x1b[?25h" in text  # the cursor comes back
