"""Runs in either role: evaders that learn, trained opponents, mixtures of both, responses, the zoo."""

import json
import re
import shutil
from dataclasses import replace

import equinox as eqx
import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safepursuit.agents import Company, Ensemble, Scripted, Trained, View
from safepursuit.cli import main
from safepursuit.compare.exploit import candidates, conclusion, search, victim_of
from safepursuit.evaluation.statistics import paired_comparison
from safepursuit.experiment import check_opponents, create_run, load_run, zoo
from safepursuit.experiment.opponents import find
from safepursuit.experiment.run import Learned
from safepursuit.game import initial
from safepursuit.learn import BarrierNetTrainer
from safepursuit.learn.rollout import collect, fresh_starts, join_games
from safepursuit.players import is_run, weights
from safepursuit.policy import build_policy
from safepursuit.runs import checkpoint
from safepursuit.runs.folder import RunFolder, RunFolderError
from tiny import GAMES, TINY, outspoken

EVADER = replace(TINY, role="evader", pursuer="pure-pursuit")


def policy(config, seed: int):
    fresh = build_policy(
        jax.random.key(seed), config.method, config.policy, config.game, config.shield, role=config.role
    )
    return outspoken(fresh, seed=seed)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run in each role, untrained."""
    home, found = tmp_path_factory.mktemp("roles"), {}
    for config in (TINY, EVADER):
        run = create_run(home / config.role, config, ["a", "test"])
        BarrierNetTrainer(config, run).save()
        found[config.role] = load_run(run)
    return found


@pytest.mark.wide
def test_a_capture_costs_an_evader_what_it_gives_a_pursuer_and_a_time_out_goes_on() -> None:
    config = replace(EVADER, rollout_length=32, game=replace(TINY.game, evader_speed_ratio=0.3, horizon=24))
    games = join_games(jax.random.key(1), config)
    starts, key = fresh_starts(jax.random.key(2), config), jax.random.key(3)
    fresh = build_policy(key, config.method, config.policy, config.game, config.shield, role="evader")
    rollout = collect(fresh, games, starts, key, config)[1]
    assert rollout.captured.any()
    assert (np.asarray(rollout.reward)[np.asarray(rollout.captured)] < -9).all()
    assert not np.asarray(rollout.cost).any()
    survived = np.asarray(rollout.truncated)
    assert survived.any()
    assert (np.asarray(rollout.next_value)[survived] != 0).all()  # a time-out goes on in the value
    assert (np.asarray(rollout.next_value)[np.asarray(rollout.terminated)] == 0).all()


@pytest.mark.wide
def test_a_member_of_an_ensemble_acts_as_it_does_alone() -> None:
    who = (*(number % 3 for number in range(18)), 1, 1, 1, 0)  # more games than slots, of unequal numbers
    policies = [policy(EVADER, seed) for seed in range(3)]
    view = View(initial(jax.random.key(4), TINY.game, len(who)), TINY.game, "evader")
    key = jax.random.key(0)

    @jax.jit
    def controls(agent):
        return agent.act(None, key, view)[0].control

    alone = [controls(Trained(one, TINY.shield)) for one in policies]
    together = controls(Ensemble.of(policies, who, TINY.shield))
    expected = np.stack([np.asarray(alone[number])[:, game] for game, number in enumerate(who)], axis=1)
    np.testing.assert_allclose(together, expected, atol=1e-5)
    half = tuple(range(0, len(who), 2)), tuple(range(1, len(who), 2))
    mixed = controls(Company((Scripted("flee", TINY.shield), Trained(policies[0], TINY.shield)), half))
    flight = controls(Scripted("flee", TINY.shield))
    np.testing.assert_allclose(mixed[:, half[0]], flight[:, half[0]], atol=1e-5)
    np.testing.assert_allclose(mixed[:, half[1]], alone[0][:, half[1]], atol=1e-5)


@pytest.mark.wide
def test_runs_of_both_roles_play_each_other(runs, capsys, tmp_path) -> None:
    hunter, prey = (runs[role].folder.path for role in ("pursuer", "evader"))
    words = ["--episodes", "5", "--json"]
    assert main(["evaluate", str(hunter), "--evader", str(prey), *words, str(tmp_path / "p.json")]) == 0
    assert main(["evaluate", str(prey), "--pursuer", str(hunter), *words, str(tmp_path / "e.json")]) == 0
    one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in "pe")
    assert (one["role"], two["role"]) == ("pursuer", "evader")
    assert one["capture"] == two["capture"]  # the same games, judged from either side
    assert (one["collision"]["count"], two["collision"]["count"]) == (
        two["opponent_collisions"],
        one["opponent_collisions"],
    )
    told = capsys.readouterr().out
    assert "escapes" in told


def test_a_run_of_the_wrong_role_is_refused(runs, capsys) -> None:
    hunter = runs["pursuer"].folder.path
    assert main(["evaluate", str(hunter), "--evader", str(hunter), "--episodes", "5"]) == 2
    assert "cannot be the evader: it is the run of a pursuer" in capsys.readouterr().err
    assert main(["evaluate", str(hunter), "--pursuer", "voronoi", "--episodes", "5"]) == 2
    assert "name its opponent, the evader" in capsys.readouterr().err
    with pytest.raises(ValueError, match="unknown evader 'nobody'"):
        find("nobody", "evader", TINY.game, shield=None)


@pytest.mark.wide
def test_a_training_against_runs_and_scripts_resumes_bit_for_bit(runs, tmp_path) -> None:
    mixture = f"flee:1,{runs['evader'].folder.path}:3"
    config = replace(TINY, evader=mixture)
    assert set(config.lineup) == {"flee", str(runs["evader"].folder.path)}
    whole, cut = (create_run(tmp_path / name, config, ["a", "test"]) for name in ("whole", "cut"))
    BarrierNetTrainer(config, whole).train()
    trainer = BarrierNetTrainer(config, cut)
    trainer.train(should_stop=lambda: trainer.state.iteration == 2)
    BarrierNetTrainer.resumed(cut).train()
    ours, theirs = (jax.tree.leaves(load_run(run).policy) for run in (whole, cut))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_training_whose_opponent_has_changed_is_not_gone_on_with(runs, tmp_path, capsys) -> None:
    rival = tmp_path / "rival"
    shutil.copytree(runs["evader"].folder.path, rival)
    config = replace(TINY, evader=f"flee:1,{rival}:3")
    run = create_run(tmp_path / "run", config, ["a", "test"])
    check_opponents(run, config)
    content = load_run(RunFolder.open(rival))
    other = jax.tree.map(lambda leaf: leaf + 1 if eqx.is_inexact_array(leaf) else leaf, content.policy)
    checkpoint.save(content.folder, content.steps + 1, Learned(other), best=False)
    assert main(["resume", str(run.path)]) == 2
    said = capsys.readouterr().err
    assert f"trains against {rival}, whose parameters have changed" in " ".join(said.split())
    (run.path / "opponents.json").unlink()  # a run of an earlier version
    check_opponents(run, config)


@pytest.mark.wide
def test_exploit_names_the_strongest_response_and_goes_on_where_it_stopped(runs, tmp_path, monkeypatch) -> None:
    victim = victim_of(str(runs["pursuer"].folder.path), None, TINY)
    assert (victim.role, victim.success) == ("pursuer", "escapes")
    starts = [None, str(runs["evader"].folder.path), "hide"]
    given = candidates(victim, [0], starts, "barriernet", GAMES * 8, 1, tmp_path)
    assert [(one.start, one.config.teacher) for one in given[-3:]] == [(None, None), (starts[1], None), (None, "hide")]
    scripts = [one for one in given if one.folder is None and one.name in ("flee", "run")]
    learned = [one for one in given if one.folder is not None]
    assert [one.name for one in learned] == ["seed-0", "from-evader-0", "from-hide-0"]
    found = search(victim, scripts + learned, 12, 0, tmp_path, ["a", "test"])
    rates = [row["escapes"]["rate"] for row in found["candidates"]]
    assert rates == sorted(rates, reverse=True)
    assert found["lower_bound"]["name"] == found["candidates"][0]["name"]
    best = max(row["escapes"]["rate"] for row in found["candidates"] if not row["learned"])
    for row in found["candidates"]:
        assert row["failed"] == (row["learned"] and row["escapes"]["rate"] < best)
    told = conclusion(found)
    assert "lower bound" in told
    assert "not exploitable" not in told
    monkeypatch.setattr("safepursuit.compare.exploit.evaluate", None)  # nothing is judged, or trained, again
    assert search(victim, scripts + learned, 12, 0, tmp_path, ["a", "test"]) == found


def test_responses_to_a_run_are_trained_as_a_file_says_in_the_game_of_the_run(runs, tmp_path, monkeypatch, capsys):
    def stopped(victim, given, *_):
        configs.append(given[-1].config)
        raise ValueError("enough")

    configs: list = []
    monkeypatch.setattr("safepursuit.cli.exploit.search", stopped)
    victim = str(runs["pursuer"].folder.path)
    words = ["exploit", victim, "--timesteps", "64", "--out", str(tmp_path / "out"), "--config"]
    (tmp_path / "batches.yaml").write_text(f"num_envs: {2 * GAMES}\nppo:\n  epochs: 7\n")
    main([*words, str(tmp_path / "batches.yaml")])
    (config,) = configs
    assert (config.num_envs, config.ppo.epochs, config.game) == (2 * GAMES, 7, TINY.game)
    (tmp_path / "rules.yaml").write_text("game:\n  horizon: 7\n")
    capsys.readouterr()
    assert main([*words, str(tmp_path / "rules.yaml")]) == 2
    assert "--config changes game or shield" in capsys.readouterr().err


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_the_paired_difference_lies_in_its_interval(pairs) -> None:
    one, other = np.array(pairs).T
    found = paired_comparison(one, other).difference
    assert found.value == pytest.approx(one.mean() - other.mean())
    assert -1 <= found.low <= found.high <= 1
    back = paired_comparison(other, one).difference
    assert (back.low, back.high) == (pytest.approx(-found.high), pytest.approx(-found.low))


@pytest.mark.parametrize("name", zoo.catalogue())
def test_what_ships_plays_its_role_and_names_nothing_that_does_not_ship(name, tmp_path) -> None:
    run = load_run(zoo.unpacked(name, cache=tmp_path))
    assert run.config.role == name.rpartition("-")[2]
    assert run.config.promises
    text = "".join(file.read_text() for file in run.folder.path.glob("*.*"))
    assert not re.search(r"(^|[\s,:\"'])/\w", text)  # no path of the machine on which it was made
    for opponent in weights(run.config.opponent, run.config.opponent_role):
        assert not is_run(opponent) or opponent.removeprefix("zoo:") in zoo.catalogue()


def test_the_zoo_gives_back_what_was_packed(runs, tmp_path, monkeypatch) -> None:
    home, cache = tmp_path / "zoo", tmp_path / "cache"
    zoo.pack(runs["evader"], "prey", "An evader.", "# Card", home)
    back = load_run(zoo.unpacked("prey", home, cache))
    assert back.config == runs["evader"].config
    for one, other in zip(jax.tree.leaves(back.policy), jax.tree.leaves(runs["evader"].policy), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(RunFolderError, match="the zoo has no 'nobody'; it has prey"):
        zoo.unpacked("nobody", home, cache)
    file = home / "prey.npz"
    file.write_bytes(file.read_bytes()[:-9] + b"something")
    with pytest.raises(RunFolderError, match="damaged"):
        zoo.unpacked("prey", home, cache)
