"""What users add from files of their own: found, trained, kept in the run folder, and promised nothing by default."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from safepursuit import plugins
from safepursuit.attack import head as attacks
from safepursuit.cli import main
from safepursuit.experiment import TrainConfig
from safepursuit.game import Game, initial, observe
from safepursuit.learn import BarrierNetTrainer
from safepursuit.policy import HEADS, Head
from safepursuit.runs import configuration
from safepursuit.runs.folder import RunFolder
from safepursuit.scene import Arena
from tiny import TINY, few

EXAMPLES = Path(__file__).parents[1] / "examples" / "plugins"
CHOICES = {
    file.stem: re.search(r"plugins/\w+\.py (.*)", file.read_text(encoding="utf-8"))[1] for file in EXAMPLES.glob("*.py")
}
"""The option that the first lines of each file show."""
SMALL = (
    "--timesteps 64 --num-envs 4 --rollout-length 8 --devices 1 --ppo.minibatches 2 --ppo.epochs 1 --policy.hidden 8"
)


pytestmark = pytest.mark.usefixtures("plugins_forgotten")


def test_every_example_is_tried_and_short():
    assert set(CHOICES) == {"evader", "head", "reward", "sensor", "network", "scene", "robot"}
    for file in EXAMPLES.glob("*.py"):
        assert len(file.read_text(encoding="utf-8").splitlines()) <= 40


@pytest.mark.wide
def test_examples_train_and_are_judged_and_kept_with_their_run(tmp_path, capsys):
    """All at once; `make smoke-wheel` tries each alone. A run does not bring its plugins along."""
    names = sorted(CHOICES)
    files, run = [EXAMPLES / f"{name}.py" for name in names], tmp_path / "run"
    named = [part for file in files for part in ("--plugin", str(file))]
    chosen = [part for name in names for part in CHOICES[name].split()]
    assert main(["train", *named, *chosen, *SMALL.split(), "--run-dir", str(run)]) == 0
    for file in files:
        kept = run / "plugins" / file.name
        assert kept.read_text(encoding="utf-8") == file.read_text(encoding="utf-8")
        hashes = json.loads((run / "plugins.json").read_text())
        assert hashes[file.name] == plugins.Plugin(file.name, kept.read_text()).sha256
    assert main(["evaluate", str(run), "--episodes", "4", *named]) == 0
    assert "capture" in capsys.readouterr().out
    for name in names:
        kind = {"evader": "evaders", "head": "methods"}.get(name, f"{name}s")
        assert main(["list", kind, *named]) == 0
        assert CHOICES[name].split()[1] in capsys.readouterr().out
    command = [sys.executable, "-m", "safepursuit", "evaluate", str(run), "--episodes", "2"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"--plugin {run / 'plugins' / 'evader.py'}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_name_that_is_taken_is_refused_and_leaves_nothing_behind(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from safepursuit.plugins import evader\n"
        "evader('fresh')(lambda key, sight, robot: None)\n"
        "evader('flee')(lambda key, sight, robot: None)\n"
    )
    with pytest.raises(plugins.PluginError, match=r"mine\.py failed: ValueError: evader 'flee' exists already"):
        plugins.load(file)
    assert "fresh" not in plugins.REGISTRIES["evaders"]


@pytest.mark.parametrize("text", ["1/0", "import nothing_like_this", "def broken(:"])
def test_a_plugin_that_fails_is_one_sentence(text, tmp_path, capsys):
    file = tmp_path / "bad.py"
    file.write_text(text)
    assert main(["list", "evaders", "--plugin", str(file)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("safepursuit: plugin bad.py failed: ")
    assert error.count("\n") == 1


# --- promises --------------------------------------------------------------------------------------------------------


def heads():
    plugins.load(EXAMPLES / "head.py")
    return {name: head for name, head in HEADS.items() if head.promises}


def test_a_head_that_declares_nothing_promises_nothing_whatever_it_inherits():
    promising = heads()
    assert set(promising) == {"barriernet", "cbf-beta", "ppo-filter", "ppo-shielded", "brake"}

    class Heir(HEADS["barriernet"]):
        pass

    assert HEADS["barriernet"].hard
    assert not Heir.promises
    assert not Heir.hard
    assert not Head.promises


@pytest.mark.parametrize("method", few(["brake", "barriernet", "cbf-beta", "ppo-filter", "ppo-shielded"]))
def test_what_is_promised_holds_under_attack(method, tenfold, monkeypatch):
    """With parameters of every size."""
    assert method in heads()
    monkeypatch.setattr(attacks, "GAMES", 100 * tenfold)
    steps = (len(attacks.SIZES) - 1) * attacks.GAMES * attacks.STEPS + 1
    found = attacks.attack(replace(TINY, method=method), steps)
    assert found.steps >= steps
    assert found.contacts == 0


@pytest.mark.parametrize("method", ["ppo", "bold"])
def test_the_attack_finds_what_is_not_safe(method, monkeypatch):
    heads()
    monkeypatch.setattr(attacks, "GAMES", 100)
    found = attacks.attack(replace(TINY, method=method), 10_000)
    assert found.contacts > 100
    assert found.depth > 1e-3


LIAR = """
from safepursuit.plugins import head
from safepursuit.policy.unprojected import PPOHead

