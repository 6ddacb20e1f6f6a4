"""Exact projection onto a polygon: the quadratic program in two variables.

    u*  =  argmin_u  ½ (u − ū)ᵀ W (u − ū)    subject to    A u ≤ b,        W = diag(weights)

Two variables need no iterative solver. The rows are taken one at a time (Seidel 1991; the way of ORCA, van den Berg et
al. 2011): while the best point so far satisfies the next row it stays; otherwise the new best point lies *on* that
row's line, and is found there by clipping an interval against the rows already seen. One pass gives the answer up to
rounding, for any number of rows, and every problem of a batch carries its own verdict.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

_BISECTIONS = 80
"""Enough to exhaust the 53 bits of float64; the search ends earlier, once its interval is down to rounding."""

_MET = 8
"""A row moves the point only if the point exceeds it by more than this many rounding errors."""

_SLACK = 64
"""In the end a row counts as met, and as touched, within this many rounding errors."""

_BLOCK = 4
"""Rows served by one loop of the search, or passed over together."""


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

    Never raises; finite inputs give finite outputs, as long as the numbers asked for (b/‖A‖, λ) can be represented.
    """
    metric = jnp.asarray(weights, nominal.dtype)
    if metric.ndim < nominal.ndim:
        metric = metric.reshape(metric.shape + (1,) * (nominal.ndim - metric.ndim))
    if halfplanes.b.shape[0] == 0:
        nothing = jnp.zeros_like(halfplanes.b)
        return Projection(nominal, nothing > 0, nothing, jnp.zeros_like(nominal[0]))
    return Projection(*_project(nominal, halfplanes.A, halfplanes.b, jnp.broadcast_to(metric, nominal.shape)))


@jax.custom_jvp
def _project(nominal, A, b, weights):
    """`project` on plain arrays: (u, active, multipliers, violation)."""
    scale = jnp.sqrt(weights)
    # Materialised: fused into their many consumers, the rows would be computed again in each of them.
    target, (lines, norm) = jax.lax.optimization_barrier((scale * nominal, _unit_lines(A, b, scale)))
    point, moved = _incremental(target, lines)
    # Maxima of numbers, not any() of flags: reductions over booleans do not vectorise on CPU.
    empty = _greatest(_excess(lines, point) - _SLACK * _rounding(lines, point)) > 0
    point, moved = _least_violation(target, lines, point, moved, empty)
    excess = _excess(lines, point)

    hopeless = _greatest(jnp.where(norm > 0, 0, -b))
    violation = jnp.maximum(jnp.where(empty, _greatest(excess), 0), hopeless)
    multipliers = _multipliers(target, lines, point, moved) / jnp.where(norm > 0, norm, 1)
    attains = (norm > 0) & (excess >= violation - 16 * _SLACK * _rounding(lines, point))
    active = jnp.where(violation > 0, attains, multipliers > 0)
    multipliers = jnp.where(violation > 0, 0, multipliers)
    return jnp.where(moved | empty, point / scale, nominal), active, multipliers, violation


@_project.defjvp
def _project_jvp(primals, tangents):
    """Differentiate W(u − ū) + Aᵀλ = 0, A u = b over the active rows, and solve for du."""
    nominal, A, _, weights = primals
    d_nominal, dA, db, d_weights = tangents
    u, active, multipliers, violation = _project(*primals)
    index = jnp.arange(active.shape[0]).reshape((-1,) + (1,) * (active.ndim - 1))
    holds = active & (violation <= 0)  # what only attains the violation must not reach the divisions below
    first = holds & (index == jnp.min(jnp.where(holds, index, active.shape[0]), axis=0))
    second = holds & (index == jnp.max(jnp.where(holds, index, -1), axis=0)) & ~first
    one, two = jnp.any(first, axis=0), jnp.any(second, axis=0)

    def pick(row, value):  # the value of the marked row: (rows, 2, …) → (2, …) or (rows, …) → (…)
        mask = row[:, None] if value.ndim > row.ndim else row
        return jnp.sum(jnp.where(mask, value, 0), axis=0)

    a, c = pick(first, A), pick(second, A)
    da, dc = pick(first, dA), pick(second, dA)
    # Right-hand sides of a·du = p and c·du = q; tiny or huge rows are scaled, lest their squares under- or overflow.
    size_a, size_c = jnp.where(one, jnp.max(jnp.abs(a), axis=0), 1), jnp.where(two, jnp.max(jnp.abs(c), axis=0), 1)
    p = (pick(first, db) - jnp.sum(da * u, axis=0)) / size_a
    q = (pick(second, db) - jnp.sum(dc * u, axis=0)) / size_c
    a, c = a / size_a, c / size_c

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


