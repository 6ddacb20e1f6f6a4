"""Slow and simple twins in NumPy, written from definitions: what the package is judged by.

Nothing here imports the package. Components come first and the batch last, as in the package.
"""

from itertools import combinations

import numpy as np


def motion(pose, control, time, integrator):
    """Pose (3, n) of a unicycle `time` seconds after it stood at `pose` (3, n), under a constant control (2, n).

    The arc is integrated from dx = v cos(θ + ωτ) dτ and dy = v sin(θ + ωτ) dτ; where the turn is so small that the
    difference of sines would cancel, by the Taylor series of the integral about φ = ωτ = 0.
    """
    x, y, heading = pose
    v, turn_rate = control
    if integrator == "euler":
        return np.stack([x + v * time * np.cos(heading), y + v * time * np.sin(heading), heading + turn_rate * time])
    turn = turn_rate * time
    small = np.abs(turn) < 1e-4
    rate = np.where(small, 1.0, turn_rate)
    ahead = np.where(small, time * (1 - turn**2 / 6), np.sin(rate * time) / rate)
    left = np.where(small, time * (turn / 2 - turn**3 / 24), (1 - np.cos(rate * time)) / rate)
    c, s = np.cos(heading), np.sin(heading)
    return np.stack([x + v * (ahead * c - left * s), y + v * (ahead * s + left * c), heading + turn])


def distance_to_disc(point, centre, radius):
    """Signed distance [m] from points (2, n) to the rim of a disc, positive outside."""
    return np.hypot(point[0] - centre[0], point[1] - centre[1]) - radius


def distance_to_line(point, on_line, normal):
    """Signed distance [m] from points (2, n) to a line through `on_line`, positive on the side of the unit `normal`."""
    return (point[0] - on_line[0]) * normal[0] + (point[1] - on_line[1]) * normal[1]


def body_clearance(point, body_radius, centre, radius, present, half_extents):
    """Least distance [m] of round bodies about points (2, n) from present discs (k, n) and from four walls."""
    clear = np.full(point.shape[1:], np.inf)
    for k in range(radius.shape[0]):
        gap = distance_to_disc(point, centre[:, k], radius[k])
        clear = np.where(present[k], np.minimum(clear, gap), clear)
    for axis in range(2):
        clear = np.minimum(clear, half_extents[axis] - np.abs(point[axis]))
    return clear - body_radius


def segment_clearance(start, end, body_radius, centre, radius, present, half_extents):
    """`body_clearance`, least over the straight segment from start to end, exactly: walls at its ends, discs by
    the foot of the perpendicular."""
    clear = np.minimum(
        body_clearance(start, body_radius, centre, radius, present, half_extents),
        body_clearance(end, body_radius, centre, radius, present, half_extents),
    )
    along = end - start
    square = (along**2).sum(0)
    for k in range(radius.shape[0]):
        to_centre = centre[:, k] - start
        share = (to_centre * along).sum(0) / np.where(square > 0, square, 1)
        foot = start + share * along
        between = present[k] & (share > 0) & (share < 1)
        clear = np.where(
            between, np.minimum(clear, distance_to_disc(foot, centre[:, k], radius[k]) - body_radius), clear
        )
    return clear


def vertices(A, b, tolerance=1e-12):
    """All corners of the polygons {u : A u ≤ b}: points (pairs, 2, n) and whether each is one, (pairs, n)."""
    points, valid = [], []
    for i, j in combinations(range(A.shape[0]), 2):
        determinant = A[i, 0] * A[j, 1] - A[i, 1] * A[j, 0]
        meet = np.abs(determinant) > 1e-14
        divisor = np.where(meet, determinant, 1)
        point = np.stack([A[j, 1] * b[i] - A[i, 1] * b[j], A[i, 0] * b[j] - A[j, 0] * b[i]]) / divisor
        others = [k for k in range(A.shape[0]) if k not in (i, j)]
        excess = A[others, 0] * point[0] + A[others, 1] * point[1] - b[others]
        points.append(np.where(meet, point, 0))
        valid.append(meet & (excess <= tolerance).all(0))
    return np.stack(points), np.stack(valid)


def project(nominal, A, b, weights):
    """Projection (2, n) onto {u : A u ≤ b} by trying every set of at most two active rows, and whether one is feasible.

    Slow and safe: each candidate solves the equality-constrained problem of its rows, and the cheapest of those that
    satisfy all other rows wins.
    """
    rows = A.shape[0]
    norm = np.hypot(A[:, 0], A[:, 1])
    real = norm > 0
    norm = np.where(real, norm, 1)
    best, least = np.zeros_like(nominal), np.full(nominal.shape[1:], np.inf)

    def offer(candidate, possible, own):
        nonlocal best, least
        size = 1 + np.abs(candidate).sum(0)
        others = [k for k in range(rows) if k not in own]
        excess = (A[others, 0] * candidate[0] + A[others, 1] * candidate[1] - b[others]) / norm[others]
        fits = (excess <= 1e-12 * (size + np.abs(b[others]) / norm[others])).all(0)
        cost = (weights * (candidate - nominal) ** 2).sum(0)
        better = possible & fits & (cost < least)
        best, least = np.where(better, candidate, best), np.where(better, cost, least)

    offer(nominal, np.ones(nominal.shape[1:], bool), ())
    for i in range(rows):
        direction = A[i] / weights
        gain = np.where(real[i], (A[i] * direction).sum(0), 1)
        offer(nominal - direction * ((A[i] * nominal).sum(0) - b[i]) / gain, real[i], (i,))
    for i, j in combinations(range(rows), 2):
        determinant = A[i, 0] * A[j, 1] - A[i, 1] * A[j, 0]
        meet = np.abs(determinant) > 1e-12 * norm[i] * norm[j]
        corner = np.stack([A[j, 1] * b[i] - A[i, 1] * b[j], A[i, 0] * b[j] - A[j, 0] * b[i]])
        offer(corner / np.where(meet, determinant, 1), real[i] & real[j] & meet, (i, j))
    return best, np.isfinite(least)


def central_difference(function, x, step=1e-6):
    """Jacobian (*out, *x.shape) of a function of one array by central differences."""
    x = np.asarray(x, float)
    columns = []
    for k in range(x.size):
        shift = np.zeros(x.size)
        shift[k] = step
        shift = shift.reshape(x.shape)
        columns.append((np.asarray(function(x + shift)) - np.asarray(function(x - shift))) / (2 * step))
    return np.stack(columns, -1).reshape(columns[0].shape + x.shape)


def kkt_residuals(nominal, A, b, weights, u, multipliers):
    """How far (u, λ) is from the four optimality conditions of the projection, each relative to the numbers in it.

    Stationarity W(u − ū) + Aᵀλ = 0, primal A u ≤ b (as distance), dual λ ≥ 0, complementarity λᵢ(Aᵢu − bᵢ) = 0.
    """
    norm = np.hypot(A[:, 0], A[:, 1])
    excess = ((A * u).sum(1) - b) / np.where(norm > 0, norm, 1)
    force = multipliers * norm
    size = 1 + np.abs(u).max(0) + np.max(np.abs(b) / np.where(norm > 0, norm, 1), axis=0)
    pull = weights * (u - nominal)
    push = 1 + np.abs(pull).max(0) + force.max(0)
    return {
        "stationarity": np.abs(pull + (A * multipliers[:, None]).sum(0)).max(0) / push,
        "primal": np.maximum(excess, 0).max(0) / size,
        "dual": np.maximum(-multipliers, 0).max(0),
        "complementarity": np.abs(force * excess).max(0) / (push * size),
    }
