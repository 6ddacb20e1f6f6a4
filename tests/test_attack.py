"""The falsifier: it finds what is planted, says no more than the referee, keeps what can be replayed, and finds nothing
in the shipped shield."""

import json
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from safepursuit.attack import falsify as falsifier
from safepursuit.attack.drive import attempt, descend, judged, recording
from safepursuit.attack.falsify import falsify, keep
from safepursuit.attack.plans import decode, number_of_genes, pick
from safepursuit.attack.planted import CONTROL, mistakes
from safepursuit.attack.search import SEARCHES
from safepursuit.attack.worlds import behind, shipped
from safepursuit.cli import main
from safepursuit.evaluation import metrics
from safepursuit.experiment import create_run
from safepursuit.learn import BarrierNetTrainer
from safepursuit.play import recording as recordings
from safepursuit.robot import Budget, Unicycle
from safepursuit.shield import Shield, fitting
from tiny import TINY

SMALL = {"discs": 2, "steps": 24}
GUARDED = behind("position known to 5 cm", Unicycle(), Budget(pose=0.05), **SMALL)
UNGUARDED = replace(GUARDED, name="margin missing", shield=Shield(), truth=Budget(pose=0.05))


def drawn(world, games, seed=0):
    genes = np.random.default_rng(seed).random((number_of_genes(world), games))
    return jnp.asarray(genes, jnp.float32)


@pytest.fixture(scope="module")
def planted():
    """A mistake, as found in random games and shrunk."""
    return falsify(UNGUARDED, 200_000, searches=["random"], games=64)


def test_an_error_of_the_position_never_lets_a_robot_without_inertia_touch_a_disc():
    """Measured nearer than it is, a body overlaps a disc as enlarged: the way out by the measured normal may lead in.
    Found by the falsifier: up to 7 mm deep."""
    found = falsify(GUARDED, 50_000, searches=["random"], games=64)
    summary = found.summary()
    assert summary["contacts"] == 0
    assert summary["infeasible"] == 0
    assert summary["steps"] >= 50_000
    assert summary["least_clearance"] < 1e-3  # it was near enough to collide


@pytest.mark.wide
def test_a_planted_mistake_is_found_and_its_simplest_form_is_simpler(planted):
    first, minimal = planted.first, planted.minimal
    assert planted.found_by == "random"
    assert first.verdict.contact.any()
    assert minimal.verdict.contact.any()
    assert minimal.plan.present.sum() <= min(1, first.plan.present.sum())
    assert np.count_nonzero(minimal.plan.errors) <= np.count_nonzero(first.plan.errors)
    assert len(np.unique(minimal.plan.nominal)) < len(np.unique(first.plan.nominal))


def test_evolution_finds_it_too_and_nothing_where_nothing_is(monkeypatch):
    monkeypatch.setattr(falsifier, "shrink", lambda plan, world, policy: tuple(range(3)))
    assert falsify(UNGUARDED, 200_000, searches=["cma-es"], games=64).found_by == "cma-es"
    assert falsify(GUARDED, 30_000, searches=["cma-es"], games=64).first is None


def test_what_is_found_is_kept_as_a_recording_that_collides_for_the_referee(planted, tmp_path):
    files = keep(planted, tmp_path / "found")
    assert [file.name for file in files] == ["margin_missing-found.npz", "margin_missing-minimal.npz"]
    for file, one in zip(files, (planted.first, planted.minimal), strict=True):
        loaded, _ = recordings.load(file)
        verdict = metrics.verdict(loaded)
        assert verdict.collided.tolist() == [True]
        assert loaded.outcome.tolist() == ["collision"]
        assert loaded.length.tolist() == [one.step + 1]
        assert -np.nanmin(verdict.clearance) == pytest.approx(one.depth, abs=1e-12)
    assert not keep(falsifier.Finding(UNGUARDED), tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_the_referee_sees_every_contact_though_it_is_shown_only_what_is_within_reach():
    driven, plan, least = attempt(drawn(UNGUARDED, 64), UNGUARDED)
    verdict = judged(plan, driven, UNGUARDED)
    nothing = verdict._replace(contact=np.zeros_like(verdict.contact))  # recorded to the end
    whole = metrics.verdict(recording(plan, driven, nothing, UNGUARDED))
    assert verdict.contact.any()
    np.testing.assert_array_equal(verdict.contact, whole.wall | whole.obstacle | whole.invalid)
    near = np.isfinite(verdict.clearance)
    np.testing.assert_allclose(verdict.clearance[near], whole.clearance[near], atol=1e-12)
    assert whole.clearance[~near].min() > 0
    # What a search descends: ends and middles of steps, in single precision.
    assert np.all(np.asarray(least) >= whole.clearance.min(axis=1) - 1e-5)


def test_a_game_that_is_not_finite_is_a_contact():
    driven, plan, _ = attempt(drawn(UNGUARDED, 64), UNGUARDED)
    pose = np.array(driven.pose)
    pose[7, 0, 3] = np.nan
    verdict = judged(plan, driven._replace(pose=pose), UNGUARDED)
    assert verdict.contact[3, 6:8].all()  # the step that led there, too


@pytest.mark.parametrize("world", [GUARDED, CONTROL], ids=lambda world: world.name)
def test_every_start_is_clear_of_everything(world):
    genes = np.concatenate(
        [drawn(world, 200), np.zeros((number_of_genes(world), 1)), np.ones((number_of_genes(world), 1))], axis=1
    )
    plan = pick(decode(jnp.asarray(genes, jnp.float32), world), slice(None))
    apart = np.linalg.norm(plan.centre.astype(float) - plan.start[:2, None].astype(float), axis=0)
    gaps = np.where(plan.present, apart - plan.radius, np.inf).min(axis=0)
    walls = (np.array(world.half_extents)[:, None] - np.abs(plan.start[:2].astype(float))).min(axis=0)
    assert np.minimum(gaps, walls).min() >= world.robot.radius + world.start_clearance
    assert plan.present.sum(axis=0).min() == 0
    assert plan.present.sum(axis=0).max() == world.discs


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "one of a run folder, --shield and --planted"),
        (["--shield", "--planted"], "one of a run folder"),
        (["--shield", "--budget", "0"], "--budget must be at least 1"),
        (["--shield", "--seed", "-1"], "seed"),
        (["nowhere"], "nowhere"),
    ],
)
def test_wrong_calls_are_refused_in_a_sentence(words, says, capsys):
    assert main(["falsify", *words]) == 2
    assert says in capsys.readouterr().err


