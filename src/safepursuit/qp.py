"""Exact projection onto a polygon: the quadratic program in two variables.

    u*  =  argmin_u  ½ (u − ū)ᵀ W (u − ū)    subject to    A u ≤ b,        W = diag(weights)

Two variables need no iterative solver. The rows are taken one at a time (Seidel 1991; the way of ORCA, van den Berg et
al. 2011): while the best point so far satisfies the next row it stays; otherwise the new best point lies *on* that
row's line, and is found there by clipping an interval against the rows already seen. One pass gives the answer up to
rounding, for any number of rows, and every problem of a batch carries its own verdict.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

_BISECTIONS = 80
"""Enough to exhaust the 53 bits of float64; the search ends earlier, once its interval is down to rounding."""

_SLACK = 64
"""A row counts as met while it is exceeded by less than this many rounding errors."""


class Halfplanes(NamedTuple):
    """The set {u : A u ≤ b}. A row of zeros is padding: it is skipped, whatever its b ≥ 0."""

    A: Float[Array, "rows 2 *batch"]
    b: Float[Array, "rows *batch"]


class Projection(NamedTuple):
    """The projected point and its certificate. Only `u` carries derivatives.

    `active` marks the at most two rows that hold the point; they carry `multipliers` λ ≥ 0 with W(u − ū) + Aᵀλ = 0.
    `violation` is 0 where the polygon is not empty. Where it is empty, `u` is the point whose largest violation is
    least, `violation` > 0 is that violation, measured as distance to the half-plane in the metric W, `active` marks the
    rows that attain it, and the multipliers are 0.
    """

    u: Float[Array, "2 *batch"]
    active: Bool[Array, "rows *batch"]
    multipliers: Float[Array, "rows *batch"]
    violation: Float[Array, "*batch"]


def project(
    nominal: Float[Array, "2 *batch"],
    halfplanes: Halfplanes,
    weights: Float[Array, "2"] | Float[Array, "2 *batch"],
) -> Projection:
    """Project `nominal` onto {u : A u ≤ b} in the metric diag(`weights`), weights > 0.

    Written for one problem: `nominal` (2,), A (rows, 2), b (rows,). A batch goes on trailing axes, `nominal` (2, n),
    A (rows, 2, n), b (rows, n), which is the fast way, or through `jax.vmap`. Rows may be parallel, repeated, redundant
    or contradictory; a row of zeros is padding (with b < 0 nothing can meet it: it counts as a violation of −b).

    Derivatives (forward and reverse) with respect to `nominal`, A, b and `weights` come from the active set, not from
    the search (Amos & Kolter 2017, eq. 6, in two variables): the identity where no row is active, a projector of rank
    one on a single row, none with respect to `nominal` at a vertex. They are zero where the polygon is empty, and those
    of the active set that was found at a kink (a row that touches without pushing).

    Never raises; finite inputs give finite outputs.
    """
    metric = jnp.asarray(weights, nominal.dtype)
    if metric.ndim < nominal.ndim:
        metric = metric.reshape(metric.shape + (1,) * (nominal.ndim - metric.ndim))
    return Projection(*_project(nominal, halfplanes.A, halfplanes.b, jnp.broadcast_to(metric, nominal.shape)))


@jax.custom_jvp
def _project(nominal, A, b, weights):
    """`project` on plain arrays: (u, active, multipliers, violation)."""
    scale = jnp.sqrt(weights)
    lines, norm = _unit_lines(A, b, scale)
    target = scale * nominal
    point, last = _incremental(target, lines)
    excess = _excess(lines, point)
    empty = jnp.any(excess > _SLACK * _rounding(lines, point, target), axis=0)
    point, last = _least_violation(target, lines, point, last, empty)
    excess = _excess(lines, point)

    hopeless = jnp.max(jnp.where(norm > 0, 0, -b), axis=0, initial=0)
    violation = jnp.maximum(jnp.where(empty, jnp.max(excess, axis=0, initial=0), 0), hopeless)
    multipliers = _multipliers(target, lines, last) / jnp.where(norm > 0, norm, 1)
    attains = (norm > 0) & (excess >= violation - _SLACK * _rounding(lines, point, target))
    active = jnp.where(violation > 0, attains, multipliers > 0)
    multipliers = jnp.where(violation > 0, 0, multipliers)
    untouched = (last < 0) & ~empty
    return jnp.where(untouched, nominal, point / scale), active, multipliers, violation


@_project.defjvp
def _project_jvp(primals, tangents):
    """Differentiate W(u − ū) + Aᵀλ = 0, A u = b over the active rows, and solve for du."""
    nominal, A, _, weights = primals
    d_nominal, dA, db, d_weights = tangents
    u, active, multipliers, violation = _project(*primals)
    index = jnp.arange(active.shape[0]).reshape((-1,) + (1,) * (active.ndim - 1))
    first = active & (index == jnp.min(jnp.where(active, index, active.shape[0]), axis=0))
    second = active & (index == jnp.max(jnp.where(active, index, -1), axis=0)) & ~first
    one, two = jnp.any(first, axis=0), jnp.any(second, axis=0)

    def pick(row, value):  # the value of the marked row: (rows, 2, …) → (2, …) or (rows, …) → (…)
        mask = row[:, None] if value.ndim > row.ndim else row
        return jnp.sum(jnp.where(mask, value, 0), axis=0)

    a, c = pick(first, A), pick(second, A)
    da, dc = pick(first, dA), pick(second, dA)
    # Right-hand sides of a·du = p and c·du = q.
    p = pick(first, db) - jnp.sum(da * u, axis=0)
    q = pick(second, db) - jnp.sum(dc * u, axis=0)

    determinant = jnp.where(two, a[0] * c[1] - a[1] * c[0], 1)
    at_vertex = jnp.stack([c[1] * p - a[1] * q, a[0] * q - c[0] * p]) / determinant
    free = d_nominal - (d_weights * (u - nominal) + da * pick(first, multipliers)) / weights
    normal = a / weights
    length = jnp.where(one, jnp.sum(a * normal, axis=0), 1)
    on_line = free + normal * (p - jnp.sum(a * free, axis=0)) / length
    du = jnp.where(two, at_vertex, jnp.where(one, on_line, d_nominal))
    du = jnp.where(violation > 0, 0, du)
    no_tangents = (np.zeros(active.shape, jax.dtypes.float0), jnp.zeros_like(multipliers), jnp.zeros_like(violation))
    return (u, active, multipliers, violation), (du, *no_tangents)


# The search works on unit lines in the scaled plane z = W^½ u, where the metric is Euclidean. Everything below is
# elementwise over the batch; reductions run over the leading axis of rows.


class _Lines(NamedTuple):
    """nx·x + ny·y ≤ offset with (nx, ny) of length one; padding has `real` False, zero normal and zero offset."""

    nx: Array
    ny: Array
    offset: Array
    real: Array


def _unit_lines(A, b, scale) -> tuple[_Lines, Array]:
    nx, ny = A[:, 0] / scale[0], A[:, 1] / scale[1]
    largest = jnp.maximum(jnp.abs(nx), jnp.abs(ny))  # keeps the squares below from over- or underflow
    real = largest > 0
    safe = jnp.where(real, largest, 1)
    norm = jnp.where(real, safe * jnp.sqrt((nx / safe) ** 2 + (ny / safe) ** 2), 0)
    divisor = jnp.where(real, norm, 1)
    return _Lines(nx / divisor, ny / divisor, jnp.where(real, b / divisor, 0), real), norm


def _excess(lines: _Lines, point) -> Array:
    """How far `point` lies beyond each line; negative inside."""
    return lines.nx * point[0] + lines.ny * point[1] - lines.offset


def _rounding(lines: _Lines, point, target) -> Array:
    """The size of rounding errors in `_excess` of a point found from `target`, for each row on its own scale."""
    size = jnp.abs(point[0]) + jnp.abs(point[1]) + jnp.abs(target[0]) + jnp.abs(target[1])
    return jnp.finfo(point.dtype).eps * (size + jnp.abs(lines.offset))


def _crossings(lines: _Lines, nx, ny, foot_x, foot_y) -> tuple[Array, Array]:
    """Where each line meets the line foot + t·(−ny, nx): parameter t, and d = its normal along that direction.

    d > 0 bounds t from above, d < 0 from below, d = 0 (parallel, or padding) not at all.
    """
    along = lines.ny * nx - lines.nx * ny
    along = jnp.where(jnp.abs(along) > 8 * jnp.finfo(along.dtype).eps, along, 0)
    gap = lines.offset - (lines.nx * foot_x + lines.ny * foot_y)
    return gap / jnp.where(along != 0, along, 1), along


def _interval(crossing, along, seen) -> tuple[Array, Array]:
    """The part [low, high] of a line that satisfies the rows marked `seen`."""
    high = jnp.min(jnp.where(seen & (along > 0), crossing, jnp.inf), axis=0, initial=jnp.inf)
    low = jnp.max(jnp.where(seen & (along < 0), crossing, -jnp.inf), axis=0, initial=-jnp.inf)
    return low, high


def _incremental(target, lines: _Lines) -> tuple[Array, Array]:
    """One pass over the rows: the projected point and the row that last moved it (−1: none).

    A loop, not an unrolled sequence: XLA on CPU fuses an unrolled one into its consumers and computes it many times.
    """
    rows = lines.offset.shape[0]
    index = jnp.arange(rows).reshape((rows,) + (1,) * (lines.offset.ndim - 1))

    def add_row(i, carry):
        point, last = carry
        row = _Lines(*(jax.lax.dynamic_index_in_dim(part, i, keepdims=False) for part in lines))
        beyond = row.nx * target[0] + row.ny * target[1] - row.offset
        foot_x, foot_y = target[0] - beyond * row.nx, target[1] - beyond * row.ny
        low, high = _interval(*_crossings(lines, row.nx, row.ny, foot_x, foot_y), index < i)
        t = jnp.minimum(jnp.maximum(low, 0), high)
        t = jnp.where(jnp.isfinite(t), t, 0)
        moves = row.real & (_excess(row, point) > _rounding(row, point, target))
        moved = jnp.stack([foot_x - t * row.ny, foot_y + t * row.nx])
        return jnp.where(moves, moved, point), jnp.where(moves, i, last)

    nobody = jnp.full_like(target[0], -1, dtype=jnp.int32)
    return jax.lax.fori_loop(0, rows, add_row, (target, nobody))


def _least_violation(target, lines: _Lines, point, last, empty):
    """Where `empty`, the projection onto the least relaxation of all rows that has a solution, found by bisection.

    The loop does not turn at all when no problem of the batch is empty, so that feasible batches pay nothing.
    """
    roundings = 4 * jnp.finfo(target.dtype).eps
    low = jnp.zeros_like(target[0])
    high = jnp.where(empty, jnp.max(_excess(lines, target), axis=0, initial=0), 0)  # the target itself then qualifies

    def unfinished(state):
        turn, low, high, *_ = state
        return (turn < _BISECTIONS) & jnp.any(high - low > roundings * high)

    def halve(state):
        turn, low, high, point, last = state
        middle = 0.5 * (low + high)
        relaxed = lines._replace(offset=jnp.where(lines.real, lines.offset + middle, 0))
        candidate, row = _incremental(target, relaxed)
        fits = jnp.all(_excess(relaxed, candidate) <= _SLACK * _rounding(relaxed, candidate, target), axis=0)
        accept = fits & empty
        return (
            turn + 1,
            jnp.where(fits, low, middle),
            jnp.where(fits, middle, high),
            jnp.where(accept, candidate, point),
            jnp.where(accept, row, last),
        )

    start = jnp.where(empty, target, point)
    *_, point, last = jax.lax.while_loop(unfinished, halve, (0, low, high, start, last))
    return point, last


def _multipliers(target, lines: _Lines, last) -> Array:
    """The multipliers of the unit lines at the projected point, from the row that last moved it.

    That row is active. If its line's interval cuts off the foot of the perpendicular, the row that cuts is active too;
    among several through the same vertex the one is taken that leaves the first multiplier largest, hence not negative.
    """
    rows = lines.offset.shape[0]
    index = jnp.arange(rows).reshape((rows,) + (1,) * (lines.offset.ndim - 1))
    first = index == last
    nx, ny, offset = (jnp.sum(jnp.where(first, part, 0), axis=0) for part in (lines.nx, lines.ny, lines.offset))
    beyond = nx * target[0] + ny * target[1] - offset
    crossing, along = _crossings(lines, nx, ny, target[0] - beyond * nx, target[1] - beyond * ny)
    low, high = _interval(crossing, along, lines.real & (along != 0))
    t = jnp.where(high < 0, high, jnp.where(low > 0, low, 0))
    cuts = (t != 0) & (along * t < 0) & (jnp.abs(crossing - t) <= _SLACK * jnp.finfo(t.dtype).eps * (1 + jnp.abs(t)))
    slope = t * (lines.nx * nx + lines.ny * ny) / jnp.where(along != 0, along, 1)
    remaining = jnp.where(cuts, beyond + slope, -jnp.inf)
    best = jnp.max(remaining, axis=0, initial=-jnp.inf)
    second = index == jnp.min(jnp.where(cuts & (remaining == best), index, rows), axis=0)
    anything = last >= 0
    lambda_first = jnp.where(jnp.any(second, axis=0), best, beyond)
    lambda_second = -t / jnp.where(along != 0, along, 1)
    return jnp.where(
        first & anything, jnp.maximum(lambda_first, 0), jnp.where(second & anything, jnp.maximum(lambda_second, 0), 0)
    )
