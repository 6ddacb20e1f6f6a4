"""Exact projection onto a polygon: the quadratic program in two variables.

    u*  =  argmin_u  ½ (u − ū)ᵀ W (u − ū)    subject to    A u ≤ b,        W = diag(weights)

Two variables need no iterative solver. The rows are taken one at a time (Seidel 1991; as in ORCA, van den Berg et al.
2011): a point that satisfies the next row stays; otherwise the new best point lies *on* that row's line, where it is
found by clipping an interval against the earlier rows. One pass gives the answer up to rounding, for any number of
rows, and a verdict per problem of a batch.

The projection onto a box of limits is a clip. In a large batch the rows are searched only for the problems whose
clipped point violates one of them; in a safety layer these are few. Where rows are built from fewer numbers,
`project_onto` also builds and differentiates them for these problems alone.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Real

from safepursuit.qp.derivative import cotangents, tangent
from safepursuit.qp.groups import gather, in_groups, members, scatter
from safepursuit.qp.search import search, violates
from safepursuit.shapes import floating

_SMALL = 64
"""A batch up to this size is searched as a whole: forming groups costs more than it saves."""


class Halfplanes(NamedTuple):
    """The set {u : A u ≤ b}. A row of zeros is padding: it is skipped, whatever its b ≥ 0. b = ∞ bounds nothing."""

    A: Float[Array, "rows 2 *batch"]
    b: Float[Array, "rows *batch"]


class Box(NamedTuple):
    """The set {u : low ≤ u ≤ high}, low ≤ high; one for a whole batch, or one per problem. ∓∞ is no limit."""

    low: Float[Array, "2"] | Float[Array, "2 *batch"]
    high: Float[Array, "2"] | Float[Array, "2 *batch"]


class Projection(NamedTuple):
    """The projected point and its certificate. Only `u` has derivatives.

    `active` marks the rows that hold the point, two at most, with `multipliers` λ ≥ 0: W(u − ū) + Aᵀλ = 0. `violation`
    is 0 unless the polygon is empty: then `u` is the point whose largest violation is least, `violation` > 0 is that
    violation, a distance to the half-plane in the metric W, `active` marks the rows that attain it, and λ = 0.
    """

    u: Float[Array, "2 *batch"]
    active: Bool[Array, "rows *batch"]
    multipliers: Float[Array, "rows *batch"]
    violation: Float[Array, "*batch"]


def project(
    nominal: Real[Array, "2 *batch"],
    halfplanes: Halfplanes,
    weights: Real[Array, "2"] | Real[Array, "2 *batch"],
    box: Box | None = None,
) -> Projection:
    """Project `nominal` onto {u : A u ≤ b}, within `box` if one is given, in the metric diag(`weights`), weights > 0.

    One problem is `nominal` (2,), A (rows, 2), b (rows,). A batch has trailing axes, `nominal` (2, n), A (rows, 2, n),
    b (rows, n), which is fastest, with the rows that are most often active first; `jax.vmap` works too. Rows may be
    parallel, repeated, redundant or contradictory; a row of zeros is padding (with b < 0 a violation of −b). Whole
    numbers count as floating-point numbers.

    The sides of a box are the first four rows of the result: −u₀ ≤ −low₀, u₀ ≤ high₀, −u₁ ≤ −low₁, u₁ ≤ high₁. A box
    is faster than four rows where most problems of a batch violate no other row.

    Derivatives with respect to `nominal`, A, b, `weights` and `box` come from the active set (Amos & Kolter 2017, eq.
    6, in two variables): with respect to `nominal` the identity where no row is active, a projector of rank one on one
    row, zero at a vertex. They are zero where the polygon is empty; at a kink (a row touched with λ = 0) they are those
    of the active set found. A batch on trailing axes has reverse mode only, single problems and their `vmap` both.

    Never raises; finite inputs give finite outputs if b/‖A‖ and λ are representable. A problem that is none has an
    infinite `violation`, no multipliers and no derivatives, and its `u` says nothing: one with NaN anywhere, ±∞ in
    `nominal` or A, b = −∞, a weight that is not positive and finite, or low > high.
    """
    nominal, weights, rows = floating(nominal), floating(weights), Halfplanes(*map(floating, halfplanes))
    precision = jnp.result_type(nominal, *rows)
    nominal = jnp.where(jnp.isfinite(nominal), nominal, jnp.nan).astype(precision)
    weights = jnp.where((weights > 0) & (weights < jnp.inf), weights, jnp.nan)
    rows = Halfplanes(rows.A.astype(precision), jnp.where(rows.b > -jnp.inf, rows.b, jnp.nan).astype(precision))
    if box is not None:
        low, high = map(floating, box)
        box = Box(jnp.where(low <= high, low, jnp.nan), high)
    return project_onto(nominal, _ready, rows, weights, box)


def project_onto(
    nominal: Real[Array, "2 *batch"],
    build: Callable[[Any], Halfplanes],
    ingredients: Any,
    weights: Real[Array, "2"] | Real[Array, "2 *batch"],
    box: Box | None = None,
) -> Projection:
    """`project` onto the rows `build(ingredients)`, within `box`.

    `ingredients` is any tree of arrays whose trailing axes are those of the batch. `build` treats each problem alike
    and independently, and closes over nothing that needs a derivative. In a large batch with a box the rows are kept
    and differentiated only for the problems that violate one of them; elsewhere the derivatives with respect to
    `ingredients` are 0 at no cost.
    """
    nominal = floating(nominal)

    def spread(values):
        values = jnp.asarray(values, nominal.dtype)
        return jnp.broadcast_to(values.reshape(values.shape + (1,) * (nominal.ndim - values.ndim)), nominal.shape)

    metric, limits = spread(weights), jax.tree.map(spread, box)
    if box is None and not len(jax.eval_shape(build, ingredients).b):
        nothing = jnp.zeros((0, *nominal.shape[1:]), nominal.dtype)
        return Projection(nominal, nothing > 0, nothing, jnp.zeros_like(nominal[0]))
    if nominal.ndim == 1:
        return Projection(*_single(nominal, *_within(limits, build(ingredients)), metric))
    batch = nominal.shape[1:]

    def flat(array):
        return array.reshape(*array.shape[: array.ndim - len(batch)], math.prod(batch))

    solution = _batched(build, *jax.tree.map(flat, (nominal, limits, ingredients, metric)))
    return Projection(*(array.reshape(*array.shape[:-1], *batch) for array in solution))


def join(*parts: Halfplanes) -> Halfplanes:
    """All rows, one part after the other."""
    # Column by column, as the projection uses A: XLA then does not build A itself.
    columns = [jnp.concatenate([part.A[:, column] for part in parts]) for column in (0, 1)]
    return Halfplanes(jnp.stack(columns, axis=1), jnp.concatenate([part.b for part in parts]))


def sides(box: Box) -> Halfplanes:
    """The box as rows, in the order of the result of `project`."""
    low, high = box
    one, none = jnp.ones_like(low[0]), jnp.zeros_like(low[0])
    A = jnp.stack([jnp.stack([-one, one, none, none]), jnp.stack([none, none, -one, one])], axis=1)
    return Halfplanes(A, jnp.stack([-low[0], high[0], -low[1], high[1]]))


def _ready(rows: Halfplanes) -> Halfplanes:
    return rows


def _within(box, rows):
    """The sides of the box, if there is one, then the rows."""
    return rows if box is None else join(sides(box), rows)


@jax.custom_jvp
def _single(nominal, A, b, weights):
    """`project` for a single problem: (u, active, multipliers, violation)."""
    return search(nominal, A, b, weights)


@_single.defjvp
def _single_jvp(primals, tangents):
    solution = _single(*primals)
    _, active, multipliers, violation = solution
    no_tangents = (np.zeros(active.shape, jax.dtypes.float0), jnp.zeros_like(multipliers), jnp.zeros_like(violation))
    return solution, (tangent(primals, solution, tangents), *no_tangents)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _batched(build, nominal, box, ingredients, weights):
    """`project_onto` for a batch on one trailing axis: (u, active, multipliers, violation)."""
    return _solved(build, nominal, box, ingredients, weights)[0]


def _solved(build, *problems):
    """The solution, and the problems solved in groups (None if all were solved at once)."""
    nominal, box, ingredients, weights = problems
    rows = build(ingredients)
    if box is None or not len(rows.b) or nominal.shape[-1] <= _SMALL:
        every = _within(box, rows)
        return search(nominal, every.A, every.b, weights), None
    u = jnp.clip(nominal, *box)
    below, above = weights * jnp.maximum(u - nominal, 0), weights * jnp.maximum(nominal - u, 0)
    multipliers = jnp.concatenate([jnp.stack([below[0], above[0], below[1], above[1]]), jnp.zeros_like(rows.b)])
    others = members(violates(u, rows.A, rows.b, weights))

    def solve(group, solution):
        nominal, box, ingredients, weights = gather(group, problems)
        every = _within(box, build(ingredients))
        return scatter(group, solution, search(nominal, every.A, every.b, weights))

    return in_groups(solve, others, (u, multipliers > 0, multipliers, jnp.zeros_like(u[0]))), others


def _batched_forward(build, *problems):
    solution, others = _solved(build, *problems)
    return solution, (problems, solution, others)


def _batched_backward(build, known, cotangent):
    problems, solution, others = known
    d_u = cotangent[0]
    if others is None:
        return _cotangents(build, problems, solution, d_u)
    nominal, box, ingredients, weights = problems
    # Those of a clip; the group's entries are overwritten below.
    below, above = nominal < box.low, nominal > box.high
    d_box = Box(jnp.where(below, d_u, 0), jnp.where(above, d_u, 0))
    d_ingredients = jax.tree.map(jnp.zeros_like, eqx.filter(ingredients, eqx.is_inexact_array))
    start = jnp.where(below | above, 0, d_u), d_box, d_ingredients, jnp.zeros_like(weights)

    def solve(group, found):
        return scatter(group, found, _cotangents(build, *gather(group, (problems, solution, d_u))))

    return in_groups(solve, others, start)


def _cotangents(build, problems, solution, d_u):
    """The cotangents of nominal, box, ingredients (None for whole numbers) and weights for the cotangent of u."""
    nominal, box, ingredients, weights = problems
    learned, fixed = eqx.partition(ingredients, eqx.is_inexact_array)
    rows, pull = jax.vjp(lambda box, learned: _within(box, build(eqx.combine(learned, fixed))), box, learned)
    d_nominal, dA, db, d_weights = cotangents((nominal, *rows, weights), solution, d_u)
    return d_nominal, *pull(Halfplanes(dA, db)), d_weights


_batched.defvjp(_batched_forward, _batched_backward)
