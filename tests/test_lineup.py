"""Mixtures of evaders: who plays in which game, and that each plays as if it were alone."""

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from safepursuit import game as rules
from safepursuit.game import Game
from safepursuit.players import EVADERS, Sight, check_all_play, players_of, weights
from safepursuit.players.lineup import first_game, lineup, play_together
from tiny import moved

WEIGHTS = st.dictionaries(st.sampled_from(sorted(EVADERS)), st.floats(0.1, 10), min_size=1)


def test_a_mixture_by_hand():
    assert weights("flee", "evader") == {"flee": 1.0}
    assert weights("flee:2, orbit ,hide:0.5", "evader") == {"flee": 2.0, "orbit": 1.0, "hide": 0.5}
    # Averages 2/1 against 1/1; then 2/3 against 1; then 2/3 against 1/3; then 2/5 against 1/3, and so on.
    assert players_of("flee:2,orbit", "evader", 6) == ("flee", "orbit", "flee", "flee", "orbit", "flee")


@given(WEIGHTS, st.integers(1, 200), st.integers(0, 100))
def test_the_first_games_have_the_same_players_however_many_follow(weights, games, more):
    assert lineup(weights, games + more)[:games] == lineup(weights, games)


@given(WEIGHTS, st.integers(1, 300))
def test_everybody_plays_as_often_as_the_weights_say(weights, games):
    played = Counter(lineup(weights, games))
    total = sum(weights.values())
    # Webster's method violates quota by less than one game for two parties, and hardly ever by as much for more.
    for name, weight in weights.items():
        assert abs(played[name] - games * weight / total) <= 1.0 + 1e-9 or len(weights) > 2
        assert abs(played[name] - games * weight / total) < 2


@given(
    WEIGHTS | st.dictionaries(st.sampled_from(sorted(EVADERS)), st.integers(1, 40).map(lambda n: n / 10), min_size=1)
)
@example({"run": 0.3, "flee": 0.9})
def test_the_first_game_of_each_is_known_without_drawing_up_the_others(weights):
    chosen = lineup(weights, 2000)
    assert {name: first_game(weights, name) for name in weights} == {name: chosen.index(name) for name in weights}


def test_whether_all_play_takes_no_longer_for_two_billion_games():
    check_all_play({"flee": 1.0, "hide": 1e-6}, 2**31 - 1)
    with pytest.raises(ValueError, match=r"of 2147483647 games none is left for hide: raise num_envs or its weight\."):
        check_all_play({"flee": 1.0, "hide": 1e-300}, 2**31 - 1)


@pytest.mark.parametrize(
    ("mixture", "message"),
    [
        ("cat", "unknown evader 'cat'; known are random, run, flee"),
        ("flee,cat:2", "unknown evader 'cat'"),
        ("", "unknown evader ''"),
        ("flee,", "unknown evader ''"),
        ("flee:1,orbit,flee:2", "evader 'flee' is named twice"),
        ("flee:0", "weight of evader 'flee' must be a positive number, not '0'"),
        ("flee:-1", "must be a positive number"),
        ("flee:inf", "must be a positive number"),
        ("flee:nan", "must be a positive number"),
        ("flee:many", "must be a positive number, not 'many'"),
        ("flee:", "must be a positive number, not ''"),
    ],
)
def test_what_is_no_mixture_is_refused(mixture, message):
    with pytest.raises(ValueError, match=message):
        weights(mixture, "evader")


def sight(games):
    state = rules.initial(jax.random.key(3), Game(), games)
    moving = moved(state, pursuer={"control": jnp.ones((2, games))})
    return Sight(moving.evader, moving.pursuer, moving.pursuer_control, moving.scene)


@pytest.mark.wide
def test_each_plays_in_its_games_as_if_alone():
    names = players_of("flee:3,orbit,hide:2", "evader", 12)
    seen, robot = sight(12), Game().evader

    @jax.jit
    def play(key, seen):
        alone = {name: EVADERS[name](key, seen, robot) for name in set(names)}
        return play_together(names, EVADERS, key, seen, robot), alone

    together, alone = play(jax.random.key(0), seen)
    for index, name in enumerate(names):
        np.testing.assert_allclose(together[:, index], alone[name][:, index], atol=1e-6)


def test_keys_go_with_their_games():
    names = ("flee", "random", "flee", "random", "random")
    keys = jax.random.split(jax.random.key(1), 5)
    seen, robot = sight(5), Game().evader

    @jax.jit
    def play(key):
        return play_together(names, EVADERS, key, seen, robot)

    together, alone = play(keys), EVADERS["random"](keys, seen, robot)
    np.testing.assert_array_equal(together[:, [1, 3, 4]], alone[:, [1, 3, 4]])
    # One key for all: each of those who throw dice throws its own.
    shared = play(jax.random.key(2))
    assert len(np.unique(shared[0, [1, 3, 4]])) == 3
