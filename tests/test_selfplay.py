"""Populations: responses that are trained, payoffs that are played once, interruptions that leave no trace."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from safepursuit import metagame
from safepursuit.cli import main
from safepursuit.compare.crossplay import crossplay
from safepursuit.compare.jobs import perform
from safepursuit.compare.population import FILE, PARTS, Folder, Settings, mixture, opened, rivals
from safepursuit.compare.selfplay import REPORT, SelfPlay
from safepursuit.compare.work import Event
from safepursuit.evaluation import evaluate
from safepursuit.evaluation.statistics import bradley_terry
from safepursuit.experiment import load_run
from safepursuit.players import weights
from safepursuit.report.crossplay import picture, sheet
from safepursuit.runs import configuration
from safepursuit.runs.folder import RunFolder, RunFolderError
from tiny import GAMES, STEPS, TINY

SETTINGS = Settings(("pure-pursuit",), ("random",), timesteps=GAMES * STEPS * 3, episodes=5, base=TINY)


class KilledError(Exception):
    """The process ends here."""


class Alone:
    """Does every job in this process."""

    def __init__(self) -> None:
        self.jobs = []

    def choose(self, waiting):
        return waiting[0]

    def give(self, job):
        self.jobs.append(job)

    def events(self):
        jobs, self.jobs = self.jobs, []
        return [Event(job, "finished", perform(job, lambda metrics: None)) for job in jobs]

    def close(self):
        pass


def play(out, interrupt=None, **changes):
    """A population; `interrupt` is called at each step of a training and each line of the report."""
    at = interrupt or (lambda: None)
    watch = lambda config: nullcontext(lambda metrics: at())  # noqa: E731
    return SelfPlay(Folder(out), replace(SETTINGS, **changes), ["a", "test"], Alone, lambda line: at(), watch)


def parameters(out):
    """Every number of every trained member, by its path."""
    found = {}
    for file in out.glob("*/*/config.yaml"):
        for path, leaf in jax.tree_util.tree_flatten_with_path(load_run(RunFolder.open(file.parent)).policy)[0]:
            found[f"{file.parent.relative_to(out)}{jax.tree_util.keystr(path)}"] = np.asarray(leaf).tobytes()
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A population of one round that was never interrupted."""
    out = tmp_path_factory.mktemp("selfplay") / "whole"
    return out, play(out).grow(1)


@pytest.mark.wide
def test_a_round_adds_a_response_of_either_side_and_their_payoffs(whole) -> None:
    out, population = whole
    assert population.pools == (("pure-pursuit", "pursuer/round-1"), ("random", "evader/round-1"))
    stored = json.loads((out / FILE).read_text())
    assert stored["members"]["evader"].keys() == {"random", "evader/round-1"}
    for row, pursuer in enumerate(population.pools[0]):
        for column, evader in enumerate(population.pools[1]):
            config = TINY if row == 0 else load_run(RunFolder.open(out / pursuer)).config
            policy = pursuer if row == 0 else load_run(RunFolder.open(out / pursuer)).policy
            prey = evader if column == 0 else str(out / evader)
            again = evaluate(policy, config, evader=prey, episodes=5, seed=1)
            assert population.matrix[row, column] == again.result["capture"]["rate"]
    assert load_run(RunFolder.open(out / "evader/round-1")).config.pursuer == f"pure-pursuit:{GAMES}"


@pytest.mark.wide
@pytest.mark.parametrize("moment", [3, 9, 13])
def test_an_interrupted_population_ends_in_the_same_bits(whole, tmp_path, moment) -> None:
    asked = iter(range(moment))

    def interrupt():
        if next(asked, None) is None:
            raise KilledError

    with pytest.raises(KilledError):
        play(tmp_path / "cut", interrupt).grow(1)
    done = play(tmp_path / "cut").grow(1)
    assert done.pools == whole[1].pools
    assert (tmp_path / "cut" / FILE).read_bytes() == (whole[0] / FILE).read_bytes()
    assert parameters(tmp_path / "cut") == parameters(whole[0])
    files = {file: file.stat().st_mtime_ns for file in (tmp_path / "cut").rglob("*") if file.is_file()}
    play(tmp_path / "cut").grow(1)  # plays and trains nothing again
    untouched = {file: when for file, when in files.items() if file.name not in (FILE, ".lock")}
    assert {file: file.stat().st_mtime_ns for file in untouched} == untouched


