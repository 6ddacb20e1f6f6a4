"""The robot of BarrierNet's first example: its motion, its barrier rows, a controller to imitate, and a judge.

State (x, y, θ, v) [m, m, rad, m/s], control (u₁, u₂) = (turn rate [rad/s], acceleration [m/s²]), one disc in the way
(Xiao et al., BarrierNet, T-RO 2023, the 2-D robot; sizes as in the code published with it). With

    b(x)  =  (x − x_o)² + (y − y_o)² − R²

of relative degree two, the high-order barrier row with the linear class-K functions p₁, p₂ is

    L_f²b + L_gL_f b·u + (p₁ + p₂) L_f b + p₁p₂ b  ≥  0.

Plain NumPy in double precision; states and controls have the batch first. Nothing here imports the package.
"""

from typing import NamedTuple

import numpy as np

from problems import Problems, exact

DISC = (40.0, 15.0, 6.0)
"""x_o, y_o, R [m]."""
GOAL_X = 80.0
"""Every destination has this x [m]; its y is drawn."""
LIMITS = (1.0, 4.0)
"""|u₁| ≤ 1 rad/s, |u₂| ≤ 4 m/s²."""
STEP = 0.1
"""A control is held so long [s]."""
STEPS = 220
PARTS = 20
"""Moments per step at which the judge looks."""

CRUISE = 5.0
_GAINS = (1.5, 1.0)
"""Of heading and speed, tuned by hand."""
_CLASS_K = 1.5
_BERTH = 0.3
"""How far beyond the disc the controller aims [m]."""


class Cases(NamedTuple):
    state: np.ndarray
    """(count, 4) at the start"""
    goal_y: np.ndarray
    """(count,) [m]"""


def draw(count: int, seed: int) -> Cases:
    """Starts left of the disc and destinations right of it, most of them behind it."""
    random = np.random.default_rng(seed)
    low, high = [0.0, 8.0, -0.3, 1.0], [5.0, 22.0, 0.3, 5.0]
    return Cases(random.uniform(low, high, (count, 4)), random.uniform(7.0, 23.0, count))


def barrier(state: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """b, L_f b, L_f²b (count,) and L_gL_f b (count, 2)."""
    x, y, heading, v = state.T
    right, up = x - DISC[0], y - DISC[1]
    ahead = right * np.cos(heading) + up * np.sin(heading)
    aside = -right * np.sin(heading) + up * np.cos(heading)
    return right**2 + up**2 - DISC[2] ** 2, 2 * v * ahead, 2 * v**2, np.stack([2 * v * aside, 2 * ahead], axis=-1)


def limit_rows(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The actuator limits, A (count, 4, 2) and b (count, 4)."""
    sides = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    return np.tile(sides, (count, 1, 1)), np.tile([LIMITS[0], LIMITS[0], LIMITS[1], LIMITS[1]], (count, 1))


def demonstrate(state: np.ndarray, goal_y: np.ndarray) -> np.ndarray:
    """The controller to imitate: towards the destination, round the disc on the nearer side, made safe by the row above
    and the limits, solved by enumeration."""
    x, y, heading, v = state.T
    bearing = np.arctan2(goal_y - y, GOAL_X - x)
    right, up = DISC[0] - x, DISC[1] - y
    distance = np.hypot(right, up)
    half_angle = np.arcsin(np.minimum((DISC[2] + _BERTH) / distance, 1))
    to_disc = _wrap(np.arctan2(up, right) - bearing)
    hidden = (np.abs(to_disc) < half_angle) & (distance < np.hypot(GOAL_X - x, goal_y - y))
    bearing = bearing + np.where(hidden, to_disc - np.where(to_disc >= 0, half_angle, -half_angle), 0)
    speed = np.minimum(CRUISE, 0.6 * np.hypot(GOAL_X - x, goal_y - y))
    wanted = np.stack([_GAINS[0] * _wrap(bearing - heading), _GAINS[1] * (speed - v)], axis=-1)

    b, along, second, toward = barrier(state)
    A, limits = limit_rows(len(state))
    rows = np.concatenate([-toward[:, None], A], axis=1)
    bounds = np.concatenate([(second + 2 * _CLASS_K * along + _CLASS_K**2 * b)[:, None], limits], axis=1)
    return exact(Problems(wanted, rows, bounds, np.ones(2)))


def move(state: np.ndarray, control: np.ndarray, time: float) -> np.ndarray:
    """One Runge-Kutta step of fourth order of ẋ = v cos θ, ẏ = v sin θ, θ̇ = u₁, v̇ = u₂."""

    def rate(at):
        return np.stack([at[:, 3] * np.cos(at[:, 2]), at[:, 3] * np.sin(at[:, 2]), *control.T], axis=-1)

    k1 = rate(state)
    k2 = rate(state + 0.5 * time * k1)
    k3 = rate(state + 0.5 * time * k2)
    k4 = rate(state + time * k3)
    return state + time / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def demonstrations(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features (x, y, θ, v, destination's y) and the controls of `demonstrate`; what is executed is disturbed a little,
    so that the data show the way back, too."""
    random = np.random.default_rng(seed + 1)
    cases = draw(count, seed)
    state, features, controls = cases.state, [], []
    for _ in range(STEPS):
        control = demonstrate(state, cases.goal_y)
        underway = state[:, 0] < GOAL_X - 1
        features.append(np.column_stack([state, cases.goal_y])[underway])
        controls.append(control[underway])
        state = move(state, control + random.normal(scale=[0.1, 0.3], size=control.shape), STEP)
    return np.concatenate(features), np.concatenate(controls)


class Journey(NamedTuple):
    """What became of each case in closed loop."""

    clearance: np.ndarray
    """Least distance [m] of the centre from the disc's rim, at `PARTS` moments per step; negative is a violation."""
    miss: np.ndarray
    """Least distance [m] from the destination."""
    unusable: int
    """Controls that were not finite, replaced by 0."""
    states: np.ndarray
    """(steps, count, 4)"""


def travel(policy, cases: Cases) -> Journey:
    """Drive every case by `policy(features)` → controls (count, 2)."""
    state = cases.state
    clearance, miss = np.full(len(state), np.inf), np.full(len(state), np.inf)
    unusable, states = 0, []
    for _ in range(STEPS):
        states.append(state)
        control = policy(np.column_stack([state, cases.goal_y]))
        finite = np.isfinite(control).all(axis=-1)
        unusable += int(np.sum(~finite))
        control = np.where(finite[:, None], control, 0)
        for _ in range(PARTS):
            state = move(state, control, STEP / PARTS)
            clearance = np.minimum(clearance, np.hypot(state[:, 0] - DISC[0], state[:, 1] - DISC[1]) - DISC[2])
            miss = np.minimum(miss, np.hypot(state[:, 0] - GOAL_X, state[:, 1] - cases.goal_y))
    return Journey(clearance, miss, unusable, np.stack(states))


def _wrap(angle: np.ndarray) -> np.ndarray:
    return np.arctan2(np.sin(angle), np.cos(angle))
