"""Exact projection onto a polygon: the quadratic program in two variables.

    u*  =  argmin_u  ½ (u − ū)ᵀ W (u − ū)    subject to    A u ≤ b,        W = diag(weights)

Two variables need no iterative solver. The rows are taken one at a time (Seidel 1991; the way of ORCA, van den Berg et
al. 2011): while the best point so far satisfies the next row it stays; otherwise the new best point lies *on* that
row's line, and is found there by clipping an interval against the rows already seen. One pass gives the answer up to
rounding, for any number of rows, and every problem of a batch carries its own verdict.

A box of limits needs no search: within it the projection is a clip. In a large batch the rows are searched only for the
problems whose clipped point violates one of them, brought together. Most problems of a safety layer meet no boundary:
behind its actuator limits they cost a glance. Where the rows are made from something smaller, `project_onto` also makes
and differentiates them only for those few.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from safepursuit.qp.derivative import cotangents, tangent
from safepursuit.qp.groups import gather, in_groups, members, scatter
from safepursuit.qp.search import search, violates

_SMALL = 64
"""A batch up to this size is searched as a whole: bringing some of it together costs more than it saves."""


class Halfplanes(NamedTuple):
    """The set {u : A u ≤ b}. A row of zeros is padding: it is skipped, whatever its b ≥ 0."""

    A: Float[Array, "rows 2 *batch"]
    b: Float[Array, "rows *batch"]


class Box(NamedTuple):
    """The set {u : low ≤ u ≤ high}, low ≤ high, finite; one for all problems of a batch, or one each."""

    low: Float[Array, "2"] | Float[Array, "2 *batch"]
    high: Float[Array, "2"] | Float[Array, "2 *batch"]


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
    box: Box | None = None,
) -> Projection:
    """Project `nominal` onto {u : A u ≤ b}, within `box` if one is given, in the metric diag(`weights`), weights > 0.

    Written for one problem: `nominal` (2,), A (rows, 2), b (rows,). A batch goes on trailing axes, `nominal` (2, n),
    A (rows, 2, n), b (rows, n), which is the fast way (fastest with the rows that matter most often first), or through
    `jax.vmap`. Rows may be parallel, repeated, redundant or contradictory; a row of zeros is padding (with b < 0
    nothing can meet it: it counts as a violation of −b).

    The sides of a box are the first four rows of the result: −u₀ ≤ −low₀, u₀ ≤ high₀, −u₁ ≤ −low₁, u₁ ≤ high₁. A box
    is quicker than the same as rows where most problems of a batch meet nothing else.

    Derivatives with respect to `nominal`, A, b, `weights` and `box` come from the active set, not from the search (Amos
    & Kolter 2017, eq. 6, in two variables): the identity where no row is active, a projector of rank one on a single
    row, none with respect to `nominal` at a vertex. They are zero where the polygon is empty, and those of the active
    set that was found at a kink (a row that touches without pushing). A batch on trailing axes has them in reverse mode
    only, single problems and their `vmap` in both.

    Never raises; finite inputs give finite outputs, as long as the numbers asked for (b/‖A‖, λ) can be represented.
    """
    return project_onto(nominal, _ready, halfplanes, weights, box)


def project_onto(
    nominal: Float[Array, "2 *batch"],
    build: Callable[[Any], Halfplanes],
    ingredients: Any,
    weights: Float[Array, "2"] | Float[Array, "2 *batch"],
    box: Box | None = None,
) -> Projection:
    """`project` onto the rows that `build(ingredients)` makes, within `box`.

    `ingredients` is any tree of arrays whose trailing axes are those of the batch; `build` must treat every problem of
    it alike and alone, and take nothing else that is to have a derivative. In a large batch with a box the rows are
    kept and differentiated only for the problems that violate one of them: for all others every derivative with respect
    to `ingredients` is 0, and costs nothing.
    """

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
    # Column by column: the projection takes A apart into its columns, and XLA then never builds A.
    columns = [jnp.concatenate([part.A[:, column] for part in parts]) for column in (0, 1)]
    return Halfplanes(jnp.stack(columns, axis=1), jnp.concatenate([part.b for part in parts]))


def sides(box: Box) -> Halfplanes:
    """The box as rows, in the order that `project` reports them."""
    low, high = box
    one, none = jnp.ones_like(low[0]), jnp.zeros_like(low[0])
    A = jnp.stack([jnp.stack([-one, one, none, none]), jnp.stack([none, none, -one, one])], axis=1)
    return Halfplanes(A, jnp.stack([-low[0], high[0], -low[1], high[1]]))


def _ready(rows: Halfplanes) -> Halfplanes:
    return rows


def _within(box, rows):
    """The rows, behind the sides of the box if there is one."""
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
    """The solution, and the problems that were solved in groups (None where all were solved at once)."""
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
    # Those of a clip; of the others, which are overwritten below, as good as any.
    below, above = nominal < box.low, nominal > box.high
    d_box = Box(jnp.where(below, d_u, 0), jnp.where(above, d_u, 0))
    d_ingredients = jax.tree.map(jnp.zeros_like, eqx.filter(ingredients, eqx.is_inexact_array))
    start = jnp.where(below | above, 0, d_u), d_box, d_ingredients, jnp.zeros_like(weights)

    def solve(group, found):
        return scatter(group, found, _cotangents(build, *gather(group, (problems, solution, d_u))))

    return in_groups(solve, others, start)


def _cotangents(build, problems, solution, d_u):
    """Those of nominal, box, ingredients (None for what is not differentiable) and weights for the cotangent of u."""
    nominal, box, ingredients, weights = problems
    learned, fixed = eqx.partition(ingredients, eqx.is_inexact_array)
    rows, pull = jax.vjp(lambda box, learned: _within(box, build(eqx.combine(learned, fixed))), box, learned)
    d_nominal, dA, db, d_weights = cotangents((nominal, *rows, weights), solution, d_u)
    return d_nominal, *pull(Halfplanes(dA, db)), d_weights


_batched.defvjp(_batched_forward, _batched_backward)
