"""The page of trainings beside a log that grows, and its server.

The screenshots stay in build/viewer/.
"""

import json
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import pytest

from browser import PROGRAM
from replays import crowded
from safepursuit.cli import main
from safepursuit.experiment import load_run
from safepursuit.experiment.run import Learned
from safepursuit.runs import checkpoint, configuration
from safepursuit.runs.folder import RunFolder
from safepursuit.runs.metrics import MetricsLog
from safepursuit.shield import Shield
from safepursuit.viewer.episodes import replay
from safepursuit.viewer.newest import Newest
from safepursuit.viewer.packing import page
from safepursuit.viewer.programs import Layer
from safepursuit.viewer.serving import served
from safepursuit.viewer.trainings import answers, trainings, watched
from tiny import GAMES, STEPS, TINY

needs_browser = pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine")

SHOTS = Path(__file__).parents[1] / "build" / "viewer"


def row(iteration):
    return {
        "iteration": float(iteration),
        "steps": float(iteration * GAMES * STEPS),
        "pursuit/capture_rate": float("nan") if iteration == 1 else 0.2 * iteration,
        "qp/infeasible_rate": 0.0,
        "safety/collisions": 0.0,
        "time/steps_per_second": 1000.0,
        "time/seconds": 0.03 * iteration,
    }


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "<img src=x onerror=alert(1)>\u202e'\"run"
    return RunFolder.create(folder, configuration.dump(TINY), ["safepursuit"])


@contextmanager
def serving(runs, newest):
    with newest, served(answers(runs, newest)) as (server, address):
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield address
        finally:
            server.shutdown()
            thread.join()


READ = "globalThis.safepursuit?.reads > 0"


@pytest.mark.wide
@needs_browser
def test_the_page_follows_a_training(run, tmp_path, tab):
    """Its log, and its newest episodes, which are written by a command of our own."""
    log = MetricsLog(run)
    log.write(row(1))
    log.write(row(2))
    other = RunFolder.create(tmp_path / "other", configuration.dump(TINY), ["safepursuit"])
    film = tmp_path / "film.html"
    film.write_text(page("replay", replay(crowded(2, 20), Layer(Shield()), title="x")), encoding="utf-8")

    def command(which, file):
        return (
            ["cp", str(film), str(file)]
            if which is run
            else ["sh", "-c", "echo 'safepursuit: it is no policy.' >&2; exit 1"]
        )

    runs = [run, other]
    with serving(runs, Newest(runs, command, tmp_path / "shown.html")) as address:
        tab.visit(address, ready=READ)
        lines = "[...document.querySelectorAll('#runs tr')].map(one => one.innerText)"
        first, second = tab.ask(lines)
        assert "onerror" in first
        assert "running" in first
        assert "40.0 %" in first
        assert "waiting" in second
        assert tab.ask("document.querySelectorAll('img').length") == 0
        assert "no checkpoint yet" in tab.ask("document.querySelector('#newest').innerText")
        curve = "document.querySelector('path.curve').getAttribute('d')"
        before = tab.ask(curve)
        for iteration in (3, 4, 5):
            log.write(row(iteration))
        checkpoint.save(run, 64, Learned({"a": np.zeros(2)}), best=True)
        checkpoint.save(other, 32, Learned({"a": np.zeros(2)}), best=True)
        tab.until("document.querySelector('#runs tr').innerText.includes('finished')")
        assert "100.0 %" in tab.ask(lines)[0]
        assert tab.ask(curve).count("L") == before.count("L") + 3
        shown = "document.querySelector('#newest iframe')"
        tab.until(f"{shown}?.contentWindow.safepursuit?.drawn.step > 2")  # it plays by itself
        assert tab.ask(f"{shown}.src").endswith("/episodes/0?steps=64#loop")
        assert "it is no policy" in tab.ask("document.querySelector('#newest').innerText")
        checkpoint.save(run, 96, Learned({"a": np.zeros(2)}), best=True)
        tab.until(f"{shown}.src.includes('steps=96')")
        for width, _, _ in tab.looks(SHOTS, "watch"):
            assert tab.ask("document.documentElement.scrollWidth") <= width
        assert tab.troubles == []
    log.close()


