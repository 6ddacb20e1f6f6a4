"""What may differ from game to game: the number of discs, the evader's speed limit, the evader."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from safepursuit import game as rules
from safepursuit.experiment import TrainConfig
from safepursuit.game import Game
from safepursuit.learn import BarrierNetTrainer
from safepursuit.learn.health import rollout_metrics
from safepursuit.runs import configuration
from safepursuit.runs.configuration import ConfigurationError
from safepursuit.scene import Arena
from safepursuit.shield import Shield
from tiny import TINY, evader_control, moved

GAME = Game(Arena(obstacles=3, min_obstacles=1), evader_speed_ratio=1.1, min_evader_speed_ratio=0.5)
COUNT = 400
TRANSITION = jax.jit(rules.transition, static_argnames="game")
OBSERVE = jax.jit(rules.observe, static_argnames=("game", "role"))


@pytest.fixture(scope="module")
def starts():
    return rules.initial(jax.random.key(0), GAME, COUNT)


def test_every_number_of_discs_is_equally_likely_and_so_is_every_disc(starts):
    present = np.asarray(starts.scene.present)
    number = present.sum(0)
    assert set(number) == {1, 2, 3}
    assert stats.chisquare([(number == k).sum() for k in (1, 2, 3)]).pvalue > 0.01
    # Discs are sorted by size; the largest are not favoured.
    assert stats.chisquare(present.sum(1)).pvalue > 0.01


def test_the_evaders_speed_limit_is_uniform_over_its_range(starts):
    assert stats.kstest(starts.robots[1].max_speed, "uniform", (0.5, 0.6)).pvalue > 0.01
    assert rules.initial(jax.random.key(0), Game(), 2).robots[1].max_speed is None


def test_nobody_drives_faster_than_its_limit_in_this_episode(starts):
    full = jnp.broadcast_to(jnp.array([[2.0], [0.0]]), (2, COUNT))
    outcome = TRANSITION(starts, (full, full), GAME)
    np.testing.assert_allclose(outcome.state.evader_control[0], starts.robots[1].max_speed, rtol=1e-6)
    np.testing.assert_allclose(outcome.state.pursuer_control[0], 1.0)
    np.testing.assert_array_equal(outcome.state.robots[1].max_speed, starts.robots[1].max_speed)
    moved = np.hypot(*(np.asarray(outcome.state.evader) - starts.evader)[:2])
    free = ~np.asarray(outcome.contact("evader").wall | outcome.contact("evader").obstacle)
    np.testing.assert_allclose(moved[free], 0.05 * starts.robots[1].max_speed[free], atol=2e-6)


def test_a_slower_evader_drives_as_it_would_but_slower(starts):
    """All games twice, with limits of 0.55 and 1.1 m/s."""

    @jax.jit
    def flight(limit):
        return evader_control(("flee",), jax.random.key(0), moved(starts, evader={"max_speed": limit}), GAME, None)

    speeds = jnp.full(COUNT, 1.1)
    fast, slow = flight(speeds), flight(0.5 * speeds)
    np.testing.assert_allclose(2 * slow[0], fast[0], rtol=1e-6)
    np.testing.assert_array_equal(slow[1], fast[1])
    assert (fast[0] > 0.5).sum() > 50


def test_a_faster_opponent_looks_faster():
    """Speeds are seen in units of the pursuer's limit: 1.1 m/s is 1.1, whoever looks."""
    state = rules.initial(jax.random.key(1), GAME, 3)
    state = moved(state, evader={"control": jnp.array([[1.1, 0.55, 0.0], [0.0, 0.0, 0.0]])})
    seen = OBSERVE(state, GAME, "pursuer").ego[10]
    np.testing.assert_allclose(seen, [1.1, 0.55, 0.0], rtol=1e-6)
    np.testing.assert_allclose(OBSERVE(state, GAME, "evader").ego[8], [1.1, 0.55, 0.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Arena(obstacles=2, min_obstacles=3),
            "min_obstacles must lie between 0 and the number of obstacles, 2",
        ),
        (lambda: Arena(min_obstacles=-1), "min_obstacles must lie between 0"),
        (lambda: Game(min_evader_speed_ratio=1.2), "at most evader_speed_ratio, 1, not 1.2"),
        (lambda: Game(min_evader_speed_ratio=0.0), "must be positive"),
        (lambda: replace(TINY, evader="random:100,flee"), "of 4 games none is left for flee: raise num_envs"),
        (lambda: replace(TINY, evader="random,cat"), "unknown evader 'cat'"),
    ],
)
def test_what_is_impossible_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_what_may_be_absent_is_read_from_files(tmp_path):
    file = tmp_path / "config.yaml"
    varied = replace(TrainConfig(), game=GAME)
    for config in (varied, TrainConfig()):
        file.write_text(configuration.dump(config), encoding="utf-8")
        assert configuration.load(TrainConfig(), file) == config
        assert configuration.load(varied, file) == config  # null takes a number back, too
    file.write_text("game: {min_evader_speed_ratio: slow}", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"game.min_evader_speed_ratio must be a number, not 'slow'"):
        configuration.load(TrainConfig(), file)


@pytest.fixture(scope="module")
def mixed():
    """A tiny training against two evaders, among zero to two discs, with evaders of half to full speed."""
    game = replace(TINY.game, min_evader_speed_ratio=0.5, arena=replace(TINY.game.arena, min_obstacles=0))
    trainer = BarrierNetTrainer(replace(TINY, evader="random,flee", game=game))
    return trainer, trainer.collect_rollout()


@pytest.mark.wide
def test_a_training_against_a_mixture_says_how_each_is_caught(mixed):
    trainer, rollout = mixed
    lineup = trainer.config.lineup
    assert lineup == ("random", "flee", "random", "flee")
    found = rollout_metrics(rollout, 0.05, lineup)
    over = np.asarray(rollout.terminated | rollout.truncated)
    for index, name in enumerate(("random", "flee")):
        ended = over[:, index::2].sum()
        expected = np.asarray(rollout.captured)[:, index::2].sum() / ended if ended else np.nan
        np.testing.assert_allclose(found[f"pursuit/capture_rate/{name}"], expected)
    assert "pursuit/capture_rate/random" not in rollout_metrics(rollout, 0.05, ("flee",) * 4)


@pytest.mark.wide
def test_games_go_on_with_other_discs_and_speeds(mixed):
    _, rollout = mixed
    scene = rollout.situation.scene
    numbers = np.asarray(scene.present).sum(axis=1)
    restarts = np.asarray(rollout.terminated | rollout.truncated)[:-1]
    changed = np.diff(np.asarray(scene.centre)[:, 0, 0], axis=0) != 0
    assert restarts.any()
    np.testing.assert_array_equal(changed, restarts)  # a new layout where an episode ended, and nowhere else
    assert len(np.unique(numbers)) > 1


def test_the_shield_holds_for_every_speed(starts):
    """Running into walls and discs for 200 steps at all speeds: nobody touches."""

    @jax.jit
    def play(state):
        def advance(state, _):
            control = evader_control(("run",), jax.random.key(0), state, GAME, Shield())
            outcome = rules.transition(state, (jnp.zeros((2, COUNT)), control), GAME)
            return outcome.state, rules.collided(outcome.contact("evader"))

        return jax.lax.scan(advance, state, None, 200)[1]

    assert not np.asarray(play(starts)).any()
