"""The training loop: the same bits every time, interrupted or not, and nothing lost when something breaks."""

import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace

import equinox as eqx
import jax
import numpy as np
import pytest

from safepursuit.experiment import TrainConfig, load_config
from safepursuit.learn import BarrierNetTrainer, refused
from safepursuit.learn.trainer import NotFiniteError, NotFiniteWarning
from safepursuit.policy import build_policy
from safepursuit.runs import configuration
from safepursuit.runs.checkpoint import CheckpointError, CheckpointWarning
from safepursuit.runs.folder import RunFolder, RunFolderError
from safepursuit.runs.metrics import read_metrics
from tiny import GAMES, ITERATIONS, STEPS, TINY, after, few, numbers

CLOCK = ("time/", "qp/time_us")
"""Columns that depend on the clock."""


def create(path, config=TINY):
    return RunFolder.create(path, configuration.dump(config), ["safepursuit", "train"])


def assert_same_training(one, two):
    pairs = list(zip(numbers(one.state), numbers(two.state), strict=True))
    assert len(pairs) > 30
    for (name, a), (_, b) in pairs:
        np.testing.assert_array_equal(a, b, err_msg=name)


def steady(rows):
    """Rows without what the clock says; NaN (a rate without episodes) made comparable."""
    return [
        {name: None if math.isnan(value) else value for name, value in row.items() if not name.startswith(CLOCK)}
        for row in rows
    ]


def same(rows, others):
    return [repr(dict(row)) for row in rows] == [repr(dict(row)) for row in others]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training from start to end: the run, the trainer, the summary it returned."""
    run = create(tmp_path_factory.mktemp("whole") / "run")
    trainer = BarrierNetTrainer(TINY, run)
    summary = trainer.train()
    return run, trainer, summary


def test_the_log_holds_what_observers_see(tmp_path):
    """To the last bit; the trainer's history is that log, and nothing of it stays in memory."""
    run, seen = create(tmp_path / "run"), []
    trainer = BarrierNetTrainer(TINY, run)
    trainer.train([seen.append], should_stop=after(2))
    assert same(read_metrics(run), seen)
    assert same(trainer.history, seen)
    assert trainer._rows == []
    run.metrics.write_text("nonsense")
    assert trainer.history == []


def test_a_training_plays_what_it_was_asked_for(whole):
    run, trainer, summary = whole
    assert trainer.finished
    assert trainer.state.iteration == ITERATIONS
    assert trainer.state.steps == summary["steps"] == ITERATIONS * GAMES * STEPS
    rows = read_metrics(run)
    assert [row["iteration"] for row in rows] == list(range(1, ITERATIONS + 1))
    assert [row["steps"] for row in rows] == [GAMES * STEPS * k for k in range(1, ITERATIONS + 1)]


def test_a_learner_comes_to_drive_like_its_teacher():
    ppo = replace(TINY.ppo, imitation=10.0, imitation_share=0.75, learning_rate=0.02, target_kl=0.0)
    config = replace(TINY, teacher="pure-pursuit", policy=replace(TINY.policy, hidden=(32,)), ppo=ppo)
    trainer, seen, weights = BarrierNetTrainer(replace(config, timesteps=20 * GAMES * STEPS)), [], []
    trainer.train([seen.append, lambda _: weights.append(trainer.imitation)])
    assert [weights[number - 1] for number in (3, 15, 19)] == pytest.approx([8.0, 0.0, 0.0], abs=1e-9)
    distances = [row["ppo/imitation"] for row in seen]
    assert np.mean(distances[10:15]) < 0.5 * distances[0]  # with the weight 0 it more than doubles
    rollout = trainer.collect_rollout()
    (pose, other), advice = (np.asarray(one) for one in rollout.situation[:2]), np.asarray(rollout.advice)
    bearing = np.arctan2(other[:, 1] - pose[:, 1], other[:, 0] - pose[:, 0]) - pose[:, 2]
    np.testing.assert_allclose(advice[:, 0], np.maximum(np.cos(bearing), 0) * config.robot.max_speed, atol=1e-5)
    assert np.all(np.sign(advice[:, 1]) == np.sign(np.sin(bearing)))