def _greatest(values: Array) -> Array:
    """The largest of the rows, at least 0. Compare it with 0 instead of asking `any`: that is slow on CPU."""
    return jnp.max(values, axis=0, initial=0)


def _excess(lines: _Lines, point) -> Array:
    """How far `point` lies beyond each line; negative inside."""
    return lines.nx * point[0] + lines.ny * point[1] - lines.offset


def _rounding(lines: _Lines, point) -> Array:
    """The size of rounding errors in `_excess`, for each row on its own scale."""
    return jnp.finfo(lines.offset.dtype).eps * (jnp.abs(point[0]) + jnp.abs(point[1]) + jnp.abs(lines.offset))


def _interval(lines: _Lines, row: _Lines, seen, leeway) -> tuple[Array, Array]:
    """The part low ≤ t ≤ high of the line foot + t·(−ny, nx) of `row` within `leeway` of the lines marked `seen`.

    The foot is that of the origin, not of the target, so that rounding does not grow with a far target. Two lines that
    are parallel up to rounding do not meet; padding, having no normal, meets nothing.
    """
    parallel = 8 * jnp.finfo(row.offset.dtype).eps
    along = lines.ny * row.nx - lines.nx * row.ny
    above, below = seen & (along > parallel), seen & (along < -parallel)
    gap = lines.offset - (lines.nx * row.nx + lines.ny * row.ny) * row.offset
    crossing = (gap + leeway) / jnp.where(above | below, along, 1)
    high = jnp.min(jnp.where(above, crossing, jnp.inf), axis=0, initial=jnp.inf)
    low = jnp.max(jnp.where(below, crossing, -jnp.inf), axis=0, initial=-jnp.inf)
    return low, high


def _incremental(target, lines: _Lines, block: int = _BLOCK) -> tuple[Array, Array]:
    """One pass over the rows: the projected point, and whether any row moved it.

    Loops, not an unrolled sequence: XLA on CPU fuses an unrolled one into its consumers and computes it many times.
    Each loop serves `block` rows and looks only at the lines up to its own. It is passed over where no problem of the
    batch violates any of its rows: such rows would move nothing, so that a caller who puts the likely rows first pays
    only for them. x and y are carried apart: an array whose leading axis has length two does not fill a vector unit.
    """
    rows = lines.offset.shape[0]
    eps = jnp.finfo(target.dtype).eps
    # Each line is moved out by its rounding error: where two lines are almost parallel, that error decides where they
    # meet, and an exact comparison would cut off points that satisfy both.
    lenient = lines._replace(offset=lines.offset + 2 * eps * jnp.abs(lines.offset))
    x, y, moved = target[0], target[1], jnp.zeros_like(target[0], dtype=bool)

    for start in range(0, rows, block):
        stop = min(start + block, rows)
        index = jnp.arange(stop).reshape((stop,) + (1,) * (lines.offset.ndim - 1))
        so_far = _Lines(*(part[:stop] for part in lenient))

        def add_row(i, carry, so_far=so_far, index=index):
            x, y, moved = carry
            row = _Lines(*(jax.lax.dynamic_index_in_dim(part, i, keepdims=False) for part in lines))
            leeway = 2 * eps * jnp.abs(row.offset)
            low, high = _interval(so_far, row, index < i, leeway)
            t = jnp.minimum(jnp.maximum(low, row.nx * target[1] - row.ny * target[0]), high)
            t = jnp.where(jnp.isfinite(t), t, 0)
            moves = _excess(row, (x, y)) > _MET * _rounding(row, (x, y))
            x = jnp.where(moves, row.offset * row.nx - t * row.ny, x)
            y = jnp.where(moves, row.offset * row.ny + t * row.nx, y)
            return x, y, moved | moves

        served = _Lines(*(part[start:stop] for part in lines))
        beyond = _excess(served, (x, y)) - _MET * _rounding(served, (x, y))
        serve = partial(jax.lax.fori_loop, start, stop, add_row)
        # A problem that is no number must not keep the others from their rows: XLA's maximum forgets what is beside it.
        violated = jnp.max(jnp.where(beyond > 0, beyond, 0)) > 0
        x, y, moved = jax.lax.cond(violated, serve, lambda carry: carry, (x, y, moved))
    return jnp.stack([x, y]), moved


