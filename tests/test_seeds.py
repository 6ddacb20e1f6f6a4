"""Several seeds at once: each as if it had been trained alone."""

import json
import math
from dataclasses import replace
from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np
import pytest

from safepursuit.cli import main, resume, training
from safepursuit.learn import BarrierNetTrainer
from safepursuit.learn.seeds import SeedGroup
from safepursuit.learn.trainer import NotFiniteError, NotFiniteWarning
from safepursuit.runs import checkpoint, configuration
from safepursuit.runs.folder import RunFolder
from safepursuit.runs.metrics import read_metrics
from tiny import GAMES, ITERATIONS, STEPS, TINY, after, few, numbers

SEEDS = (7, 8)
STOP = 2
"""The iteration at which the group is interrupted."""


def config_of(method, seed):
    return replace(TINY, method=method, seed=seed)


def trainer_of(config, folder=None):
    if folder is None:
        return BarrierNetTrainer(config)
    run = RunFolder.create(folder / f"{config.method}-{config.seed}", configuration.dump(config), ["safepursuit"])
    return BarrierNetTrainer(config, run)


def assert_same_training(one, two, tolerance=1e-4):
    pairs = list(zip(numbers(one.state), numbers(two.state), strict=True))
    assert len(pairs) > 30
    for (name, a), (_, b) in pairs:
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=name)


