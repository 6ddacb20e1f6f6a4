"""Populations in games whose solution is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import grid_pursuit
from safepursuit.metagame import COLUMN, ROW, Population, begun, nash, nash_conv, psro, value

GAMES = st.tuples(st.integers(1, 7), st.integers(1, 7)).flatmap(
    lambda shape: arrays(float, shape, elements=st.floats(-9, 9, width=16))
)


def grown(matrix, rounds=100, until=None, start=None):
    """The population of a matrix game with exact best responses, after each step."""

    def respond(number, side, mixture):
        weights = np.zeros(matrix.shape[1 - side])
        weights[list(mixture)] = list(mixture.values())
        return [int(np.argmax(matrix @ weights) if side == ROW else np.argmin(weights @ matrix))]

    payoff = lambda row, column: matrix[row, column]  # noqa: E731
    return psro(start or begun([0], [0], payoff), respond, payoff, rounds, until)


def over_all(population: Population, matrix, side):
    weights = np.zeros(matrix.shape[side])
    mixture = population.mixture(side)
    weights[list(mixture)] = list(mixture.values())
    return weights


@given(GAMES)
@settings(max_examples=60)
def test_no_row_and_no_column_gains_against_an_equilibrium(matrix) -> None:
    row, column = nash(matrix)
    span = float(np.ptp(matrix)) or 1.0
    for weights in (row, column):
        assert (weights >= 0).all()
        assert weights.sum() == pytest.approx(1)
    assert (row @ matrix).min() >= (matrix @ column).max() - 1e-6 * span  # with duality: both are the value
    assert value(matrix, row, column) == pytest.approx((row @ matrix).min(), abs=1e-6 * span)


@given(st.tuples(*[st.floats(0.1, 5)] * 3))
@settings(max_examples=30)
def test_rock_paper_scissors_with_unequal_stakes_is_played_as_known(stakes) -> None:
    a, b, c = stakes
    matrix = np.array([[0, -a, b], [a, 0, -c], [-b, c, 0]])
    known = np.array([c, b, a]) / (a + b + c)
    *_, last = grown(matrix, until=1e-9)
    assert last.nash_conv(-2) <= 1e-9
    for side in (ROW, COLUMN):
        np.testing.assert_allclose(over_all(last, matrix, side), known, atol=1e-6)
    assert value(last.matrix, *last.rounds[-1].strategies) == pytest.approx(0, abs=1e-6)


@given(GAMES)
@settings(max_examples=40)
def test_a_population_ends_in_an_equilibrium_of_the_whole_game(matrix) -> None:
    span = float(np.ptp(matrix)) or 1.0
    *_, last = grown(matrix, until=1e-6 * span)
    row, column = (over_all(last._replace(rounds=last.rounds[:-1]), matrix, side) for side in (ROW, COLUMN))
    assert (matrix @ column).max() - (row @ matrix).min() <= 0.01 * span
    assert nash_conv(last.matrix, *last.rounds[-2].strategies) <= 1e-6 * span


def test_a_population_goes_on_from_any_of_its_states() -> None:
    matrix = np.random.default_rng(3).normal(size=(12, 12))
    states = list(grown(matrix, rounds=6))
    for number, state in enumerate(states):
        rest = list(grown(matrix, rounds=6, start=state))
        assert len(rest) == len(states) - number - 1
        for one, other in zip(rest, states[number + 1 :], strict=True):
            assert one.pools == other.pools
            np.testing.assert_array_equal(one.matrix, other.matrix)


@pytest.mark.wide
def test_a_small_pursuit_reaches_the_value_of_dynamic_programming() -> None:
    responses = []

    def respond(number, side, mixture):
        responses.append((side, mixture, grid_pursuit.Response(side, mixture)))
        return [responses[-1][2]]

    start = begun([grid_pursuit.Greedy(ROW)], [grid_pursuit.Greedy(COLUMN)], grid_pursuit.payoff)
    *_, last = psro(start, respond, grid_pursuit.payoff, rounds=150, until=0.01)
    assert last.nash_conv(-2) <= 0.01
    assert len(last.pools[ROW]) > 10  # it takes mixing
    known = grid_pursuit.game_value()
    assert 0 < known < 1
    assert value(last.matrix, *last.rounds[-2].strategies) == pytest.approx(known, abs=0.01)
    for side, mixture, response in responses[::8]:  # worth what it says, and no player that is known is better
        worth = [
            sum(
                weight * grid_pursuit.payoff(*((one, other) if side == ROW else (other, one)))
                for other, weight in mixture.items()
            )
            for one in (response, *last.pools[side])
        ]
        assert worth[0] == pytest.approx(response.value, abs=1e-12)
        assert worth[0] == pytest.approx((max, min)[side](worth), abs=1e-12)


def test_what_is_no_game_is_refused() -> None:
    for matrix in (np.zeros((0, 2)), np.array([[np.nan]]), np.zeros(3)):
        with pytest.raises(ValueError, match="at least one row and one column of finite payoffs"):
            nash(matrix)
