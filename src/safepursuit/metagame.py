"""Zero-sum matrix games, and the populations that grow from them (PSRO); of players it knows only their names.

The row player maximises the payoff, the column player minimises it. Policy-space response oracles (Lanctot et al.
2017), which for exact best responses are the double oracle (McMahan, Gordon and Blum 2003): solve the game among the
players of two pools, let each side respond to the other's strategy, add the responses, and repeat.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import scipy  # loads its parts when they are used

ROW, COLUMN = 0, 1
"""The sides."""

Member: TypeAlias = Any
"""Anything that can be hashed."""
Strategies: TypeAlias = tuple[np.ndarray, np.ndarray]
"""Probabilities of the rows, and of the columns; members that joined later have none."""
Respond: TypeAlias = Callable[[int, int, Mapping[Member, float]], Sequence[Member]]
"""From the number of the round, a side and the other side's strategy, to responses of that side."""
Payoff: TypeAlias = Callable[[Member, Member], float]
"""Of a row and a column."""


class Round(NamedTuple):
    """What the sides played, and what was found against it."""

    strategies: Strategies
    responses: tuple[tuple[Member, ...] | None, tuple[Member, ...] | None] = (None, None)
    """Of the rows and of the columns; None as long as a side has not responded."""


class Population(NamedTuple):
    """The state of a population; after any step it can be gone on from."""

    pools: tuple[tuple[Member, ...], tuple[Member, ...]]
    matrix: np.ndarray
    """(rows, columns) payoffs."""
    rounds: tuple[Round, ...]
    """The last one is open: its strategies are those of the present pools."""

    @property
    def finished_rounds(self) -> int:
        return len(self.rounds) - 1

    def mixture(self, side: int, number: int = -1) -> dict[Member, float]:
        """The strategy of a side in a round, without those it does not play."""
        weights = self.rounds[number].strategies[side]
        return {one: float(weight) for one, weight in zip(self.pools[side], weights, strict=False) if weight > 0}

    def nash_conv(self, number: int) -> float:
        """What the present pools gain against the strategies of a round: a lower bound, that rises with the pools."""
        return nash_conv(self.matrix, *self.rounds[number].strategies)

    def converged(self, until: float | None) -> bool:
        """Whether the responses of the last finished round gain at most `until`."""
        return until is not None and self.finished_rounds > 0 and bool(self.nash_conv(-2) <= until)


def nash(matrix: np.ndarray) -> Strategies:
    """An equilibrium of a zero-sum game (rows, columns), by linear programs. Raises ValueError for what is none."""
    matrix = np.asarray(matrix, float)
    if matrix.ndim != 2 or not matrix.size or not np.isfinite(matrix).all():
        raise ValueError("a matrix game takes at least one row and one column of finite payoffs.")
    span = float(np.ptp(matrix)) or 1.0
    scaled = (matrix - matrix.min()) / span  # the solver's tolerances are absolute
    return _maximin(scaled), _maximin(-scaled.T)


def _maximin(matrix: np.ndarray) -> np.ndarray:
    """The row strategy p that maximises min_j (pᵀA)_j: max v subject to v ≤ (pᵀA)_j, Σp = 1, p ≥ 0."""
    rows, columns = matrix.shape
    found = scipy.optimize.linprog(
        c=np.append(np.zeros(rows), -1.0),
        A_ub=np.column_stack([-matrix.T, np.ones(columns)]),
        b_ub=np.zeros(columns),
        A_eq=np.append(np.ones(rows), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0, None)] * rows + [(None, None)],
        method="highs",
    )
    if not found.success:
        raise ValueError(f"the matrix game could not be solved: {found.message}")
    weights = np.where(found.x[:rows] < 1e-9, 0.0, found.x[:rows])
    return weights / weights.sum()


def value(matrix: np.ndarray, row: np.ndarray, column: np.ndarray) -> float:
    """The expected payoff of two strategies."""
    return float(_padded(row, matrix.shape[0]) @ matrix @ _padded(column, matrix.shape[1]))


def nash_conv(matrix: np.ndarray, row: np.ndarray, column: np.ndarray) -> float:
    """What both sides gain together by their best rows and columns: max_i (Aq)_i − min_j (pᵀA)_j; 0 in equilibrium.

    Strategies may be shorter than the matrix: later rows and columns have no weight.
    """
    gain = (matrix @ _padded(column, matrix.shape[1])).max() - (_padded(row, matrix.shape[0]) @ matrix).min()
    return max(0.0, float(gain))


def _padded(weights: np.ndarray, size: int) -> np.ndarray:
    return np.pad(weights, (0, size - len(weights)))


def begun(rows: Sequence[Member], columns: Sequence[Member], payoff: Payoff) -> Population:
    """The population of these players, before its first response."""
    matrix = np.array([[payoff(row, column) for column in columns] for row in rows], float)
    return Population((tuple(rows), tuple(columns)), matrix, (Round(nash(matrix)),))


def psro(
    population: Population, respond: Respond, payoff: Payoff, rounds: int, until: float | None = None
) -> Iterator[Population]:
    """The population after each step, until `rounds` are finished, or NashConv of the last one is at most `until`.

    A step adds the responses of one side; both sides of a round respond to the same strategies. Exact best responses
    make NashConv exact; of any others it is a lower bound. A response that is in the pool already changes nothing.
    """
    while population.finished_rounds < rounds and not population.converged(until):
        for side in (ROW, COLUMN):
            if population.rounds[-1].responses[side] is None:
                mixture = population.mixture(1 - side)
                found = respond(population.finished_rounds + 1, side, mixture)
                population = _joined(population, side, found, payoff)
                if side == COLUMN:
                    population = population._replace(rounds=(*population.rounds, Round(nash(population.matrix))))
                yield population


def _joined(population: Population, side: int, responses: Sequence[Member], payoff: Payoff) -> Population:
    """With the responses of a side in its pool, and their payoffs in the matrix."""
    pool, others = population.pools[side], population.pools[1 - side]
    fresh = [one for one in dict.fromkeys(responses) if one not in pool]
    matrix = population.matrix
    if fresh:
        ordered = [[payoff(*((one, other) if side == ROW else (other, one))) for other in others] for one in fresh]
        more = np.array(ordered, float)
        matrix = np.concatenate([matrix, more if side == ROW else more.T], axis=side)
    last = population.rounds[-1]
    answers = [*last.responses]
    answers[side] = tuple(responses)
    pools = [*population.pools]
    pools[side] = (*pool, *fresh)
    rounds = (*population.rounds[:-1], last._replace(responses=(answers[ROW], answers[COLUMN])))
    return Population((pools[ROW], pools[COLUMN]), matrix, rounds)
