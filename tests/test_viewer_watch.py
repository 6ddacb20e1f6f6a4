"""The page of trainings beside a log that grows, and its server.

The screenshots stay in build/viewer/.
"""

import json
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from browser import PROGRAM, browser
from safepursuit.cli import main
from safepursuit.runs import configuration
from safepursuit.runs.folder import RunFolder
from safepursuit.runs.metrics import MetricsLog
from safepursuit.viewer.packing import page
from safepursuit.viewer.serving import served
from safepursuit.viewer.trainings import trainings, watched
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
def serving(runs):
    content = page("watch").encode()
    answers = {"/": lambda _: content, "/data": lambda _: json.dumps(trainings(runs), allow_nan=False).encode()}
    with served(answers) as (server, address):
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield address
        finally:
            server.shutdown()
            thread.join()


def until(tab, condition):
    tab.ask(f"new Promise(done => (function look() {{ ({condition}) ? done(0) : setTimeout(look, 50) }})())")


@needs_browser
def test_the_page_follows_a_training(run, tmp_path):
    log = MetricsLog(run)
    log.write(row(1))
    log.write(row(2))
    other = RunFolder.create(tmp_path / "other", configuration.dump(TINY), ["safepursuit"])
    with serving([run, other]) as address, browser(tmp_path / "profile") as tab:
        tab.open(address, 1280)
        until(tab, "globalThis.safepursuit?.reads > 0")
        lines = "[...document.querySelectorAll('#runs tr')].map(one => one.innerText)"
        first, second = tab.ask(lines)
        assert "onerror" in first
        assert "running" in first
        assert "40.0 %" in first
        assert "waiting" in second
        assert tab.ask("document.querySelectorAll('img').length") == 0
        curve = "document.querySelector('path.curve').getAttribute('d')"
        before = tab.ask(curve)
        for iteration in (3, 4, 5):
            log.write(row(iteration))
        until(tab, "document.querySelector('#runs tr').innerText.includes('finished')")
        assert "100.0 %" in tab.ask(lines)[0]
        assert tab.ask(curve).count("L") == before.count("L") + 3
        for width in (1280, 390):
            for scheme in ("light", "dark"):
                tab.open(address, width, scheme=scheme)
                until(tab, "globalThis.safepursuit?.reads > 0")
                assert tab.ask("document.documentElement.scrollWidth") <= width
                SHOTS.mkdir(parents=True, exist_ok=True)
                tab.shoot(SHOTS / f"watch-{width}-{scheme}.png")
        assert tab.troubles == []
    log.close()


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
    with serving([run]) as address:
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
    [([], "name a run folder"), (["nowhere"], "does not exist"), (["RUN", "--port", "70000"], "--port")],
)
def test_wrong_calls_are_told(words, complaint, run, capsys):
    assert main(["watch", *(str(run.path) if word == "RUN" else word for word in words)]) == 2
    assert complaint in capsys.readouterr().err
