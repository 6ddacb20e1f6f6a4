"""The projections every solver is given, as the shield builds them, and their exact solutions by enumeration.

The solutions are plain NumPy in double precision, one candidate after the other; they share nothing with the solvers
that are judged by them.
"""

from itertools import combinations
from typing import NamedTuple

import jax
import numpy as np

from safepursuit.benchmark import projection

ROWS = (6, 10, 24)
"""The actuator box, and the nearest one, three and ten of the boundaries (four walls and six discs), two rows each."""

SPEED_OF_TURN = projection.SHIELD.offset / projection.ROBOT.dt
"""Lever arm of w = sin(ωΔ) [m/s]: (v, 2w) is the velocity of the virtual control point."""

_STEP = 1e-6


class Problems(NamedTuple):
    """argmin ½(u − ū)ᵀ diag(w) (u − ū) subject to A u ≤ b, with u = (v, w), w = sin(ωΔ); the batch comes first."""

    nominal: np.ndarray
    """ū, (count, 2)"""
    A: np.ndarray
    """(count, rows, 2)"""
    b: np.ndarray
    """(count, rows)"""
    weights: np.ndarray
    """w, (2,)"""
    given: projection.Inputs
    """What the shield builds them from; the batch comes last."""


def draw(count: int, rows: int) -> Problems:
    """The first rows of the shield's programs for robots at close quarters; u = 0 is always feasible."""
    given = projection.inputs(count)
    nominal, program = projection.problems(given, rows)
    return Problems(
        nominal=np.ascontiguousarray(nominal.T),
        A=np.ascontiguousarray(np.moveaxis(program.A, -1, 0)),
        b=np.ascontiguousarray(program.b.T),
        weights=np.asarray(projection.metric(), float),
        given=given,
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
    return problems._replace(
        nominal=problems.nominal[start:stop],
        A=problems.A[start:stop],
        b=problems.b[start:stop],
        given=jax.tree.map(lambda leaf: leaf[..., start:stop], problems.given),
    )


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
    """(v, w) as the velocity of the virtual control point [m/s], so that both components weigh alike."""
    return vectors * [1.0, SPEED_OF_TURN]


def as_velocity_jacobian(jacobians: np.ndarray) -> np.ndarray:
    """du/dū in the same coordinates."""
    scale = np.array([1.0, SPEED_OF_TURN])
    return jacobians * scale[:, None] / scale
