"""A pursuer and an evader that learn from playing each other."""

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import numpy as np
import pytest

from safepursuit.agents import Trained
from safepursuit.cli import main, resume, training
from safepursuit.experiment import create_run, load_config
from safepursuit.game import ROLES, other
from safepursuit.learn import BarrierNetTrainer, Pair
from safepursuit.learn.pair import home_of_pair, pair_of, stand_in
from safepursuit.policy import NotFiniteError
from safepursuit.runs import configuration
from safepursuit.runs.folder import RunFolder, RunFolderError
from safepursuit.runs.metrics import read_metrics
from tiny import ITERATIONS, TINY, after, few, numbers

CONFIG = replace(TINY, devices=1)
STOP = 2
"""Iterations, of which every second one leaves a checkpoint."""


def begun(path):
    """The trainers of a new pair with its run folders."""
    made = [BarrierNetTrainer(one, rival=stand_in(one)) for one in pair_of(CONFIG, path)]
    for one in made:
        one.run = create_run(path / one.config.role, one.config, ["safepursuit"], rival_learns=True)
    return made


def gone_on_with(path):
    return [BarrierNetTrainer.resumed(run, rival=stand_in(load_config(run))) for run in RunFolder.together(path)]


def assert_same(state, expected):
    for (name, a), (_, b) in zip(numbers(state), numbers(expected), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)


class Whole(NamedTuple):
    path: Path
    trainers: list[BarrierNetTrainer]
    states: list[list]
    """Of pursuer and evader, before the first iteration and after each."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A pair that was never interrupted."""
    path = tmp_path_factory.mktemp("pair") / "whole"
    trainers = begun(path)
    states = [[one.state for one in trainers]]
    summaries = Pair(trainers).train([lambda _: states.append([one.state for one in trainers])])
    assert [one["role"] for one in summaries] == list(ROLES)
    assert all(one["finished"] for one in summaries)
    return Whole(path, trainers, states)


@pytest.mark.parametrize("role", few(ROLES))
def test_each_learns_from_the_latest_policy_of_the_other(whole, role):
    own, partner = ROLES.index(role), ROLES.index(other(role))
    for iteration in range(2):
        state = whole.states[iteration]
        rival = Trained(state[partner].policy, CONFIG.shield)
        alone = BarrierNetTrainer(whole.trainers[own].config, rival=rival)
        alone.state = state[own]
        alone.iterate()
        assert_same(alone.state, whole.states[iteration + 1][own])
    # Its policy before the last update is another opponent.
    alone.rival = Trained(whole.states[0][partner].policy, CONFIG.shield)
    alone.state = whole.states[1][own]
    alone.iterate()
    with pytest.raises(AssertionError):
        assert_same(alone.state, whole.states[2][own])


def test_both_are_ordinary_runs_and_each_other_s_opponents(whole):
    for run, trainer in zip(RunFolder.together(whole.path), whole.trainers, strict=True):
        config = load_config(run)
        assert config.role == run.path.name
        assert Path(config.opponent) == whole.path / other(config.role)
        assert len(read_metrics(run)) == ITERATIONS
        loaded = BarrierNetTrainer.load(run)  # its opponent is the run of the other
        assert_same(loaded.state, trainer.state)
        assert home_of_pair(run, config) == whole.path
    with pytest.raises(RunFolderError, match="holds the runs of a pursuer and an evader: name one of them, such as"):
        RunFolder.open(whole.path)


