"""A pursuit on a grid that is small enough to be solved exactly, in plain Python: an oracle for tests.

Both robots see each other and move at the same time, by one cell or not at all; nobody leaves the grid. A pursuer
within one cell of the evader has caught it. The payoff is the share of the horizon left at capture, 0 for an escape:
the pursuer (side 0) maximises it, the evader minimises it. A player is a pure strategy: a move for any history of
positions.
"""

from functools import cache

import numpy as np
from scipy.optimize import linprog

SIZE, HORIZON = 4, 4
START = ((1, 1), (3, 3))


def moves(cell):
    steps = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))
    return [(cell[0] + x, cell[1] + y) for x, y in steps if 0 <= cell[0] + x < SIZE and 0 <= cell[1] + y < SIZE]


def distance(one, other):
    return abs(one[0] - other[0]) + abs(one[1] - other[1])


@cache
def game_value(positions=START, left=HORIZON):
    """By backward induction over positions and time: the value of a matrix game at each of them (Shapley 1953)."""
    if left == 0:
        return 0.0
    matrix = np.array(
        [
            [left / HORIZON if distance(p, e) <= 1 else game_value((p, e), left - 1) for e in moves(positions[1])]
            for p in moves(positions[0])
        ]
    )
    # The evader's program: the least v for which a mixture of columns keeps every row at most v.
    rows, columns = matrix.shape
    found = linprog(
        [0.0] * columns + [1.0],
        A_ub=np.hstack([matrix, -np.ones((rows, 1))]),
        b_ub=np.zeros(rows),
        A_eq=[[1.0] * columns + [0.0]],
        b_eq=[1.0],
        bounds=[(0, 1)] * columns + [(None, None)],
    )
    return found.fun


class Greedy:
    """Runs straight at the other robot, or away from it."""

    def __init__(self, side):
        self.side = side

    def move(self, history):
        own, other = history[-1][self.side], history[-1][1 - self.side]
        return (min, max)[self.side](moves(own), key=lambda cell: distance(cell, other))


class Response(Greedy):
    """The exact best response to a mixture of players, by dynamic programming over histories and who may have played
    them; elsewhere it is greedy."""

    def __init__(self, side, mixture):
        super().__init__(side)
        self.plan = {}
        self.value = self._solve((START,), tuple(mixture.items()))

    def _solve(self, history, possible):
        left = HORIZON + 1 - len(history)
        if left == 0:
            return 0.0
        found = {own: self._worth(history, own, possible, left) for own in moves(history[-1][self.side])}
        self.plan[history] = (max, min)[self.side](found, key=found.get)
        return found[self.plan[history]]

    def _worth(self, history, own, possible, left):
        groups, worth = {}, 0.0
        for player, weight in possible:
            groups.setdefault(player.move(history), []).append((player, weight))
        for other, group in groups.items():
            pair = (own, other) if self.side == 0 else (other, own)
            if distance(*pair) <= 1:
                worth += left / HORIZON * sum(weight for _, weight in group)
            else:
                worth += self._solve((*history, pair), tuple(group))
        return worth

    def move(self, history):
        return self.plan.get(history) or super().move(history)


def payoff(pursuer, evader):
    history = (START,)
    for left in range(HORIZON, 0, -1):
        history += ((pursuer.move(history), evader.move(history)),)
        if distance(*history[-1]) <= 1:
            return left / HORIZON
    return 0.0
