"""The projections every solver is given, and their exact solutions by enumeration.

Plain NumPy in double precision, one candidate after the other; it shares nothing with the solvers it judges.
"""

from itertools import combinations
from typing import NamedTuple

import numpy as np

ROWS = 10
"""Six barrier rows (four walls and two discs) and the four sides of the actuator box."""

_OFFSET = 0.1
"""Lever arm of the turn rate [m]: (v, 0.1·ω) is the velocity of a point 0.1 m ahead of the robot."""

_SPEED, _TURN_RATE = 1.0, 2.84
_STEP = 1e-6


class Problems(NamedTuple):
    """argmin ½(u − ū)ᵀ diag(w) (u − ū) subject to A u ≤ b, with u = (v, ω) in m/s and rad/s; the batch comes first."""

    nominal: np.ndarray
    """ū, (count, 2)"""
    A: np.ndarray
    """(count, rows, 2)"""
    b: np.ndarray
    """(count, rows)"""
    weights: np.ndarray
    """w, (2,)"""


def draw(count: int, seed: int = 0) -> Problems:
    """Robots among six close boundaries: n·(velocity of the point ahead) ≥ −h, h up to 1, and the actuator box.

    The metric is the displacement of that point. u = 0 is always feasible.
    """
    random = np.random.default_rng(seed)
    angle = random.uniform(-np.pi, np.pi, (count, ROWS - 4))
    barriers = np.stack([-np.cos(angle), -_OFFSET * np.sin(angle)], axis=-1)
    box = np.broadcast_to([[-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]], (count, 4, 2))
    limits = np.broadcast_to([0.0, _SPEED, _TURN_RATE, _TURN_RATE], (count, 4))
    return Problems(
        nominal=np.stack([random.uniform(-0.25, 1.25, count), random.uniform(-4, 4, count)], axis=-1),
        A=np.concatenate([barriers, box], axis=1),
        b=np.concatenate([random.uniform(0, 1, (count, ROWS - 4)), limits], axis=1),
        weights=np.array([1.0, _OFFSET**2]),
    )


def padded(problems: Problems) -> Problems:
    """With one more row, 0·u ≤ 10⁶, that excludes nothing."""
    count = len(problems.nominal)
    return problems._replace(
        A=np.concatenate([problems.A, np.zeros((count, 1, 2))], axis=1),
        b=np.concatenate([problems.b, np.full((count, 1), 1e6)], axis=1),
    )


def part(problems: Problems, start: int, stop: int) -> Problems:
    """Some of the problems."""
    return problems._replace(nominal=problems.nominal[start:stop], A=problems.A[start:stop], b=problems.b[start:stop])


def exact(problems: Problems) -> np.ndarray:
    """The solutions (count, 2): the nearest feasible one among ū, its feet on all rows, and all pairwise crossings."""
    scale = np.sqrt(problems.weights)
    target, normals = problems.nominal * scale, problems.A / scale
    candidates = [target]
    for row in range(normals.shape[1]):
        normal = normals[:, row]
        excess = np.sum(normal * target, axis=-1) - problems.b[:, row]
        candidates.append(target - (excess / np.sum(normal**2, axis=-1))[:, None] * normal)
    for one, two in combinations(range(normals.shape[1]), 2):
        (a, c), (p, q) = (normals[:, one], normals[:, two]), (problems.b[:, one], problems.b[:, two])
        determinant = a[:, 0] * c[:, 1] - a[:, 1] * c[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = np.stack([c[:, 1] * p - a[:, 1] * q, a[:, 0] * q - c[:, 0] * p], axis=-1) / determinant[:, None]
        candidates.append(np.where(np.isfinite(crossing), crossing, np.inf))
    points = np.stack(candidates)
    with np.errstate(invalid="ignore"):
        reach = np.einsum("krd,nkd->nkr", normals, points)
        feasible = np.all(reach <= problems.b + 1e-10, axis=-1)
        cost = np.where(feasible, np.sum((points - target) ** 2, axis=-1), np.inf)
    return points[np.argmin(cost, axis=0), np.arange(len(target))] / scale


def exact_jacobian(problems: Problems) -> tuple[np.ndarray, np.ndarray]:
    """du/dū (count, 2, 2) by central differences of `exact`, and where it exists (one-sided differences agree)."""
    centre = exact(problems)
    columns, smooth = [], np.ones(len(centre), bool)
    for axis in range(2):
        shift = _STEP * np.eye(2)[axis]
        ahead = exact(problems._replace(nominal=problems.nominal + shift)) - centre
        behind = centre - exact(problems._replace(nominal=problems.nominal - shift))
        columns.append((ahead + behind) / (2 * _STEP))
        smooth &= np.max(np.abs(ahead - behind), axis=-1) < 1e-4 * _STEP
    return np.stack(columns, axis=-1), smooth


def as_velocity(vectors: np.ndarray) -> np.ndarray:
    """(v, ω) as the velocity of the point ahead [m/s], so that both components weigh alike."""
    return vectors * [1.0, _OFFSET]


def as_velocity_jacobian(jacobians: np.ndarray) -> np.ndarray:
    """du/dū in the same coordinates."""
    scale = np.array([1.0, _OFFSET])
    return jacobians * scale[:, None] / scale