def _least_violation(target, lines: _Lines, point, moved, empty):
    """Where `empty`, the projection onto the least relaxation of all rows that has a solution, found by bisection.

    The loop does not turn at all when no problem of the batch is empty, so that feasible batches pay nothing.
    """
    roundings = 4 * jnp.finfo(target.dtype).eps
    low = jnp.zeros_like(target[0])
    # Relaxed by this much, the target itself qualifies, or else the origin.
    at_target, at_origin = jnp.max(_excess(lines, target), axis=0, initial=0), jnp.max(-lines.offset, axis=0, initial=0)
    high = jnp.where(empty, jnp.minimum(at_target, at_origin), 0)

    def unfinished(state):
        turn, low, high, *_ = state
        return (turn < _BISECTIONS) & jnp.any(high - low > roundings * high)

    def halve(state):
        turn, low, high, point, moved = state
        middle = 0.5 * (low + high)
        relaxed = lines._replace(offset=jnp.where(lines.real, lines.offset + middle, 0))
        candidate, moves = _incremental(
            target, relaxed, block=len(relaxed.offset)
        )  # seldom run: one loop compiles faster
        rounding = _rounding(lines, candidate) + _rounding(relaxed, candidate)
        fits = jnp.all(_excess(relaxed, candidate) <= _SLACK * rounding, axis=0)
        accept = fits & empty
        return (
            turn + 1,
            jnp.where(fits, low, middle),
            jnp.where(fits, middle, high),
            jnp.where(accept, candidate, point),
            jnp.where(accept, moves, moved),
        )

    start = jnp.where(empty, jnp.where(at_target <= at_origin, target, 0), point)
    *_, point, moved = jax.lax.while_loop(unfinished, halve, (0, low, high, start, moved))
    return point, moved


def _multipliers(target, lines: _Lines, point, moved) -> Array:
    """Multipliers λ ≥ 0 of at most two unit lines with Σ λ n = target − point, for a projected point.

    Only lines through the point can push. One that is aligned with the push does it alone; otherwise the nearest on
    either side of it share the work. Every vertex has such a pair, however many lines meet there.
    """
    rows = lines.offset.shape[0]
    index = jnp.arange(rows).reshape((rows,) + (1,) * (lines.offset.ndim - 1))
    push_x, push_y = target - point
    along = lines.nx * push_x + lines.ny * push_y
    across = lines.nx * push_y - lines.ny * push_x
    touches = moved & lines.real & (_excess(lines, point) >= -_SLACK * _rounding(lines, point))
    size = jnp.abs(push_x) + jnp.abs(push_y) + jnp.abs(point[0]) + jnp.abs(point[1])
    noise = _SLACK * jnp.finfo(size.dtype).eps * size

    # Falls from 1 to −1 as the angle to the push grows; unlike the cosine with full resolution at both ends.
    closeness = along / jnp.where(along != 0, jnp.abs(along) + jnp.abs(across), 1)

    def nearest(candidates):
        best = jnp.max(jnp.where(candidates, closeness, -jnp.inf), axis=0, initial=-jnp.inf)
        return index == jnp.min(jnp.where(candidates & (closeness == best), index, rows), axis=0)

    def of(row, value):
        return jnp.sum(jnp.where(row, value, 0), axis=0)

    alone = nearest(touches & (jnp.abs(across) <= noise) & (along > 0))
    one, other = nearest(touches & (across > noise)), nearest(touches & (across < -noise))
    together = jnp.any(one, axis=0) & jnp.any(other, axis=0)
    (ax, ay), (cx, cy) = ((of(row, lines.nx), of(row, lines.ny)) for row in (one, other))
    sine, cosine = ax * cy - ay * cx, ax * cx + ay * cy
    second = of(one, across) / jnp.where(together, sine, 1)
    first = of(one, along) - second * cosine
    pair = jnp.where(one, first, jnp.where(other, second, 0))
    either = jnp.where(one | other, along, 0)
    shared = jnp.where(together, pair, either)
    return jnp.maximum(jnp.where(jnp.any(alone, axis=0), jnp.where(alone, along, 0), shared), 0)