def test_a_teacher_is_a_script_of_the_learners_role():
    with pytest.raises(ValueError, match="unknown pursuer 'flee'"):
        replace(TINY, teacher="flee")
    with pytest.raises(ValueError, match=r"imitation_share must lie in \(0, 1\], not 0"):
        replace(TINY, ppo=replace(TINY.ppo, imitation_share=0.0))
    taught = replace(TINY, teacher="pure-pursuit")
    assert taught.in_role("pursuer").teacher == "pure-pursuit"
    assert taught.in_role("evader").teacher is None


def test_metrics_have_the_names_of_the_contract(whole):
    run, _, _ = whole
    names = set(read_metrics(run)[0])
    assert names >= {
        *(f"pursuit/{name}" for name in ("capture_rate", "capture_time", "return", "episode_length")),
        *(f"safety/{name}" for name in ("collisions_wall", "collisions_obstacle", "collisions_robot", "min_clearance")),
        *(
            f"qp/{name}"
            for name in (
                "intervention_rate",
                "correction",
                "infeasible_rate",
                "residual",
                "time_us",
                "zero_gradient_share",
            )
        ),
        *(
            f"ppo/{name}"
            for name in (
                "policy_loss",
                "value_loss",
                "entropy",
                "kl",
                "clip_fraction",
                "explained_variance",
                "grad_norm",
                "learning_rate",
                "std_v",
                "std_omega",
            )
        ),
        "time/steps_per_second",
    }
    assert "ppo/imitation" not in names


def test_a_shielded_training_neither_collides_nor_fails_to_solve(whole):
    for row in whole[1].history:
        assert row["safety/collisions"] == 0
        assert row["qp/infeasible_rate"] == 0
        assert row["safety/min_clearance"] > 0
        assert row["qp/residual"] < 1e-5
        assert row["qp/time_us"] > 0


def test_the_learning_rate_falls_as_configured(whole):
    rates = [row["ppo/learning_rate"] for row in whole[1].history]
    np.testing.assert_allclose(rates, TINY.ppo.learning_rate * (1 - np.arange(ITERATIONS) / ITERATIONS))


def test_the_same_configuration_gives_the_same_bits(whole):
    again = BarrierNetTrainer(TINY)
    again.train()
    assert_same_training(again, whole[1])
    assert steady(again.history) == steady(whole[1].history)


def test_another_seed_gives_another_training():
    one, two = (BarrierNetTrainer(replace(TINY, seed=seed)).state for seed in (7, 8))
    assert not np.array_equal(one.policy.actor.layers[0].weight, two.policy.actor.layers[0].weight)
    assert not np.any(np.asarray(one.games.state.pursuer) == np.asarray(two.games.state.pursuer))


