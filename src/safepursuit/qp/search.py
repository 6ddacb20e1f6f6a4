"""The search for the projected point: one pass over the rows (Seidel 1991).

On unit lines in the scaled plane z = W^½ u, where the metric is Euclidean. All operations are elementwise over the
batch; reductions run over the leading axis of rows. Derivatives are in `derivative`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

_BISECTIONS = 80
"""More than the 53 bits of float64; bisection ends earlier, at an interval of rounding size."""

_MET = 8
"""A row moves the point if the point exceeds it by more than this many rounding errors."""

_SLACK = 64
"""At the end a row is satisfied, and touched, within this many rounding errors."""


def search(nominal, A, b, weights) -> tuple[Array, Array, Array, Array]:
    """The projection of `nominal` and its certificate: (u, active, multipliers, violation) of `qp.Projection`.

    For one problem or a batch on trailing axes; `weights` has the shape of `nominal`.
    """
    scale = jnp.sqrt(weights)
    # Materialised: fused into their consumers, the rows would be computed again in each.
    target, (lines, norm) = jax.lax.optimization_barrier((scale * nominal, _unit_lines(A, b, scale)))
    point, moved, empty = _nearest(target, lines)
    excess = _excess(lines, point)

    sound = (jnp.maximum(jnp.abs(A[:, 0]), jnp.abs(A[:, 1])) < jnp.inf) & (b > -jnp.inf)  # False for NaN
    hopeless = greatest(jnp.where(sound, jnp.where(norm > 0, 0, -b), jnp.inf))
    violation = jnp.maximum(jnp.where(empty, greatest(excess), 0), hopeless)
    posed = jnp.all((jnp.abs(nominal) < jnp.inf) & (weights > 0) & (weights < jnp.inf), axis=0)
    violation = jnp.where(posed, violation, jnp.inf)
    bounds = (norm > 0) & (b < jnp.inf)
    multipliers = _multipliers(target, lines, point, moved & bounds) / jnp.where(norm > 0, norm, 1)
    attains = bounds & (excess >= violation - 16 * _SLACK * _rounding(lines, point))
    active = jnp.where(violation > 0, attains, multipliers > 0)
    multipliers = jnp.where(violation > 0, 0, multipliers)
    return jnp.where(moved | empty, point / scale, nominal), active, multipliers, violation


def violates(u, A, b, weights) -> Array:
    """Whether u exceeds any row by more than half of the tolerance of `search`; true for NaN."""
    # Scaled to lengths between 1 and √2, without a root: rows may be tiny or huge.
    *_, size = _normals(A, jnp.sqrt(weights))
    x, y, offset = A[:, 0] / size * u[0], A[:, 1] / size * u[1], b / size
    rounding = jnp.finfo(offset.dtype).eps * (jnp.abs(x) + jnp.abs(y) + jnp.abs(offset))
    within = x + y - offset <= _SLACK / 2 * rounding
    return jnp.min(within.astype(offset.dtype), axis=0) < 1


class _Lines(NamedTuple):
    """nx·x + ny·y ≤ offset with (nx, ny) of length one; padding has `real` False, zero normal and zero offset."""

    nx: Array
    ny: Array
    offset: Array
    real: Array


def _normals(A, scale) -> tuple[Array, Array, Array, Array]:
    """nx and ny of every row in the scaled plane, whether it is no padding, and its larger entry (1 for padding)."""
    nx, ny = A[:, 0] / scale[0], A[:, 1] / scale[1]
    largest = jnp.maximum(jnp.abs(nx), jnp.abs(ny))
    real = largest != 0  # NaN is no padding
    return nx, ny, real, jnp.where(real, largest, 1)


def _unit_lines(A, b, scale) -> tuple[_Lines, Array]:
    """The rows as unit lines, and their lengths, in the scaled plane."""
    nx, ny, real, size = _normals(A, scale)
    # Divided by the larger entry: no square over- or underflows.
    norm = jnp.where(real, size * jnp.sqrt((nx / size) ** 2 + (ny / size) ** 2), 0)
    divisor = jnp.where(real, norm, 1)
    return _Lines(nx / divisor, ny / divisor, jnp.where(real, b / divisor, 0), real), norm


def greatest(values: Array) -> Array:
    """The largest of the rows, at least 0. `greatest(…) > 0` is faster on CPU than `any`."""
    return jnp.max(values, axis=0, initial=0)


def _excess(lines: _Lines, point) -> Array:
    """Signed distance of `point` from each line, positive outside."""
    return lines.nx * point[0] + lines.ny * point[1] - lines.offset


def _rounding(lines: _Lines, point) -> Array:
    """The size of rounding errors in `_excess`, per row."""
    return jnp.finfo(lines.offset.dtype).eps * (jnp.abs(point[0]) + jnp.abs(point[1]) + jnp.abs(lines.offset))


def _interval(lines: _Lines, row: _Lines, seen, leeway) -> tuple[Array, Array]:
    """The part low ≤ t ≤ high of the line foot + t·(−ny, nx) of `row` within `leeway` of the lines marked `seen`.

    The foot is that of the origin, so that rounding does not grow with the target's distance. Lines parallel up to
    rounding, and padding, have no crossing.
    """
    parallel = 8 * jnp.finfo(row.offset.dtype).eps
    along = lines.ny * row.nx - lines.nx * row.ny
    above, below = seen & (along > parallel), seen & (along < -parallel)
    gap = lines.offset - (lines.nx * row.nx + lines.ny * row.ny) * row.offset
    crossing = (gap + leeway) / jnp.where(above | below, along, 1)
    high = jnp.min(jnp.where(above, crossing, jnp.inf), axis=0, initial=jnp.inf)
    low = jnp.max(jnp.where(below, crossing, -jnp.inf), axis=0, initial=-jnp.inf)
    return low, high


def _incremental(target, lines: _Lines) -> tuple[Array, Array]:
    """One pass over the rows: the projected point, and whether any row moved it.

    A loop: XLA on CPU fuses an unrolled sequence into its consumers and computes it many times. It goes from a row that
    some problem of the batch violates straight to the next such row; those in between move no point. x and y are
    separate: an array whose leading axis has length two does not fill a vector unit.
    """
    rows = lines.offset.shape[0]
    batch = tuple(range(1, lines.offset.ndim))
    index = jnp.arange(rows)
    eps = jnp.finfo(target.dtype).eps
    # Each line is moved out by its rounding error, which decides where almost parallel lines cross: an exact comparison
    # would cut off points that satisfy both.
    lenient = lines._replace(offset=lines.offset + 2 * eps * jnp.abs(lines.offset))

    def violated_after(i, point):
        beyond = _excess(lines, point) - _MET * _rounding(lines, point)
        # NaN problems are masked: XLA's maximum over the batch would lose the other problems' values.
        violated = jnp.max(jnp.where(beyond > 0, beyond, 0), axis=batch) > 0
        return jnp.min(jnp.where(violated & (index > i), index, rows))

    def serve(state):
        i, x, y, moved = state
        row = _Lines(*(jax.lax.dynamic_index_in_dim(part, i, keepdims=False) for part in lines))
        seen = index.reshape((rows,) + (1,) * len(batch)) < i
        low, high = _interval(lenient, row, seen, 2 * eps * jnp.abs(row.offset))
        t = jnp.minimum(jnp.maximum(low, row.nx * target[1] - row.ny * target[0]), high)
        t = jnp.where(jnp.isfinite(t), t, 0)
        moves = _excess(row, (x, y)) > _MET * _rounding(row, (x, y))
        x = jnp.where(moves, row.offset * row.nx - t * row.ny, x)
        y = jnp.where(moves, row.offset * row.ny + t * row.nx, y)
        return violated_after(i, (x, y)), x, y, moved | moves

    start = violated_after(-1, target), target[0], target[1], jnp.zeros_like(target[0], dtype=bool)
    _, x, y, moved = jax.lax.while_loop(lambda state: state[0] < rows, serve, start)
    return jnp.stack([x, y]), moved


def _nearest(target, lines: _Lines) -> tuple[Array, Array, Array]:
    """The projection onto all rows, whether they moved the point, and whether the polygon is empty.

    If so, it is the projection onto the least relaxation that is not empty, found by bisection. The loop's first turn
    relaxes nothing, and is the last if no polygon of the batch is empty.
    """
    roundings = 4 * jnp.finfo(target.dtype).eps
    # Relaxations that contain the target, and the origin.
    at_target, at_origin = jnp.max(_excess(lines, target), axis=0, initial=0), jnp.max(-lines.offset, axis=0, initial=0)

    def unfinished(turn, low, high):
        return (turn == 0) | (high - low > roundings * high)

    def some_unfinished(state):
        turn, low, high, *_ = state
        return (turn <= _BISECTIONS) & jnp.any(unfinished(turn, low, high))

    def halve(state):
        turn, low, high, point, moved, empty = state
        first = turn == 0
        relaxation = jnp.where(first, 0, 0.5 * (low + high))
        relaxed = lines._replace(offset=jnp.where(lines.real, lines.offset + relaxation, 0))
        candidate, moves = _incremental(target, relaxed)
        rounding = _rounding(relaxed, candidate) + jnp.where(first, 0, _rounding(lines, candidate))
        fails = greatest(_excess(relaxed, candidate) - _SLACK * rounding) > 0
        turns = unfinished(turn, low, high)  # converged problems are frozen: no answer depends on the batch
        accept = turns & ~fails
        return (
            turn + 1,
            jnp.where(turns & fails, relaxation, low),
            jnp.where(accept, relaxation, high),
            jnp.where(accept, candidate, point),
            jnp.where(accept, moves, moved),
            jnp.where(first, fails, empty),
        )

    none = jnp.zeros_like(at_target, dtype=bool)
    start = jnp.where(at_target <= at_origin, target, 0)
    state = 0, jnp.zeros_like(at_target), jnp.minimum(at_target, at_origin), start, none, none
    *_, point, moved, empty = jax.lax.while_loop(some_unfinished, halve, state)
    return point, moved, empty


def _multipliers(target, lines: _Lines, point, candidates) -> Array:
    """Multipliers λ ≥ 0 of at most two unit lines with Σ λ n = target − point, for a projected point.

    Only lines through the point, among the candidates, have λ > 0: one whose normal is aligned with target − point, or
    else the nearest on either side. Every vertex has such a pair, however many lines meet there.
    """
    rows = lines.offset.shape[0]
    index = jnp.arange(rows).reshape((rows,) + (1,) * (lines.offset.ndim - 1))
    push_x, push_y = target - point
    along = lines.nx * push_x + lines.ny * push_y
    across = lines.nx * push_y - lines.ny * push_x
    touches = candidates & (_excess(lines, point) >= -_SLACK * _rounding(lines, point))
    size = jnp.abs(push_x) + jnp.abs(push_y) + jnp.abs(point[0]) + jnp.abs(point[1])
    noise = _SLACK * jnp.finfo(size.dtype).eps * size

    # Falls from 1 to −1 as the angle to the push grows, at full resolution at both ends (a cosine has less).
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