@pytest.mark.wide
def test_other_settings_and_other_parameters_are_refused(whole, tmp_path) -> None:
    out = shutil.copytree(whole[0], tmp_path / "copy")
    with pytest.raises(RunFolderError, match="holds a population with episodes = 5, not 6: choose another --out"):
        play(out, episodes=6).grow(1)
    with pytest.raises(RunFolderError, match="with the configuration = seed: 7, not seed: 8"):
        play(out, base=replace(TINY, seed=8)).grow(1)
    with pytest.raises(RunFolderError, match="holds no population"):
        play(out / "pursuer").grow(1)
    member = out / "evader/round-1"
    content = json.loads((out / FILE).read_text())
    content["members"]["evader"]["evader/round-1"]["sha256"] = "0" * 64
    (out / FILE).write_text(json.dumps(content))
    with pytest.raises(RunFolderError, match=r"evader/round-1 are not those with which it joined"):
        opened(Folder(out), SETTINGS)
    (out / FILE).write_text("nothing")
    with pytest.raises(RunFolderError, match="cannot be read"):
        play(out).grow(1)
    assert member.is_dir()


@given(st.lists(st.integers(0, 20), min_size=1, max_size=12).filter(any))
def test_a_mixture_is_played_in_parts_near_its_shares(counts) -> None:
    shares = {f"player-{number}": count / sum(counts) for number, count in enumerate(counts)}
    text = mixture(Folder(Path("here")), shares)
    parts = Counter({name: int(part) for name, part in (one.split(":") for one in text.split(","))})
    assert sum(parts.values()) == PARTS
    for name, share in shares.items():
        assert parts[name] / PARTS == pytest.approx(share, abs=1.5 / PARTS)


def test_weaknesses_are_played_more_often_and_the_equilibrium_keeps_its_part() -> None:
    captured = np.array([[1.0, 0.5, 0.9], [0.8, 0.1, 1.0]])
    evaders = ["easy", "hard", "new"]
    population = metagame.begun(["p", "q"], evaders, lambda one, two: captured[int(one == "q"), evaders.index(two)])
    assert population.mixture(metagame.ROW) == {"p": 1.0}
    assert population.mixture(metagame.COLUMN) == {"hard": 1.0}
    found = rivals(population, metagame.ROW, explore=0.5)
    # Against p they escape in 0, 50 and 10 % of the games.
    assert found == pytest.approx({"easy": 0, "hard": 0.5 + 0.5 * 5 / 6, "new": 0.5 / 6})
    # Pursuers by their captures of "hard": 50 and 10 %.
    assert rivals(population, metagame.COLUMN, explore=1.0) == pytest.approx({"p": 5 / 6, "q": 1 / 6})
    assert rivals(population, metagame.COLUMN, explore=0.0) == {"p": 1.0, "q": 0.0}


def test_where_nobody_is_beaten_all_are_met_alike() -> None:
    population = metagame.begun(["p"], ["a", "b"], lambda one, two: 1.0)
    assert rivals(population, metagame.ROW, explore=1.0) == {"a": 0.5, "b": 0.5}


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_ratings_expect_as_many_wins_as_there_were(rows, columns, seed) -> None:
    rng = np.random.default_rng(seed)
    games = rng.integers(1, 50, (rows, columns))
    wins = rng.binomial(games, rng.uniform(size=(rows, columns)))
    row, column = bradley_terry(wins, games)
    assert np.concatenate([row, column]).sum() == pytest.approx(0, abs=1e-6)
    expected = (games + 1) / (1 + 10 ** ((column - row[:, None]) / 400))
    # At the greatest likelihood every player's expected wins are its wins, half a game of either kind included.
    np.testing.assert_allclose(expected.sum(axis=1), (wins + 0.5).sum(axis=1), rtol=1e-4)
    np.testing.assert_allclose(expected.sum(axis=0), (wins + 0.5).sum(axis=0), rtol=1e-4)
    if rows == columns == 1:
        odds = (wins + 0.5) / (games - wins + 0.5)
        assert row[0] - column[0] == pytest.approx(400 * np.log10(odds[0, 0]), abs=1e-3)