def test_collecting_and_updating_by_hand_is_training(whole):
    """`collect_rollout` and `update` are the two halves of an iteration, for those who write their own loop."""
    trainer = BarrierNetTrainer(TINY)
    for _ in range(ITERATIONS):
        rollout = trainer.collect_rollout()
        assert rollout.action.shape == (STEPS, 2, GAMES)
        report = trainer.update(rollout)
        assert float(report.gradient_steps) > 0
    for one, two in zip(jax.tree.leaves(trainer.policy), jax.tree.leaves(whole[1].policy), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_interrupted_and_resumed_is_as_if_nothing_had_happened(whole, tmp_path, stop):
    """Stopped between checkpoints or at one, loaded from disk into a new trainer: every bit as in one go."""
    run = create(tmp_path / "run")
    first = BarrierNetTrainer(TINY, run)
    summary = first.train(should_stop=after(stop))
    assert first.state.iteration == stop
    assert not summary["finished"]
    second = BarrierNetTrainer.load(RunFolder.open(run.path))
    assert_same_training(second, first)
    assert second.state.seconds == first.state.seconds
    assert steady(second.history) == steady(first.history)
    second.train()
    assert_same_training(second, whole[1])
    assert steady(read_metrics(run)) == steady(read_metrics(whole[0]))
    assert steady(second.history) == steady(whole[1].history)


def test_a_crash_loses_no_more_than_what_followed_the_last_checkpoint(whole, tmp_path):
    """The third iteration is logged, then everything stops; the checkpoint is of the second."""
    run = create(tmp_path / "run")

    def crash(metrics):
        if metrics["iteration"] == 3:
            raise MemoryError

    with pytest.raises(MemoryError):
        BarrierNetTrainer(TINY, run).train([crash])
    assert len(read_metrics(run)) == 3
    trainer = BarrierNetTrainer.load(run)
    assert trainer.state.iteration == 2
    assert len(trainer.history) == 2
    trainer.train()
    assert_same_training(trainer, whole[1])
    assert steady(read_metrics(run)) == steady(read_metrics(whole[0]))


def test_a_finished_training_can_be_extended(whole, tmp_path):
    run = create(tmp_path / "run")
    BarrierNetTrainer(TINY, run).train(should_stop=after(2))
    longer = BarrierNetTrainer.load(run, timesteps=TINY.timesteps + 1)
    assert longer.config.iterations == ITERATIONS + 1  # whole iterations, never fewer steps than asked for
    assert longer.state.iteration == 2
    shorter = BarrierNetTrainer.load(run, timesteps=1)
    assert shorter.finished


def test_checkpoints_are_written_as_configured(whole):
    run, trainer, summary = whole
    per = GAMES * STEPS
    assert sorted(int(one.name) for one in run.checkpoints.iterdir() if one.is_dir()) == [2 * per, 4 * per, 5 * per]
    assert (run.checkpoints / "latest").read_text().split()[0] == f"{5 * per:012d}"
    rates = {}
    for first, last in ((0, 2), (2, 4), (4, 5)):
        rows = trainer.history[first:last]
        episodes = sum(row["pursuit/episodes"] for row in rows)
        captures = sum(row["pursuit/capture_rate"] * row["pursuit/episodes"] for row in rows if row["pursuit/episodes"])
        rates[last * per] = captures / episodes
    best = max(reversed(rates), key=rates.get)  # of equals, the later
    assert int((run.checkpoints / "best").read_text().split()[0]) == best
    assert summary["best_capture_rate"] == pytest.approx(rates[best])
    restored = BarrierNetTrainer.load(run, "best")
    assert restored.state.steps == best


def test_the_summary_says_what_was_done(whole):
    run, trainer, summary = whole
    assert set(summary) == {
        "method",
        "role",
        "evader",
        "teacher",
        "seed",
        "finished",
        "iterations",
        "steps",
        "seconds",
        "steps_per_second",
        "collisions",
        "qp_time_us",
        "best_capture_rate",
        "last",
    }
    assert (summary["method"], summary["evader"], summary["seed"]) == ("barriernet", "random", 7)
    assert summary["finished"] is True
    assert summary["collisions"] == 0
    assert summary["seconds"] > 0
    assert summary["last"]["ppo/kl"] == trainer.history[-1]["ppo/kl"]  # the last tenth of five: the last
    assert json.loads(run.summary.read_text()) == summary


def test_a_trainer_that_has_done_nothing_has_nothing_to_say():
    summary = BarrierNetTrainer(TINY).get_training_summary()
    assert summary["steps"] == summary["iterations"] == 0
    assert summary["steps_per_second"] is None
    assert summary["best_capture_rate"] is None
    assert summary["last"] == {}


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_number_that_is_not_finite_stops_the_training_and_is_named(whole, tmp_path, poison):
    run = create(tmp_path / "run")
    trainer = BarrierNetTrainer(TINY, run)
    trainer.train(should_stop=after(2))
    kept = trainer.state
    before = {file: file.read_bytes() for file in run.checkpoints.rglob("*") if file.is_file()}
    weight = trainer.policy.critic.layers[0].weight.at[0, 0].set(poison)
    sick = eqx.tree_at(lambda policy: policy.critic.layers[0].weight, trainer.policy, weight)
    trainer.state = trainer.state._replace(policy=sick)
    with pytest.raises(NotFiniteError, match=r"policy\.critic\.layers\[0\]\.weight.* no longer finite") as caught:
        trainer.train()
    assert ("ppo/value_loss" in str(caught.value)) == math.isnan(poison)  # an infinite weight saturates a tanh
    assert "last checkpoint is intact" in str(caught.value)
    assert f"its batch is in {run.path / 'nonfinite' / 'iteration-3.npz'};" in str(caught.value)
    with np.load(run.path / "nonfinite" / "iteration-3.npz") as batch:
        np.testing.assert_array_equal(batch["policy.critic.layers[0].weight"], weight)
        trainer.state = kept._replace(policy=sick)
        played = trainer.collect_rollout()
        for name in ("action", "reward", "value"):
            np.testing.assert_array_equal(batch[f"rollout.{name}"], getattr(played, name))
        assert np.isnan(batch["rollout.value"]).any() == math.isnan(poison)
        assert batch["learning_rate"] == whole[1].history[2]["ppo/learning_rate"]
    assert {file: file.read_bytes() for file in run.checkpoints.rglob("*") if file.is_file()} == before
    healthy = BarrierNetTrainer.load(run)
    for (name, a), (_, b) in zip(numbers(healthy.state), numbers(kept), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)


def test_an_invalid_game_stops_the_training(monkeypatch):
    """As from an opponent of a plugin whose control is not finite: what is learned of it is finite, but not a game."""
    trainer = BarrierNetTrainer(TINY)
    collect = trainer.collect_rollout

    def spoilt():
        rollout = collect()
        assert not rollout.invalid.any()
        return rollout._replace(invalid=rollout.invalid.at[3, 1].set(True))

    monkeypatch.setattr(trainer, "collect_rollout", spoilt)
    with pytest.raises(NotFiniteError, match="a game is invalid, because a pose"):
        trainer.train()
    assert trainer.history == []


def test_a_run_keeps_three_batches_that_were_refused_and_none_on_a_full_disk(tmp_path, monkeypatch):
    run = create(tmp_path / "run")
    batches = [refused.Batch({"weight": np.full(2, number)}, None, 0.1) for number in range(5)]

    def full(stream, **arrays):
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez_compressed", full)
        assert refused.keep(run, 7, batches[0]) is None
    assert list(run.nonfinite.iterdir()) == []
    run.nonfinite.rmdir()
    kept = [refused.keep(run, iteration, batch) for iteration, batch in enumerate(batches)]
    assert [file and file.name for file in kept] == [*(f"iteration-{k}.npz" for k in range(3)), None, None]
    for number, file in enumerate(kept[:3]):
        with np.load(file) as found:
            assert {name: found[name].tolist() for name in found} == {
                "policy['weight']": [number, number],
                "learning_rate": 0.1,
            }
    run.discard_unlearned()  # nothing was learned, but this was found
    assert kept[0].is_file()


@pytest.fixture
def poisoned(monkeypatch):
    """Call it to let the update of an iteration come out with a number that is none."""

    def poison(iteration):
        update = BarrierNetTrainer.update

        def broken(self, rollout):
            report = update(self, rollout)
            if self.state.iteration == iteration:
                bias = self.policy.critic.layers[0].bias.at[1].set(math.nan)
                sick = eqx.tree_at(lambda policy: policy.critic.layers[0].bias, self.policy, bias)
                self.state = self.state._replace(policy=sick)
            return report

        monkeypatch.setattr(BarrierNetTrainer, "update", broken)

    return poison


def test_before_an_update_that_is_not_finite_all_is_saved(whole, tmp_path, poisoned, monkeypatch):
    """The third update fails: what the second left is kept, and goes on to the same end."""
    run = create(tmp_path / "run", replace(TINY, checkpoint_every=TINY.iterations))
    poisoned(3)
    with pytest.raises(NotFiniteError, match=r"stopped: policy\.critic\.layers\[0\]\.bias would be no longer finite"):
        BarrierNetTrainer(load_config(run), run).train()
    assert [file.name for file in run.nonfinite.iterdir()] == ["iteration-3.npz"]
    assert [row["iteration"] for row in read_metrics(run)] == [1, 2]
    monkeypatch.undo()
    again = BarrierNetTrainer.load(run)
    assert again.state.iteration == 2
    again.config = TINY  # which differs in the checkpoints only
    again.train()
    for one, two in zip(jax.tree.leaves(again.policy), jax.tree.leaves(whole[1].policy), strict=True):
        np.testing.assert_array_equal(one, two)


def test_an_update_that_is_not_finite_is_left_out_on_request(whole, poisoned):
    poisoned(2)
    trainer = BarrierNetTrainer(replace(TINY, on_nonfinite="skip"))
    after_first = []
    with pytest.warns(NotFiniteWarning, match=r"update of iteration 2 is left out: policy\.critic\.layers\[0\]\.bias"):
        trainer.train([lambda _: after_first.append(trainer.state)], after(2))
    first, second = after_first
    for name in ("policy", "optimiser"):
        for one, two in zip(*(jax.tree.leaves(getattr(state, name)) for state in after_first), strict=True):
            np.testing.assert_array_equal(one, two)
    assert second.steps == 2 * first.steps
    assert steady(trainer.history[:1]) == steady(whole[1].history[:1])
    assert trainer.train()["finished"]
    assert all(math.isfinite(value) for name, value in trainer.history[-1].items() if name.startswith("ppo/"))


@pytest.mark.wide
def test_a_setting_that_no_float_can_hold_is_named(poisoned):
    """There is no checkpoint yet, and no learning rate would help."""
    poisoned(1)
    config = replace(TINY, ppo=replace(TINY.ppo, cost_limit=1e39))
    with pytest.raises(
        NotFiniteError, match=r"first update, nothing is saved; ppo\.cost_limit is beyond single precision\.$"
    ):
        BarrierNetTrainer(config).train()
    with pytest.raises(ValueError, match="on_nonfinite must be stop or skip, not 'hope'"):
        replace(TINY, on_nonfinite="hope")


@pytest.mark.wide
@pytest.mark.parametrize("rates", few([(0.5, 0.5, 1.0, 0.0, 0.9), (0.2, 0.8, 0.5, 0.5, 0.1)]))
def test_the_best_checkpoint_is_the_same_whatever_was_interrupted(tmp_path, monkeypatch, rates):
    """Capture rates of five iterations, saved every second one and at the end; stopped after each of them in turn."""

    def learn(self):
        """An iteration of nothing but these rates."""
        iteration = self.state.iteration + 1
        captures = self.state.captures + 10 * rates[iteration - 1]
        steps = self.state.steps + TINY.steps_per_iteration
        kept = {"episodes": self.state.episodes + 10, "captures": captures, "steps": steps}
        self.state = self.state._replace(iteration=iteration, **kept)
        row = {"iteration": float(iteration), "steps": float(steps), "time/compiled": 0.0, "time/steps_per_second": 1.0}
        return row | {"safety/collisions": 0.0, "qp/time_us": 1.0}

    monkeypatch.setattr(BarrierNetTrainer, "iterate", learn)
    found = set()
    for stops in ((), (1,), (2,), (3,), (4,), (1, 2, 3, 4)):
        run = create(tmp_path / "-".join(map(str, ("run", *stops))))
        for stop in stops:
            trainer = BarrierNetTrainer.resumed(run)
            trainer.train(should_stop=lambda trainer=trainer, stop=stop: trainer.state.iteration >= stop)
            assert (run.checkpoints / "best").is_file()
        trainer = BarrierNetTrainer.resumed(run)
        trainer.train()
        found.add(((run.checkpoints / "best").read_text().split()[0], trainer.state.best))
    pairs = [sum(rates[:2]) / 2, sum(rates[2:4]) / 2, rates[4]]
    assert len(found) == 1
    assert found.pop()[1] == pytest.approx(max(pairs))


def test_a_full_disk_is_noticed_before_anything_is_played(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=20_000))
    monkeypatch.setattr(BarrierNetTrainer, "collect_rollout", None)
    with pytest.raises(
        CheckpointError, match=r"the disk is full: a checkpoint takes 0\.\d MB, and .* has 0\.0 MB left"
    ):
        BarrierNetTrainer(TINY, create(tmp_path / "run")).train()


