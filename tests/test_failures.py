"""The ranking of failures, on recordings small enough to rank by hand."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safepursuit.evaluation.failures import worst
from safepursuit.evaluation.referee import Verdict
from safepursuit.game import Game
from safepursuit.play.recording import Recording

STEPS = 6


def played(episodes):
    """A recording and verdict from (outcome, steps, least distance, steps with a collision) of each episode.

    The pursuer waits at the origin; the evader is 5 m away but in one pose, where it is at the least distance.
    """
    outcome, length, nearest, collisions = (np.array(column) for column in zip(*episodes, strict=True))
    past = np.arange(STEPS + 1) > length[:, None]
    pursuer = np.zeros((len(episodes), STEPS + 1, 3))
    evader = pursuer + np.array([5.0, 0.0, 0.0])
    evader[np.arange(len(episodes)), length, 0] = nearest
    for poses in (pursuer, evader):
        poses[past] = np.nan
    steps = np.where(past[:, 1:], np.nan, 0.0)
    nothing = np.zeros((len(episodes), STEPS), bool)
    controls = np.stack([steps, steps], axis=-1)
    recording = Recording(
        pursuer=pursuer,
        evader=evader,
        pursuer_control=controls,
        evader_control=controls,
        nominal=controls,
        intervened=nothing,
        correction=steps,
        infeasible=nothing,
        lost_gradient=nothing,
        active=np.zeros((len(episodes), STEPS, 5), bool),
        discs=np.full((len(episodes), 1, 3), np.nan),
        edges=np.empty((len(episodes), 0, 4)),
        movers=np.empty((len(episodes), STEPS + 1, 0, 3)),
        length=length,
        outcome=outcome,
        game=Game(horizon=STEPS),
    )
    wall = np.arange(STEPS) < collisions[:, None]
    judged = Verdict(wall=wall, obstacle=nothing, robot=nothing, clearance=steps, invalid=nothing, touched=nothing)
    return recording, judged


def test_collisions_then_time_outs_then_slow_captures():
    recording, verdict = played(
        [
            ("capture", 3, 0.4, 0),
            ("timeout", 6, 0.9, 0),
            ("capture", 5, 0.4, 0),
            ("timeout", 6, 2.5, 0),
            ("capture", 2, 0.4, 1),
            ("timeout", 6, 0.6, 4),
        ]
    )
    # Collisions: 4 steps (5), 1 step (4). Without capture: 2.5 m (3), 0.9 m (1). Captures: 5 steps (2), 3 steps (0).
    np.testing.assert_array_equal(worst(recording, verdict, 6), [5, 4, 3, 1, 2, 0])
    np.testing.assert_array_equal(worst(recording, verdict, 2), [5, 4])
    np.testing.assert_array_equal(worst(recording, verdict, 99), [5, 4, 3, 1, 2, 0])


def test_invalid_episodes_are_the_worst():
    recording, verdict = played([("timeout", 6, 0.9, 4), ("invalid", 1, 0.4, 0), ("capture", 5, 0.4, 0)])
    recording.evader[1] = np.nan
    np.testing.assert_array_equal(worst(recording, verdict, 3), [1, 0, 2])


def test_the_least_distance_counts_not_the_last():
    """A time-out that once came within 0.6 m is better than one that never came nearer than 2 m, wherever it ended."""
    recording, verdict = played([("timeout", 6, 2.0, 0), ("timeout", 6, 3.0, 0)])
    recording.evader[1, 2, 0] = 0.6
    np.testing.assert_array_equal(worst(recording, verdict, 2), [0, 1])


def test_equal_episodes_keep_their_order():
    recording, verdict = played([("capture", 4, 0.4, 0)] * 5)
    np.testing.assert_array_equal(worst(recording, verdict, 3), [0, 1, 2])


def test_at_least_one_episode_is_picked():
    recording, verdict = played([("capture", 4, 0.4, 0)])
    with pytest.raises(ValueError, match="at least 1, not 0"):
        worst(recording, verdict, 0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["capture", "timeout"]),
            st.integers(1, STEPS),
            st.floats(0.4, 4.5, allow_subnormal=False),
            st.integers(0, 1),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_no_better_episode_comes_first(episodes):
    """Pair by pair: a collision before none, no capture before a capture, and a permutation in all."""
    recording, verdict = played(episodes)
    order = worst(recording, verdict, len(episodes))
    assert sorted(order) == list(range(len(episodes)))
    for first, then in pairwise(order):
        assert verdict.collided[first] >= verdict.collided[then]
        if not verdict.collided[first]:
            captures = [episodes[one][0] == "capture" for one in (first, then)]
            assert captures[0] <= captures[1]
            if captures == [True, True]:
                assert episodes[first][1] >= episodes[then][1]
