"""The command line: what it writes, what it says, and with which status it ends."""

import contextlib
import gc
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
import pytest
from PIL import Image

from safepursuit.cli import COMMANDS, doctor, main, resume, streams, train, training
from safepursuit.cli.signals import Interrupted, on_signals
from safepursuit.experiment import TrainConfig, load_config, load_run, open_run
from safepursuit.learn import BarrierNetTrainer, ahead
from safepursuit.players import EVADERS
from safepursuit.policy import digest
from safepursuit.runs import checkpoint, configuration
from safepursuit.runs.folder import RunFolder
from safepursuit.runs.metrics import MetricsError, read_metrics

TYPED = "train --timesteps 512 --num-envs 1 --rollout-length 128 --obstacles 2 --seed 42"
SMOKE = TYPED.split()
PROGRAM = ("qp/time_us", "qp/infeasible_rate", "qp/intervention_rate", "qp/correction")
"""The four figures of the quadratic program."""


class Pipe(io.StringIO):
    """A stream with an encoding, as a process has them."""

    encoding = "utf-8"


def call(*words, stream=Pipe):
    """Status, standard output, standard error."""
    out, err = stream(), stream()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(word) for word in words])
    return status, out.getvalue(), err.getvalue()


def sentence(status, words, *parts):
    """The command fails with this status and one sentence that holds these parts."""
    found, _, err = call(*words)
    assert found == status
    assert err.startswith("safepursuit: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    for part in parts:
        assert part in err
    return err


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """The run of the smoke command, and what it printed."""
    path = tmp_path_factory.mktemp("runs") / "smoke"
    status, out, err = call(*SMOKE, "--run-dir", path)
    assert (status, err) == (0, "")
    return RunFolder.open(path), out


@pytest.fixture
def copy(smoke, tmp_path):
    """A run of one's own to damage."""
    return RunFolder.open(shutil.copytree(smoke[0].path, tmp_path / "copy"))


# --- train -------------------------------------------------------------------------------------------------------


def test_a_short_training_prints_and_stores_the_four_figures_of_the_program(smoke):
    run, out = smoke
    rows = read_metrics(run)
    assert [row["steps"] for row in rows] == [128, 256, 384, 512]
    for row in rows:
        assert row["qp/infeasible_rate"] == 0
        assert 0 <= row["qp/intervention_rate"] <= 1
        assert row["qp/correction"] >= 0
        assert row["qp/time_us"] > 0
        assert all(np.isfinite(row[name]) for name in PROGRAM)
    lines = out.splitlines()
    header = next(number for number, line in enumerate(lines) if "QP time" in line)
    for title in ("infeasible", "intervention", "correction"):
        assert title in lines[header]
    for line, row in zip(lines[header + 1 : header + 5], rows, strict=True):
        assert f"{row['qp/time_us']:.2f} µs" in line
        assert f"{row['qp/infeasible_rate']:.2%}" in line
        assert f"{row['qp/intervention_rate']:.2%}" in line
        assert f"{row['qp/correction']:.4f}" in line
    assert "barriernet against random with 2 obstacles, 512 steps, seed 42" in lines[0]
    assert "trained 512 steps" in out
    assert str(run.path) in out


def test_a_run_folder_holds_everything(smoke):
    run, _ = smoke
    files = {file.relative_to(run.path).as_posix() for file in run.path.rglob("*") if file.is_file()}
    assert files >= {
        "config.yaml",
        "command.txt",
        "provenance.json",
        "metrics.csv",
        "summary.json",
        "checkpoints/latest",
        "checkpoints/best",
        "figures/learning_curves.png",
        "figures/trajectories.png",
    }
    assert any(file.startswith("tensorboard/events") for file in files)
    assert not any("partial" in file for file in files)
    config = configuration.load(TrainConfig(), run.config)
    assert config == TrainConfig(timesteps=512, num_envs=1, rollout_length=128, seed=42)
    assert json.loads(run.summary.read_text())["steps"] == 512
    for figure in run.figures.iterdir():
        image = np.asarray(Image.open(figure).convert("RGB"))
        assert min(image.shape[:2]) > 300
        assert len(np.unique(image.reshape(-1, 3)[::101], axis=0)) > 20


def test_what_was_typed_is_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["safepursuit", "train", "--seed", "3"])
    monkeypatch.setattr(train, "train_and_draw", lambda *_: None)
    path = tmp_path / "run"
    assert call(*SMOKE, "--run-dir", path)[0] == 0
    assert (path / "command.txt").read_text() == "safepursuit train --seed 3\n"