def test_only_one_process_writes_a_run(tmp_path):
    """The other one is told which process that is; the lock ends with it, however it ends."""
    run = create(tmp_path / "run")
    holding = "import sys, time; from safepursuit.runs import folder, lock; from pathlib import Path\n"
    holding += "with lock.writing(folder.RunFolder(Path(sys.argv[1]))): print(flush=True); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", holding, str(run.path)], stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        trainer = BarrierNetTrainer(TINY, run)
        with pytest.raises(RunFolderError, match=rf"{run.path} is being written by process {process.pid} on "):
            trainer.train()
        assert not run.metrics.exists()
        assert not any(run.checkpoints.iterdir())
    finally:
        process.kill()
        process.communicate()
    with trainer.writing(), trainer.writing():  # one process may ask twice
        trainer.train(should_stop=after(0))


def test_a_run_that_does_not_fit_is_refused(whole, tmp_path):
    run = create(tmp_path / "run")
    BarrierNetTrainer(TINY, run).train(should_stop=after(1))
    run.config.write_text(configuration.dump(replace(TINY, policy=replace(TINY.policy, hidden=(9,)))))
    with (
        pytest.warns(CheckpointWarning, match="was changed or damaged"),
        pytest.raises(CheckpointError, match="does not fit this run's configuration"),
    ):
        BarrierNetTrainer.load(run)