def test_the_command_reports_and_exits_1_on_a_collision(planted, monkeypatch, tmp_path, capsys):
    def small(world, budget, **more):
        return planted if world is UNGUARDED else falsify(world, budget, searches=["random"], games=64)

    monkeypatch.setattr("safepursuit.cli.falsify.falsify", small)
    for world, status in ((GUARDED, 0), (UNGUARDED, 1)):
        monkeypatch.setattr("safepursuit.cli.falsify.shipped", lambda world=world: (world,))
        file = tmp_path / f"{status}.json"
        words = ["falsify", "--shield", "--budget", "30000", "--json", str(file), "--out", str(tmp_path / "out")]
        assert main(words) == status
        figures = json.loads(file.read_text())
        out = capsys.readouterr()
        if status:
            assert "margin missing: contact in step" in out.err
            assert figures["worlds"][0]["minimal"]["discs"] <= 1
            assert len(list((tmp_path / "out").iterdir())) == 2
        else:
            assert figures["steps"] >= 30_000
            assert figures["upper_bound"] == pytest.approx(-np.log(0.025) / figures["steps"], rel=1e-3)
            assert f"0 contacts in {figures['steps']:,} steps" in out.out


@pytest.mark.heavy
@pytest.mark.parametrize("world", mistakes(), ids=lambda world: world.name)
def test_every_planted_mistake_is_found(world):
    assert falsify(world, 5_000_000).first is not None


@pytest.mark.heavy
@pytest.mark.parametrize("world", [*shipped(), CONTROL], ids=lambda world: world.name)
def test_nothing_is_found_in_the_shipped_shield(world):
    found = falsify(world, 1_000_000)
    assert found.first is None, found.minimal.sentence(world)
    assert found.summary()["infeasible"] == 0
    assert set(SEARCHES) == {name for name, one in found.tallies.items() if one.steps}


@pytest.mark.heavy
def test_the_gradient_leads_to_less_clearance():
    genes = drawn(GUARDED, 256)
    before = np.asarray(attempt(genes, GUARDED)[2])
    for _ in range(10):
        *_, genes = descend(genes, jnp.float32(0.02), GUARDED)
    after = np.asarray(attempt(genes, GUARDED)[2])
    far = before > 0.01
    assert np.mean(after[far] < before[far]) > 0.8


@pytest.mark.heavy
@pytest.mark.parametrize("method", ["barriernet", "ppo"])
@pytest.mark.parametrize("robot", ["unicycle", "inertial"])
def test_a_run_is_attacked_by_starts_layouts_and_opponents(method, robot, tmp_path, capsys):
    config = TINY.with_robot(robot)
    config = replace(config, method=method, shield=fitting(config.game.robot, (3.0, 3.0)))
    trainer = BarrierNetTrainer(config, create_run(tmp_path / "run", config, ["train"]))
    trainer.save()
    words = ["falsify", str(tmp_path / "run"), "--budget", "100000", "--out", str(tmp_path / "out")]
    assert main(words) == (0 if config.promises else 1)
    assert (tmp_path / "out").exists() != config.promises
    assert ("contact in step" in capsys.readouterr().err) != config.promises