def session(*words):
    """A command that runs."""
    words = [sys.executable, "-m", "safepursuit", *map(str, words)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.heavy
@needs_browser
def test_trainings_that_run_are_watched_and_not_disturbed(tmp_path, tab):
    """Two at once, in processes of their own; each ends in the bits of a training that nobody watches."""
    train = ["train", "--num-envs", 32, "--rollout-length", 32, "--timesteps", 300_000, "--checkpoint-every", 20]
    runs = [tmp_path / name for name in ("one", "two")]
    busy = [session(*train, "--seed", number, "--run-dir", run) for number, run in enumerate(runs)]
    try:
        for run in runs:
            while not (run / "config.yaml").exists():
                assert all(one.poll() is None for one in busy)
                time.sleep(0.1)
        watching = session("watch", *runs, "--no-browser")
        try:
            address = re.match(r"http://\S+/", watching.stdout.readline())[0]
            tab.visit(address, ready=READ)
            tab.until("safepursuit.runs.every(run => (run.metrics.steps ?? []).length > 2)")
            assert tab.ask("safepursuit.runs.map(run => run.state)") == ["running", "running"]
            tab.until("safepursuit.runs.every(run => run.state === 'finished')")
            assert [one.wait() for one in busy] == [0, 0]
            tab.until("safepursuit.runs.every(run => run.newest.steps >= run.timesteps)")
            frames = "[...document.querySelectorAll('#newest iframe')]"
            tab.until(f"{frames}.filter(one => one.contentWindow.safepursuit?.drawn).length === 2")
            assert tab.troubles == []
        finally:
            watching.send_signal(signal.SIGINT)
            watching.communicate()
            assert watching.returncode == 128 + signal.SIGINT
    finally:
        for one in busy:
            one.kill()
            one.communicate()
    alone = session(*train, "--seed", 0, "--run-dir", tmp_path / "alone")
    alone.communicate()
    assert alone.returncode == 0
    kept = [load_run(RunFolder.open(folder)).policy for folder in (runs[0], tmp_path / "alone")]
    for one, other in zip(*(jax.tree.leaves(eqx.filter(policy, eqx.is_array)) for policy in kept), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_damaged_log_and_a_long_one(run):
    log = MetricsLog(run)
    for iteration in range(1, 1203):
        log.write({"iteration": float(iteration), "steps": float(iteration)})
    log.close()
    (entry,) = trainings([run])
    assert len(entry["metrics"]["steps"]) <= 500
    assert entry["metrics"]["steps"][-1] == 1202
    run.metrics.write_text("no,log\n1,2\n")
    (entry,) = trainings([run])
    assert entry["state"] == "damaged"
    assert "damaged" in entry["trouble"]
    run.config.write_text("- 1")
    assert trainings([run])[0]["state"] == "damaged"


def test_only_reading_and_only_from_here(run):
    files = sorted(run.path.rglob("*"))
    with serving([run], Newest((), lambda *_: [], run.path)) as address:
        assert json.loads(urllib.request.urlopen(f"{address}data").read())[0]["state"] == "waiting"
        foreign = urllib.request.Request(f"{address}data", headers={"Host": "evil.example"})
        for wrong in (foreign, f"{address}../etc/passwd", urllib.request.Request(f"{address}data", data=b"x")):
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(wrong)
    assert sorted(run.path.rglob("*")) == files


def test_runs_of_several_seeds_are_all_watched(tmp_path):
    for seed in (0, 1):
        RunFolder.create(tmp_path / "many" / f"seed-{seed}", configuration.dump(TINY), ["safepursuit"])
    assert [run.path.name for run in watched([tmp_path / "many"])] == ["seed-0", "seed-1"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "name a run folder"),
        (["nowhere"], "does not exist"),
        (["RUN", "--port", "70000"], "--port"),
        (["RUN", "--episodes", "-1"], "at least 0"),
    ],
)
def test_wrong_calls_are_told(words, complaint, run, capsys):
    assert main(["watch", *(str(run.path) if word == "RUN" else word for word in words)]) == 2
    assert complaint in capsys.readouterr().err