def assert_same_history(one, two, tolerance=1e-3):
    for a, b in zip(one, two, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            if not name.startswith(("time/", "qp/time_us")):
                assert a[name] == pytest.approx(b[name], rel=tolerance, abs=tolerance, nan_ok=True), name


class Course(NamedTuple):
    trainers: list[BarrierNetTrainer]
    interrupted: list[dict]
    """The seeds' summaries when the group had been stopped after two iterations."""
    loaded: list[BarrierNetTrainer]
    """What their run folders held then."""
    refusal: str
    """What was said when the second seed was given a weight that is no number."""
    left_out: tuple[list, list]
    """The policies before and after an update that only the second seed leaves out."""
    saved: list[list[int]]
    """See `saved_before_a_refusal`."""
    summaries: list[dict]
    """After the group had gone on to the end."""
    seen: list[dict]
    """By an observer, in both sittings."""


@pytest.fixture(scope="module", params=few(["ppo", "barriernet", "ppo-lagrangian"]))
def group(request, tmp_path_factory):
    """Two seeds trained together, in two sittings of one group, which is what takes long to compile."""
    folder, seen = tmp_path_factory.mktemp("group"), []
    trainers = [trainer_of(config_of(request.param, seed), folder) for seed in SEEDS]
    together = SeedGroup(trainers)
    interrupted = together.train([seen.append], should_stop=after(STOP))
    loaded = [BarrierNetTrainer.load(RunFolder.open(one.run.path)) for one in trainers]
    for one, stopped in zip(loaded, trainers, strict=True):
        assert_same_training(one, stopped, 0)

    kept = [one.state for one in trainers]
    policy = trainers[1].policy
    weight = policy.critic.layers[0].weight.at[0, 0].set(math.nan)
    sick = eqx.tree_at(lambda policy: policy.critic.layers[0].weight, policy, weight)
    trainers[1].state = trainers[1].state._replace(policy=sick)
    with pytest.raises(NotFiniteError) as caught:
        together.train()
    for one, state in zip(trainers, kept, strict=True):
        one.state = state

    without = left_out(together, trainers)
    for one, state in zip(trainers, kept, strict=True):
        one.state = state

    saved = saved_before_a_refusal(together, trainers)
    for one, state in zip(trainers, kept, strict=True):
        one.state = state

    summaries = together.train([seen.append])
    return Course(trainers, interrupted, loaded, str(caught.value), without, saved, summaries, seen)


def left_out(together, trainers):
    """The policies before and after an iteration whose update fails for the second seed, which may leave it out."""
    iteration, (config, runs) = together._iteration, (trainers[1].config, [one.run for one in trainers])

    def broken(arguments):
        state, action, found = iteration(arguments)
        policy = state["policy"]
        sick = policy.critic.layers[0].bias.at[1, 0].set(math.nan)
        policy = eqx.tree_at(lambda one: one.critic.layers[0].bias, policy, sick)
        return state | {"policy": policy}, action, found._replace(finite=found.finite.at[1].set(False))

    before = [one.policy for one in trainers]
    together._iteration, trainers[1].config = broken, replace(config, on_nonfinite="skip")
    for one in trainers:
        one.run = None
    with pytest.warns(NotFiniteWarning, match=r"left out: policy\.critic\.layers\[0\]\.bias"):
        together.train(should_stop=after(1))
    together._iteration, trainers[1].config = iteration, config
    for one, run in zip(trainers, runs, strict=True):
        one.run = run
    return before, [one.policy for one in trainers]


def saved_before_a_refusal(together, trainers):
    """The iterations at which a group saves when one goes well and the update of the next one is refused."""
    iteration, calls, saved = together._iteration, [], []

    def broken(arguments):
        state, action, found = iteration(arguments)
        calls.append(arguments)
        return state, action, found if len(calls) == 1 else found._replace(finite=found.finite.at[1].set(False))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(together, "_iteration", broken)
        patch.setattr(together, "_save", lambda: saved.append([one.state.iteration for one in trainers]))
        patch.setattr(trainers[1], "kept_batch", lambda before: "")
        with pytest.raises(NotFiniteError):
            together.train()
    return saved


@pytest.mark.wide
def test_a_seed_in_a_group_is_the_seed_alone(group):
    together = group.trainers[1]
    alone = trainer_of(together.config)
    alone.train()
    assert_same_training(together, alone)
    assert_same_history(together.history, alone.history)
    one, two = (trainer.policy.head.layer.weight for trainer in group.trainers)
    assert float(np.abs(one - two).max()) > 1e-3  # two seeds, not one twice


def test_a_group_stops_when_it_is_told_to(group):
    assert [one["iterations"] for one in group.interrupted] == [STOP, STOP]
    assert not any(one["finished"] for one in group.interrupted)


def test_a_seed_of_a_group_goes_on_alone_from_its_folder(group):
    lone = group.loaded[1]
    assert lone.state.iteration == STOP
    lone.run = None
    lone.train()
    assert_same_training(lone, group.trainers[1])
    assert_same_history(lone.history, group.trainers[1].history[STOP:])


def test_a_number_that_is_not_finite_stops_the_group_and_is_named(group):
    assert "policy.critic.layers[0].weight" in group.refusal
    assert "no longer finite" in group.refusal
    (file,) = group.trainers[1].run.nonfinite.iterdir()
    assert f"its batch is in {file};" in group.refusal
    with np.load(file) as batch:
        assert np.isnan(batch["policy.critic.layers[0].weight"]).sum() == 1
        assert batch["rollout.reward"].shape == (STEPS, GAMES)
    assert not group.trainers[0].run.nonfinite.exists()


def test_what_a_group_learned_before_a_refused_update_is_saved(group):
    assert group.saved == [[STOP + 1, STOP + 1]]


def test_a_seed_of_a_group_leaves_out_its_own_update_only(group):
    same = [
        [np.array_equal(*pair) for pair in zip(*map(jax.tree.leaves, pair), strict=True)]
        for pair in zip(*group.left_out, strict=True)
    ]
    assert not all(same[0])
    assert all(same[1])


def test_every_seed_keeps_its_own_folder(group):
    for trainer in group.trainers:
        rows = read_metrics(trainer.run)
        assert [row["iteration"] for row in rows] == list(range(1, ITERATIONS + 1))
        per = GAMES * STEPS
        saved = sorted(int(one.name) for one in trainer.run.checkpoints.iterdir() if one.is_dir())
        assert saved == [2 * per, 4 * per, 5 * per]
        loaded = BarrierNetTrainer.load(RunFolder.open(trainer.run.path))
        assert loaded.finished
        assert_same_training(loaded, trainer, 0)


def test_every_seed_has_its_own_summary(group):
    trainers, summaries = group.trainers, group.summaries
    assert [one["seed"] for one in summaries] == list(SEEDS)
    for trainer, summary in zip(trainers, summaries, strict=True):
        assert summary["finished"] is True
        assert summary["steps"] == ITERATIONS * GAMES * STEPS
        assert summary["method"] == trainer.config.method
        assert summary["last"]["ppo/kl"] == trainer.history[-1]["ppo/kl"]
        assert json.loads(trainer.run.summary.read_text()) == summary
    assert summaries[0]["last"]["ppo/kl"] != summaries[1]["last"]["ppo/kl"]


def test_observers_see_the_mean_of_the_seeds_that_have_a_number(group):
    trainers, seen = group.trainers, group.seen
    assert len(seen) == ITERATIONS
    for number, found in enumerate(seen):
        rows = [one.history[number] for one in trainers]
        for name, value in found.items():
            known = [row[name] for row in rows if not math.isnan(row[name])]
            assert value == pytest.approx(sum(known) / len(known) if known else math.nan, nan_ok=True)


@pytest.mark.wide
def test_the_command_trains_and_resumes_several_seeds_as_runs_of_their_own(tmp_path, monkeypatch, capsys):
    drawn = []
    monkeypatch.setattr(training, "draw", lambda trainer, console: drawn.append(trainer.config.seed))
    tiny, path = tmp_path / "tiny.yaml", tmp_path / "group"
    tiny.write_text(configuration.dump(replace(TINY, timesteps=3 * TINY.steps_per_iteration)))
    train = ["train", "--config", str(tiny), "--seeds", "3,5", "--run-dir", str(path)]
    assert main(train) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert "seeds 3,5" in told.out
    assert drawn == [3, 5]
    for seed in (3, 5):
        trainer = BarrierNetTrainer.load(RunFolder.open(path / f"seed-{seed}"))
        assert (trainer.config.seed, trainer.state.iteration, trainer.finished) == (seed, 3, True)
        assert len(read_metrics(trainer.run)) == 3
    for words, *parts in (
        (train, "already exists and is not empty"),
        (["evaluate", str(path)], "holds the runs of several seeds", str(path / "seed-3")),
        (["resume", str(path)], "has already played 96 steps"),
    ):
        assert main(words) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        for part in parts:
            assert part in error
    resumed = []  # to train on is what the group above does
    monkeypatch.setattr(resume, "train_and_draw", lambda trainers, *_: resumed.extend(trainers))
    assert main(["resume", str(path), "--timesteps", str(5 * TINY.steps_per_iteration)]) == 0
    assert [(one.config.seed, one.state.iteration, one.config.iterations) for one in resumed] == [(3, 3, 5), (5, 3, 5)]
    ahead_of_all = RunFolder.open(path / "seed-3")
    trainer = BarrierNetTrainer.load(ahead_of_all)
    assert trainer.config.iterations == 5
    # A crash while a group was saved, between one seed and the next.
    checkpoint.save(ahead_of_all, 128, trainer.state._replace(iteration=4, steps=128), best=False)
    resumed.clear()
    capsys.readouterr()
    assert main(["resume", str(path)]) == 0
    assert "goes back to step 96, as far as all have come" in " ".join(capsys.readouterr().out.split())
    assert [(one.config.seed, one.state.iteration, one.state.steps) for one in resumed] == [(3, 3, 96), (5, 3, 96)]


def test_groups_that_are_none_are_refused():
    with pytest.raises(ValueError, match="at least one seed"):
        SeedGroup([])


@pytest.mark.parametrize(
    "changes", [{"evader": "flee"}, {"timesteps": 1}, {"ppo": replace(TINY.ppo, epochs=3)}, {"method": "ppo"}]
)
def test_seeds_of_different_configurations_are_refused(changes):
    other = trainer_of(replace(TINY, seed=8, **changes))
    with pytest.raises(ValueError, match="may differ in their seeds only"):
        SeedGroup([trainer_of(TINY), other])


def test_seeds_that_have_not_come_equally_far_are_refused():
    ahead, behind = (trainer_of(config_of("barriernet", seed)) for seed in SEEDS)
    ahead.state = ahead.state._replace(iteration=2)
    with pytest.raises(ValueError, match="seed 7 finished 2 iterations and seed 8 0"):
        SeedGroup([ahead, behind])