def test_an_interrupted_pair_ends_in_the_same_bits(whole, tmp_path, monkeypatch, capsys):
    path = tmp_path / "cut"
    trainers = begun(path)
    Pair(trainers).train(should_stop=after(STOP))
    assert [one.state.iteration for one in trainers] == [STOP, STOP]
    # A crash while both were saved for the second time, after the pursuer.
    shutil.copytree(path / "evader" / "checkpoints", tmp_path / "first")
    Pair(gone_on_with(path)).train(should_stop=after(STOP))
    shutil.rmtree(path / "evader" / "checkpoints")
    shutil.copytree(tmp_path / "first", path / "evader" / "checkpoints")
    going_on = []
    monkeypatch.setattr(resume, "train_and_draw", lambda trainers, *_: going_on.extend(trainers))
    assert main(["resume", str(path)]) == 0
    assert "pursuer goes back to step 64, as far as all have come" in " ".join(capsys.readouterr().out.split())
    Pair(going_on).train()
    for one, expected in zip(going_on, whole.trainers, strict=True):
        assert_same(one.state, expected.state)
    # And before the evader was saved at all.
    shutil.rmtree(path)
    trainers = begun(path)
    Pair(trainers).train(should_stop=after(STOP))
    for file in (path / "evader" / "checkpoints").iterdir():
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    going_on.clear()
    assert main(["resume", str(path)]) == 0
    assert [one.state.iteration for one in going_on] == [0, 0]


@pytest.mark.wide
def test_before_an_update_that_is_not_finite_both_are_saved(tmp_path, monkeypatch):
    update = BarrierNetTrainer.update

    def broken(self, rollout):
        report = update(self, rollout)
        if (self.config.role, self.state.iteration) == ("evader", 4):
            bias = self.policy.critic.layers[0].bias.at[1].set(math.nan)
            sick = eqx.tree_at(lambda policy: policy.critic.layers[0].bias, self.policy, bias)
            self.state = self.state._replace(policy=sick)
        return report

    monkeypatch.setattr(BarrierNetTrainer, "update", broken)
    path = tmp_path / "pair"
    with pytest.raises(NotFiniteError, match=r"policy\.critic\.layers\[0\]\.bias would be no longer finite") as caught:
        Pair(begun(path)).train()
    assert str(path / "evader" / "nonfinite" / "iteration-4.npz") in str(caught.value)
    for one in gone_on_with(path):
        assert one.state.iteration == len(read_metrics(one.run)) == 3


@pytest.mark.wide
def test_the_command_trains_a_pair(whole, tmp_path, monkeypatch, capsys):
    drawn = []
    monkeypatch.setattr(training, "draw", lambda trainer, console: drawn.append(trainer))
    tiny, path = tmp_path / "tiny.yaml", tmp_path / "pair"
    tiny.write_text(configuration.dump(CONFIG))
    words = ["train", "--config", str(tiny), "--role", "both", "--run-dir", str(path)]
    assert main([*words, "--dry-run"]) == 0
    assert [text.split("\n", 2)[1] for text in capsys.readouterr().out.split("---\n")] == [
        "role: pursuer",
        "role: evader",
    ]
    assert main(words) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert "two robots, barriernet, from each other" in told.out
    for one, expected in zip(drawn, whole.trainers, strict=True):
        assert_same(one.state, expected.state)
    for refused, part in (
        ([*words[:-1], str(tmp_path / "more"), "--seeds", "1,2"], "leave out --seeds and --from"),
        ([*words[:-1], str(tmp_path / "more"), "--from", str(path / "evader")], "leave out --seeds and --from"),
        ([*words[:-1], str(tmp_path / "more"), "--evader", "flee"], "leave out --evader and --pursuer"),
        ([*words[:-1], str(tmp_path / "more"), "--pursuer=voronoi"], "leave out --evader and --pursuer"),
        (words, f"go on with: safepursuit resume {path}"),
        (["resume", str(path / "evader")], f"learns together with its opponent: resume {path}."),
        (["evaluate", str(path)], "holds the runs of a pursuer and an evader"),
    ):
        assert main(refused) == 2
        assert part in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "more").exists()


def test_what_is_no_pair_is_refused():
    pursuer, evader = (BarrierNetTrainer(one, rival=stand_in(one)) for one in pair_of(CONFIG, Path("nowhere")))
    for wrong in ([pursuer], [evader, pursuer], [pursuer, pursuer]):
        with pytest.raises(ValueError, match="a pair is a pursuer and an evader"):
            Pair(wrong)
    evader.state = evader.state._replace(iteration=2)
    with pytest.raises(ValueError, match="the pursuer finished 0 iterations and the evader 2"):
        Pair([pursuer, evader])