def test_the_configuration_of_a_run_is_its_own(whole):
    assert load_config(whole[0]) == TINY


def test_an_impossible_game_is_refused_at_once():
    with pytest.raises(ValueError, match=r"no layout found .* robots 50–60 m apart in a 6 m × 6 m arena"):
        BarrierNetTrainer(replace(TINY, num_envs=256, game=replace(TINY.game, start_distance=(50.0, 60.0))))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "dqn"}, "unknown method 'dqn'; known are barriernet, cbf-beta, ppo"),
        ({"evader": "cat"}, "unknown evader 'cat'; known are random, run, flee"),
        ({"timesteps": 0}, "timesteps must be at least 1"),
        ({"num_envs": 0}, "num_envs must be at least 1"),
        ({"rollout_length": 7}, "rollout_length 7 cannot be cut into 2 minibatches"),
        ({"shield": replace(TINY.shield, offset=0.04)}, "more than the shield's offset"),
        ({"shield": replace(TINY.shield, robot_barrier=True, robot_gain=0.1)}, "forbids capture"),
    ],
)
def test_contradictory_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(TINY, **changes)


@pytest.mark.parametrize(("timesteps", "iterations"), [(1, 1), (32, 1), (33, 2), (320, 10)])
def test_timesteps_are_rounded_up_to_whole_iterations(timesteps, iterations):
    assert replace(TINY, timesteps=timesteps).iterations == iterations


def test_every_method_trains(tmp_path):
    """Plain PPO, through the same loop; without a safety layer, nothing intervenes."""
    config = replace(TINY, method="ppo", timesteps=GAMES * STEPS)
    trainer = BarrierNetTrainer(config)
    before = build_policy(jax.random.key(0), "ppo", config.policy, config.game, config.shield)
    trainer.train()
    assert jax.tree.structure(trainer.policy) == jax.tree.structure(before)
    assert trainer.history[0]["qp/intervention_rate"] == 0
    assert trainer.history[0]["ppo/gradient_steps"] > 0


def test_defaults_make_a_valid_training():
    assert TrainConfig().iterations == math.ceil(1_000_000 / (256 * 64))