def test_cross_play_names_the_hardest_opponent_of_each() -> None:
    captured = np.zeros((2, 3, 10), bool)
    for (row, column), count in np.ndenumerate([[9, 2, 5], [4, 6, 10]]):
        captured[row, column, :count] = True
    found = crossplay(["a", "b"], ["x", "y", "z"], captured)
    assert found["pursuers"]["a"] | {"elo": 0} == {
        "mean": pytest.approx(16 / 30),
        "worst": 0.2,
        "against": "y",
        "elo": 0,
    }
    assert [one["against"] for one in found["evaders"].values()] == ["a", "b", "b"]
    assert found["pursuers"]["b"]["elo"] > found["pursuers"]["a"]["elo"]
    assert found["captures"]["b"]["z"]["rate"] == 1.0
    assert "| a | 90.0 | 20.0 | 50.0 | 53.3 | 20.0 (y) |" in sheet(found)


def test_long_names_leave_room_for_the_picture(tmp_path) -> None:
    names = ["barriernet (zoo:population-pursuer)/seed-3", "runs/a-population-of-long-names/evader-of-round-12"]
    picture(crossplay([names[0]], [names[1]], np.ones((1, 1, 4), bool)), tmp_path / "pairs.png")
    drawn = np.asarray(Image.open(tmp_path / "pairs.png").convert("RGB")).astype(int)
    cells = np.abs(drawn - [49, 54, 149]).max(axis=-1) < 3  # the blue of a certain capture
    assert (np.ptp(np.argwhere(cells), axis=0) > 0.25 * np.array(cells.shape)).all()


@pytest.mark.heavy
def test_a_population_that_is_killed_at_any_moment_ends_in_the_same_bits(tmp_path, capsys) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text(configuration.dump(replace(TINY, devices=1)))
    words = ["--pursuers", "pure-pursuit", "--evaders", "random,flee", "--rounds", "2", "--episodes", "5"]
    words += ["--timesteps", str(GAMES * STEPS * 4), "--config", str(config), "--out"]
    assert main(["selfplay", *words, str(tmp_path / "whole")]) == 0
    told = capsys.readouterr().out
    assert "NashConv at least" in told
    command = [sys.executable, "-m", "safepursuit", "selfplay", *words, str(tmp_path / "cut")]
    rng, kills = np.random.default_rng(5), 0
    said = tmp_path / "said.txt"
    while True:
        with said.open("w") as stream:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stream)
        try:
            process.wait(rng.uniform(8, 40) if kills < 5 else None)
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            time.sleep(0.1)
    assert (process.returncode, said.read_text()) == (0, "")
    assert kills > 2
    assert (tmp_path / "cut" / FILE).read_bytes() == (tmp_path / "whole" / FILE).read_bytes()
    assert parameters(tmp_path / "cut") == parameters(tmp_path / "whole")
    one, other = (json.loads((tmp_path / name / REPORT).read_text()) for name in ("cut", "whole"))
    for key in ("rounds", "pairs", "contacts"):
        assert one[key] == other[key]
    for role, text in one["mixtures"].items():  # can be played as it is
        assert (
            main(
                [
                    "evaluate",
                    other["policies"]["evader" if role == "pursuer" else "pursuer"],
                    f"--{role}",
                    text,
                    "--episodes",
                    "3",
                ]
            )
            == 0
        )
        assert weights(text, role)