@head("liar")
class Liar(PPOHead):
    promises = True
"""


@pytest.mark.parametrize(("name", "status"), [("liar", 1), pytest.param("bold", 0, marks=pytest.mark.wide)])
def test_a_model_card_says_what_the_attack_bears_out(name, status, tmp_path, capsys):
    """A promise that does not hold is not written; a head that declares none has a card without any."""
    onnx = pytest.importorskip("onnx")
    file, run, out = tmp_path / "mine.py", tmp_path / "run", tmp_path / "out.onnx"
    file.write_text(LIAR if name == "liar" else (EXAMPLES / "head.py").read_text(encoding="utf-8"))
    plugins.load(file)
    config = replace(TINY, method=name)
    BarrierNetTrainer(config, RunFolder.create(run, configuration.dump(config), ["safepursuit"])).save()
    assert main(["export", str(run), "--out", str(out), "--plugin", str(file)]) == status
    assert out.exists() == (status == 0)
    if status:
        assert "promises to keep clear, but touched something" in capsys.readouterr().err
    else:
        card = {one.key: one.value for one in onnx.load(out).metadata_props}["model_card"]
        assert "theorem" not in card
        assert "**Nothing**" in card


def test_a_robot_that_moves_otherwise_is_promised_nothing():
    plugins.load(EXAMPLES / "robot.py")
    assert TrainConfig().promises
    assert not TrainConfig(game=Game(robot_model="differential-drive")).promises
    assert not TrainConfig(method="ppo").promises


# --- what the examples bring is right --------------------------------------------------------------------------------


def test_lidar_ranges_by_marching_along_the_rays():
    plugins.load(EXAMPLES / "sensor.py")
    game = Game(
        Arena(half_extents=(3.0, 2.0), obstacles=3, radius_range=(0.2, 0.4)), start_distance=(0.6, 4.0), sensor="lidar"
    )
    states = initial(jax.random.key(0), game, 8)
    seen = np.asarray(jax.jit(observe, static_argnames="game")(states, game).ego)
    half, (x, y, heading) = np.array([3.0, 2.0]), np.asarray(states.pursuer)
    along = np.arange(0, 6, 1e-3)
    for number in range(8):
        for ray in range(32):
            angle = heading[number] + 2 * np.pi * ray / 32
            points = np.stack([x[number] + along * np.cos(angle), y[number] + along * np.sin(angle)])
            discs = np.hypot(*(points[:, None] - np.asarray(states.scene.centre)[:, :, number, None]))
            inside = (discs < np.asarray(states.scene.radius)[:, number, None]).any(0)
            hit = inside | (np.abs(points) > half[:, None]).any(0)
            expected = along[hit.argmax()] if hit.any() else 6.0
            assert 1 / seen[ray, number] - 1 == pytest.approx(expected, abs=2e-3)