def test_a_dry_run_prints_the_merged_configuration_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = call("train", "--dry-run")
    assert (status, err) == (0, "")
    (tmp_path / "printed.yaml").write_text(out)
    other = TrainConfig(seed=5, evader="flee", num_envs=3)
    assert configuration.load(other, tmp_path / "printed.yaml") == TrainConfig()
    assert [file.name for file in tmp_path.iterdir()] == ["printed.yaml"]


@pytest.mark.parametrize("columns", ["0", "20", "80"])
def test_a_dry_run_is_the_same_whatever_the_terminal(tmp_path, monkeypatch, columns):
    """Also where the mixture is longer than a line, and where the terminal has no width."""
    monkeypatch.setenv("COLUMNS", columns)
    mixture = ",".join(f"{name}:{weight}" for weight, name in enumerate(EVADERS, 1))
    status, out, _ = call("train", "--dry-run", "--evader", mixture)
    assert status == 0
    assert out == configuration.dump(TrainConfig(evader=mixture))
    assert "methods" in call("list", "--help")[1]


def test_of_several_files_later_ones_override_earlier_ones(tmp_path):
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("seed: 3\nevader: flee\nppo:\n  clip: 0.1\n")
    two.write_text("evader: orbit\nppo:\n  epochs: 7\n")
    status, out, _ = call("train", "--config", one, "--num-envs", "32", f"--config={two}", "--dry-run")
    assert status == 0
    (tmp_path / "merged.yaml").write_text(out)
    merged = configuration.load(TrainConfig(), tmp_path / "merged.yaml")
    assert (merged.seed, merged.evader, merged.ppo.clip, merged.ppo.epochs) == (3, "orbit", 0.1, 7)
    assert merged.num_envs == 32
    sentence(2, ["train", "--config", one, "--config", tmp_path / "none", "--dry-run"], "none does not exist")


@pytest.mark.parametrize("form", ["--config {}", "--config={}"])
def test_files_lie_between_defaults_and_flags(tmp_path, form):
    file = tmp_path / "some.yaml"
    file.write_text("seed: 3\nevader: flee\nppo:\n  clip: 0.1\ngame:\n  arena:\n    obstacles: 4\n")
    words = form.format(file).split()
    flags = ["--seed", "5", "--ppo.learning-rate", "0.01", "--policy.hidden", "8", "4"]
    for order in ([*words, *flags], [*flags, *words]):
        status, out, _ = call("train", *order, "--dry-run")
        assert status == 0
        (tmp_path / "merged.yaml").write_text(out)
        merged = configuration.load(TrainConfig(), tmp_path / "merged.yaml")
        assert (merged.seed, merged.ppo.learning_rate) == (5, 0.01)  # flag over file, flag over default
        assert (merged.evader, merged.ppo.clip, merged.game.arena.obstacles) == ("flee", 0.1, 4)  # file over default
        assert merged.policy.hidden == (8, 4)
        assert merged.num_envs == TrainConfig().num_envs


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("train --zzz 3", ["unrecognized options: --zzz", "train --help lists the flags"]),
        ("train --timestep 3", ["did you mean --timesteps?"]),
        ("train --ppo.learning-rat 3", ["did you mean --ppo.learning-rate?"]),
        ("train --timesteps many", ["--timesteps", "'many'"]),
        ("train --timesteps", ["missing value for argument '--timesteps'"]),
        ("train extra", ["unrecognized options: extra"]),
        ("train --obstacles -1", ["the number of obstacles must be between 0 and 16, not -1"]),
        ("train --obstacles=-1", ["the number of obstacles must be between 0 and 16, not -1"]),
        ("train --obstacles 17", ["between 0 and 16, not 17"]),
        ("train --timesteps 0", ["timesteps must be at least 1, not 0"]),
        ("train --evader cat", ["unknown evader 'cat'; known are random, run, flee"]),
        ("train --method dqn", ["unknown method 'dqn'; known are barriernet, cbf-beta, ppo"]),
        ("train --rollout-length 10", ["rollout_length 10 cannot be cut into 8 minibatches"]),
        ("train --ppo.minibatches 3", ["rollout_length 64 cannot be cut into 3 minibatches"]),
        ("train --config none.yaml", ["configuration file none.yaml does not exist"]),
        ("train --config", ["missing value for argument '--config'"]),
        ("train --seeds 0..", ["--seeds takes a range such as 0..9", "not '0..'"]),
        ("train --seeds 3..1", ["not '3..1'"]),
        ("train --seeds 1,1", ["different seeds", "not '1,1'"]),
        ("train --seeds=-1,2", ["not '-1,2'"]),
        ("train --seeds 0,4294967296", ["below 4294967296, not '0,4294967296'"]),
        ("train --seed 4294967296", ["seed must lie between 0 and 4294967295, not 4294967296"]),
        ("train --ppo.entropy nan", ["ppo entropy must be a finite number, not nan"]),
        ("train --policy.disc-width 0", ["policy disc_width must be at least 1, not 0"]),
        ("train --shield.margin 0", ["a shield margin of 0 m does not cover rounding", "it takes 7.2e-06 m"]),
        ("train --game.arena.half-extents 700 700", ["arena of 1400 m × 1400 m: it takes 0.0005 m"]),
        ("resume nowhere", ["run folder nowhere does not exist"]),
        ("resume", ["missing", "The run folder"]),
        ("evaluate nowhere", ["run folder nowhere does not exist"]),
        ("evaluate nowhere --shield on", ["'on'", "as-trained", "governor"]),
        ("evaluate nowhere --episodes few", ["--episodes", "'few'"]),
        ("list", ["missing", "What to list"]),
        ("list colours", ["'colours'", "'methods', 'evaders', 'pursuers', 'players'"]),
        ("evalaute runs/x", ["unknown command 'evalaute'; did you mean 'evaluate'?"]),
        ("zzz", ["unknown command 'zzz'; see safepursuit --help"]),
    ],
)
def test_usage_errors_end_with_status_2_and_one_sentence(words, parts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sentence(2, words.split(), *parts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stream", [Pipe, io.StringIO], ids=["unicode", "ascii"])
def test_messages_are_the_same_without_unicode(stream):
    status, _, err = call("train", "--timestep", "3", stream=stream)
    assert status == 2
    message = (
        "unrecognized options: --timestep, 3; did you mean --timesteps? (safepursuit train --help lists the flags)"
    )
    assert err == f"safepursuit: {message}\n"


def test_the_command_line_starts_without_libraries_that_few_commands_need():
    """The parts of SciPy took a third of the start."""
    code = "import safepursuit.cli, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "jax.numpy" in loaded
    late = {"scipy.stats", "scipy.optimize", "scipy.ndimage", "scipy.sparse", "matplotlib", "onnx", "torch", "shapely"}
    assert late.isdisjoint(loaded)


def test_a_misspelt_key_in_a_file_names_the_nearest(tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text("ppo:\n  learning_rte: 0.1\n")
    sentence(2, ["train", "--config", file], str(file), "unknown key 'ppo.learning_rte'; did you mean 'learning_rate'?")


@pytest.mark.wide
def test_an_impossible_game_leaves_no_run_behind(tmp_path):
    path = tmp_path / "run"
    words = ["train", "--num-envs", "256", "--game.start-distance", "50", "60", "--run-dir", path]
    sentence(2, words, "no layout found", "use fewer or smaller discs")
    assert not path.exists()


def test_an_existing_run_is_not_overwritten(smoke):
    run, _ = smoke
    before = {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()}
    sentence(2, [*SMOKE, "--run-dir", run.path], "already exists and is not empty", f": safepursuit resume {run.path}")
    assert {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("place", ["file/run", "a/file/run", "file"])
def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_compiled(tmp_path, monkeypatch, place):
    monkeypatch.setattr(ahead, "start", None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    for file in ("file", "a/file"):
        (tmp_path / file).write_text("")
    reason = "is not a folder" if place.endswith("run") else "already exists and is not empty"
    sentence(2, [*SMOKE, "--run-dir", place], place, reason)


def test_what_is_not_a_run_cannot_be_gone_on_with(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    assert "resume" not in sentence(2, [*SMOKE, "--run-dir", tmp_path], "already exists and is not empty")
    (tmp_path / "notes.txt").unlink()
    (tmp_path / "checkpoints").mkdir()  # of a folder whose making was interrupted
    RunFolder.check_free(tmp_path)


def test_a_command_to_type_is_quoted_and_a_name_is_no_markup(copy):
    path = copy.path.rename(copy.path.with_name("[v2] :smile: [b]x"))
    sentence(2, [*SMOKE, "--run-dir", path], f"go on with: safepursuit resume '{path}'")
    assert f"run folder: {path}\n" in call("evaluate", path, *NINE)[1]


def test_a_training_in_which_nothing_was_learned_leaves_no_folder(tmp_path, monkeypatch):
    """A full disk, Ctrl-C during compilation, whatever it is; what was there before stays."""

    def full(*_):
        raise OSError(28, "No space left on device", "metrics.csv")

    def interrupted(*_):
        signal.raise_signal(signal.SIGTERM)

    def exhausted(*_):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 5 bytes.")

    for break_down, status, words in (
        (full, 1, "metrics.csv: No space left"),
        (interrupted, 143, "interrupted."),
        (exhausted, 1, "memory does not suffice (Out of memory allocating 5 bytes): use fewer games"),
    ):
        monkeypatch.setattr(BarrierNetTrainer, "collect_rollout", break_down)
        for path in (tmp_path / "run", tmp_path / "deep" / "run"):
            sentence(status, [*SMOKE, "--run-dir", path], words)
            assert not path.exists()


def test_a_number_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sentence(2, ["train", "--seed", 2**63], "seed must lie between 0 and 4294967295")
    sentence(2, ["train", "--game.horizon", 10**11], "game.horizon must be less than 2,147,483,648")
    sentence(2, ["train", "--num-envs", 2 * 10**9], "num_envs may be at most 4,194,304")
    sentence(2, ["train", "--num-envs", 2**20, "--rollout-length", 2**11], "rollout_length less than 2,147,483,648")
    (tmp_path / "number.yaml").write_text("42")
    sentence(2, ["train", "--config", "number.yaml"], "number.yaml must hold keys and values")
    assert [file.name for file in tmp_path.iterdir()] == ["number.yaml"]


def test_an_error_that_nobody_thought_of_is_a_sentence_too(monkeypatch):
    def explode(*_):
        raise KeyError("x")

    monkeypatch.setattr(doctor, "provenance", explode)
    sentence(1, ["doctor"], "internal error, KeyError: 'x'; --debug shows where")


def test_debug_shows_the_traceback():
    with pytest.raises(ValueError, match="unknown evader"):
        main(["train", "--evader", "cat", "--debug"])


# --- evaluate ----------------------------------------------------------------------------------------------------

NINE = ("--episodes", "9")
"""As many as the page of trajectories shows."""


def test_an_evaluation_prints_stores_and_records(smoke, tmp_path):
    run, _ = smoke
    figures, record = tmp_path / "figures.json", tmp_path / "record.npz"
    before = set(run.evaluations.glob("*.json"))
    status, out, err = call("evaluate", run.path, *NINE, "--json", figures, "--record", record)
    assert (status, err) == (0, "")
    result = json.loads(figures.read_text())
    assert (result["episodes"], result["evader"], result["shield"]) == (9, "random", "as-trained")
    assert result["collision"]["count"] == 0
    assert f"{result['capture']['rate']:.2%}" in out
    assert "own collisions (episodes)" in out
    assert "0 (0 wall, 0 obstacle, 0 robot)" in out
    kept = set(run.evaluations.glob("*.json")) - before
    assert [json.loads(file.read_text()) for file in kept] == [result]
    with np.load(record) as stored:
        assert stored["pursuer"].shape == (9, 601, 3)
        assert int(stored["length"].sum()) == result["steps"]


def test_the_same_evaluation_twice_gives_the_same_figures(smoke, tmp_path):
    files = [tmp_path / "one.json", tmp_path / "two.json"]
    for file in files:
        assert call("evaluate", smoke[0].path, *NINE, "--seed", "4", "--json", file)[0] == 0
    one, two = (json.loads(file.read_text()) for file in files)
    assert one == two
    assert one["seed"] == 4


def test_figures_go_wherever_json_says(smoke, tmp_path):
    """A link stays one, a pipe is written to, and standard output holds nothing else."""
    target, link, pipe = tmp_path / "target.json", tmp_path / "link.json", tmp_path / "pipe"
    target.write_text("old")
    link.symlink_to(target)
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    for file in (link, pipe):
        assert call("evaluate", smoke[0].path, *NINE, "--json", file)[0] == 0
    reader.join(60)
    status, out, err = call("evaluate", smoke[0].path, *NINE, "--json", "-")
    assert status == 0
    assert json.loads(out) == json.loads(target.read_text()) == json.loads(read[0])
    assert "own collisions" in err
    assert link.is_symlink()
    assert pipe.is_fifo()


def test_a_run_folder_that_cannot_be_written_is_evaluated(copy, tmp_path):
    """The figures are shown and go where they are asked for; what is not kept is said."""
    shutil.rmtree(copy.evaluations)
    copy.evaluations.write_text("no folder")
    file = tmp_path / "figures.json"
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        status, out, err = call("evaluate", copy.path, *NINE, "--json", file)
    assert status == 0
    assert "own collisions" in out
    assert json.loads(file.read_text())["episodes"] == 9
    assert err.startswith(f"safepursuit: warning: {copy.path} does not keep these figures: ")
    sentence(2, ["evaluate", copy.path, *NINE, "--json", tmp_path], f"{tmp_path} is a folder")


def test_evaluations_that_cannot_be_made(smoke, copy, tmp_path):
    run, _ = smoke
    sentence(2, ["evaluate", run.path, "--evader", "cat"], "unknown evader 'cat'; known are random, run, flee")
    sentence(2, ["evaluate", run.path, "--suite", "hard"], "unknown suite 'hard'; known are standard")
    sentence(2, ["evaluate", run.path, "--episodes", "0"], "number of episodes must be at least 1, not 0")
    sentence(2, ["evaluate", run.path, "--obstacles", "-2"], "between 0 and 16, not -2")
    sentence(2, ["evaluate", run.path, "--json", tmp_path / "no" / "x.json"], str(tmp_path / "no"), "does not exist")
    sentence(2, ["evaluate", tmp_path], "is not a run folder: it has no config.yaml")
    copy.config.write_text("seed: [")
    sentence(2, ["evaluate", copy.path], "cannot be read")


def test_a_damaged_checkpoint_ends_with_status_1(copy):
    newest = copy.checkpoints / (copy.checkpoints / "latest").read_text().split()[0]
    files = [file for file in (newest / "policy").rglob("*") if file.is_file()]
    largest = max(files, key=lambda file: file.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
    before = {file: file.read_bytes() for file in copy.path.rglob("*") if file.is_file()}
    for words in (["evaluate", copy.path], ["resume", copy.path, "--timesteps", "1024"]):
        sentence(1, words, f"checkpoint {newest} is incomplete or damaged", "none before it")
    assert {file: file.read_bytes() for file in copy.path.rglob("*") if file.is_file()} == before


class Saved(NamedTuple):
    """What is restored of a training state."""

    policy: Any


def test_a_policy_that_is_not_finite_ends_with_status_1_and_names_its_first_such_array(copy, tmp_path):
    trained = load_run(copy)
    sick = jax.tree.map(lambda leaf: leaf * np.nan if eqx.is_inexact_array(leaf) else leaf, trained.policy)
    checkpoint.save(copy, trained.steps, Saved(sick), best=True)
    known = set(copy.evaluations.glob("*"))
    for words in (
        ["evaluate", copy.path, *NINE],
        ["render", copy.path],
        ["export", copy.path, "--out", tmp_path / "policy.onnx"],
        ["train", "--from", copy.path, "--run-dir", tmp_path / "new"],
    ):
        sentence(1, words, "policy.normaliser.mean holds numbers that are not finite")
    assert set(copy.evaluations.glob("*")) == known
    assert not (tmp_path / "new").exists()


def test_a_damaged_run_goes_on_from_what_is_left(copy, monkeypatch):
    """The newest checkpoint and the log; the sentences name what is lost."""
    trainer = BarrierNetTrainer.load(copy)
    damaged = checkpoint.save(copy, 640, trainer.state._replace(steps=640, iteration=5), best=False)
    (damaged / "digest.json").write_text("{}")
    text = copy.metrics.read_bytes()
    copy.metrics.write_bytes(text[:40] + b"\xff" + text[41:])
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(training, "draw", lambda *_: None)
        status, out, err = call("resume", copy.path, "--timesteps", "640")
    first, second = err.splitlines()
    assert (
        first
        == f"safepursuit: warning: checkpoint {damaged} is incomplete or damaged; {512:012d} is used instead: "
        + ("the 128 steps after it are lost.")
    )
    assert second.startswith(f"safepursuit: warning: the log {copy.metrics} is damaged ('utf-8' codec can't decode")
    assert second.endswith("It is set aside as metrics-damaged-1.csv, a new one begins.")
    assert status == 0
    assert "resuming" in out
    assert (copy.path / "metrics-damaged-1.csv").read_bytes() != text
    assert [row["iteration"] for row in read_metrics(copy)] == [5]
    copy.metrics.write_text("iteration,step\n")
    with pytest.raises(
        MetricsError, match=f"the log {copy.metrics} is damaged .it has no column of iterations or steps"
    ):
        read_metrics(copy)


def test_a_run_without_a_checkpoint_begins_anew(copy, monkeypatch):
    shutil.rmtree(copy.checkpoints)
    copy.checkpoints.mkdir()
    begun = []
    monkeypatch.setattr(resume, "train_and_draw", lambda trainers, *_: begun.extend(trainers))
    status, out, err = call("resume", copy.path)
    assert (status, err) == (0, "")
    assert "at step 0" in out
    assert begun[0].config == BarrierNetTrainer(load_config(copy)).config
    assert (begun[0].state.iteration, begun[0].history) == (0, [])


def test_weights_of_another_run_are_kept_from_the_start(smoke, tmp_path, monkeypatch):
    """Whatever happens before the first checkpoint that is due."""
    monkeypatch.setattr(train, "train_and_draw", lambda *_: None)
    path = tmp_path / "run"
    assert call(*SMOKE, "--from", smoke[0].path, "--run-dir", path)[0] == 0
    begun = BarrierNetTrainer.resumed(RunFolder.open(path))
    assert begun.state.iteration == 0
    for one, two in zip(*map(jax.tree.leaves, (begun.policy, load_run(smoke[0]).policy)), strict=True):
        np.testing.assert_array_equal(one, two)


def test_devices_are_those_of_this_machine_not_of_the_run_gone_on_from():
    assert load_config(open_run("zoo:pursuer")).devices == 2
    for words, devices in (([], None), (["--devices", 1], 1)):
        status, out, _ = call("train", "--from", "zoo:pursuer", *words, "--dry-run")
        assert (status, configuration.parse(TrainConfig(), out, "the dry run").devices) == (0, devices)


def test_provenance_tells_of_all_trainings_before(smoke, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "train_and_draw", lambda *_: None)
    given = load_run(smoke[0])
    assert "begun_with" not in json.loads((smoke[0].path / "provenance.json").read_text())
    path = smoke[0].path
    for name in ("second", "third"):  # neither trains, so that the weights are the same
        assert call(*SMOKE, "--from", path, "--run-dir", tmp_path / name)[0] == 0
        path = tmp_path / name
        found = json.loads((path / "provenance.json").read_text())["begun_with"]
        assert found == {"sha256": digest(given.policy), "steps": given.steps}
    assert given.steps > 0


@pytest.mark.parametrize("damage", ["{", "[]", '{"begun_with": 3}', '{"begun_with": {"steps": null}}'])
def test_a_damaged_provenance_does_not_keep_anybody_from_going_on(damage, copy, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "train_and_draw", lambda *_: None)
    (copy.path / "provenance.json").write_text(damage)
    assert call(*SMOKE, "--from", copy.path, "--run-dir", tmp_path / "run")[0] == 0
    found = json.loads((tmp_path / "run" / "provenance.json").read_text())["begun_with"]
    assert found["steps"] == load_run(copy).steps


def test_the_learning_rate_of_an_extended_training_is_told(copy, monkeypatch):
    monkeypatch.setattr(resume, "train_and_draw", lambda *_: None)
    _, out, _ = call("resume", copy.path, "--timesteps", "1024")
    assert "the learning rate goes on from 0.0005, after 0.00025" in out


def test_a_run_plays_without_its_training_state_but_does_not_go_on(copy, tmp_path):
    newest = copy.checkpoints / (copy.checkpoints / "latest").read_text().split()[0]
    shutil.rmtree(newest / "training")
    assert call("evaluate", copy.path, *NINE)[0] == 0
    status, _, err = call("export", copy.path, "--out", tmp_path / "policy.onnx")
    assert (status, err) == (0, "")
    assert (tmp_path / "policy.onnx").stat().st_size > 0
    sentence(1, ["resume", copy.path, "--timesteps", "1024"], f"checkpoint {newest} is incomplete or damaged")


# --- interrupt and resume ----------------------------------------------------------------------------------------


def interrupted_at(monkeypatch, iteration, signals, number=signal.SIGINT):
    """Let Ctrl-C be pressed, or another signal be sent, while an iteration is shown."""
    show = training.TrainingDisplay.__call__

    def show_and_press(self, metrics):
        show(self, metrics)
        if metrics["iteration"] == iteration:
            for _ in range(signals):
                signal.raise_signal(number)

    monkeypatch.setattr(training.TrainingDisplay, "__call__", show_and_press)


def test_ctrl_c_saves_and_resume_goes_on_as_if_nothing_had_happened(smoke, tmp_path, monkeypatch):
    path = tmp_path / "run"
    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        interrupted_at(patch, 2, signals=1)
        status, out, err = call(*SMOKE, "--run-dir", path)
    assert (status, err) == (130, "")
    assert "stopping after this iteration" in out
    assert f"saved; go on with: safepursuit resume {path}" in out
    assert not list((path / "figures").iterdir())
    assert len(read_metrics(RunFolder.open(path))) == 2
    assert signal.getsignal(signal.SIGINT) is handler

    status, out, err = call("resume", path)
    assert (status, err) == (0, "")
    assert "at step 256" in out
    clock = ("time/", "qp/time_us")
    one, two = (
        [{name: str(value) for name, value in row.items() if not name.startswith(clock)} for row in read_metrics(run)]
        for run in (smoke[0], RunFolder.open(path))
    )
    assert one == two
    assert len(list((path / "figures").glob("*.png"))) == 2
    sentence(2, ["resume", path], "has already played 512 steps", "--timesteps TOTAL")


def test_a_second_ctrl_c_stops_at_once(tmp_path, monkeypatch):
    path = tmp_path / "run"
    interrupted_at(monkeypatch, 2, signals=2)
    status, _, err = call(*SMOKE, "--run-dir", path)
    assert (status, err) == (130, "safepursuit: interrupted.\n")
    sentence(1, ["evaluate", path], "has no checkpoint yet")


def test_a_new_total_is_remembered(copy, monkeypatch):
    monkeypatch.setattr(resume, "train_and_draw", lambda *_: None)
    assert call("resume", copy.path, "--timesteps", "1_024")[0] == 0
    assert configuration.load(TrainConfig(), copy.config).timesteps == 1024
    assert BarrierNetTrainer.load(copy).config.iterations == 8


def test_a_training_that_breaks_ends_with_status_1(copy, monkeypatch):
    def explode(*_):
        raise RuntimeError("The device has\ncaught fire.")

    monkeypatch.setattr(BarrierNetTrainer, "train", explode)
    sentence(1, ["resume", copy.path, "--timesteps", "1024"], "the device has caught fire.")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_other_signals_save_as_well(tmp_path, monkeypatch, name):
    path = tmp_path / "run"
    number = getattr(signal, name)
    before = signal.getsignal(number)
    interrupted_at(monkeypatch, 2, signals=1, number=number)
    status, out, err = call(*SMOKE, "--run-dir", path)
    assert (status, err) == (128 + number, "")
    assert f"saved; go on with: safepursuit resume {path}" in out
    assert BarrierNetTrainer.load(RunFolder.open(path)).state.iteration == 2
    assert signal.getsignal(number) is before


def test_a_signal_that_the_process_is_to_ignore_is_ignored():
    """As nohup has it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with on_signals(lambda number: pytest.fail("not ignored")):
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_interruption_that_a_callback_swallows_comes_again():
    """JAX has callbacks in the garbage collector, where Python drops what is raised."""

    def swallow(*_):
        if gc.callbacks:
            gc.callbacks.remove(swallow)
            signal.raise_signal(signal.SIGINT)

    def collect():
        with on_signals():
            gc.callbacks.insert(0, swallow)
            gc.collect()
            time.sleep(60)

    with pytest.raises(Interrupted):
        collect()


PIPED = """
import runpy, sys
with runpy.run_path(sys.argv[1])["lasting_streams"]():
    for line in range(20_000):
        print("line →", line, flush=True)
print("to the end", file=sys.stderr)
"""


@pytest.mark.parametrize(("encoding", "arrow"), [("utf-8", "→"), ("latin-1", "?"), ("ascii", "?")])
def test_a_reader_may_leave_and_need_not_know_every_character(encoding, arrow):
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    process = subprocess.Popen(
        [sys.executable, "-c", PIPED, streams.__file__], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    assert process.stdout.readline().decode(encoding) == f"line {arrow} 0\n"
    process.stdout.close()
    assert process.stderr.read() == b"to the end\n"
    assert process.wait(60) == 0
    process.stderr.close()


COMPILING = """
import os, sys, threading
from safepursuit.learn import ahead
from safepursuit import cli
class Endless:
    def compile(self): threading.Event().wait()
def refuse(*_):
    ahead._threads.append(threading.Thread(target=ahead._compile, args=(iter([Endless]),)))
    ahead._threads[-1].start()
    raise ValueError("no layout found.")
cli.Doctor.run = refuse
sys.argv[1:] = ["doctor"]
sys.exit(cli.main())
"""


@pytest.mark.wide
def test_an_error_while_programs_are_compiled_ahead_ends_the_process_at_once():
    ended = subprocess.run([sys.executable, "-c", COMPILING], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stderr) == (2, "safepursuit: no layout found.\n")


@pytest.mark.heavy
def test_a_process_that_is_interrupted_saves_and_goes_on(tmp_path):
    """The whole program, from outside."""
    path = tmp_path / "run"
    words = ["--timesteps", "100_000_000", "--num-envs", "4", "--rollout-length", "16", "--policy.hidden", "8"]
    command = [sys.executable, "-m", "safepursuit"]
    process = subprocess.Popen(
        [*command, "train", *words, "--run-dir", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 600
        while not (path / "metrics.csv").exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=600)
    finally:
        process.kill()
    assert (process.returncode, err) == (130, "")
    assert "saved; go on with" in out
    played = int(BarrierNetTrainer.load(RunFolder.open(path)).state.steps)
    assert played >= 64
    again = subprocess.run(
        [*command, "resume", str(path), "--timesteps", str(played + 64)], capture_output=True, text=True, timeout=600
    )
    assert (again.returncode, again.stderr) == (0, "")
    assert len(read_metrics(RunFolder.open(path))) == played // 64 + 1


# --- list, doctor, help ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("methods", ["barriernet", "ppo"]),
        ("evaders", ["random", "flee"]),
        ("players", ["pure-pursuit (pursuer)", "random (evader)", "flee (evader)"]),
        ("suites", ["standard"]),
    ],
)
def test_list_names_what_there_is(kind, names):
    status, out, _ = call("list", kind)
    assert status == 0
    for name in names:
        line = next(line for line in out.splitlines() if line.startswith(name))
        assert len(line.removeprefix(name).strip()) > 10  # each with a word about it


def test_the_doctor_finds_this_installation_healthy(monkeypatch):
    """Its training in a size that is compiled already."""
    smoke = TrainConfig(timesteps=512, num_envs=1, rollout_length=128, seed=42)
    monkeypatch.setattr(doctor, "TrainConfig", lambda **_: smoke)
    status, out, err = call("doctor")
    assert (status, err) == (0, "")
    assert out.count("ok  ") == 3
    for word in ("python", "platform", "device", "jax", "equinox", "commit"):
        assert word in out


def test_the_doctor_reports_what_is_wrong(monkeypatch):
    class Wrong:
        u = np.array([2.0, 3.0])

    monkeypatch.setattr(doctor, "project", lambda *_: Wrong)
    sentence(1, ["doctor"], "the projection of (2, 3) onto the unit corner came out as [2. 3.]")


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_names_every_command(words):
    status, out, _ = call(*words)
    assert status == 0
    for name in COMMANDS:
        assert name in out


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        (
            "train",
            "--method --timesteps --obstacles --seed --evader --num-envs --rollout-length --run-dir --config --dry-run "
            "--debug",
        ),
        ("resume", "--timesteps"),
        ("evaluate", "--episodes --evader --suite --obstacles --seed --shield --json --record"),
    ],
)
def test_the_flags_that_scripts_rely_on_are_there(name, flags):
    status, out, _ = call(name, "--help")
    assert status == 0
    for flag in flags.split():
        assert f"{flag} " in out or f"{flag}," in out


def test_the_version_is_the_packages(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "0.1.0\n"
