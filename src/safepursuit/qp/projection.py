"""Exact projection onto a polygon: the quadratic program in two variables.

    u*  =  argmin_u  ½ (u − ū)ᵀ W (u − ū)    subject to    A u ≤ b,        W = diag(weights)

Two variables need no iterative solver. The rows are taken one at a time (Seidel 1991; the way of ORCA, van den Berg et
al. 2011): while the best point so far satisfies the next row it stays; otherwise the new best point lies *on* that
row's line, and is found there by clipping an interval against the rows already seen. One pass gives the answer up to
rounding, for any number of rows, and every problem of a batch carries its own verdict.

In a batch the first rows are searched for all problems at once, and the rest only for the problems that violate one of
them, brought together. Most problems of a safety layer meet no boundary: behind its actuator limits they cost a glance.
Where the rows are made from something smaller, `project_onto` also makes and differentiates them only for those few.
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
from safepursuit.qp.search import search, search_feasible, violates

_FIRST = 4
"""Rows of `project` that are searched for all problems of a batch."""


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
    A (rows, 2, n), b (rows, n), which is the fast way (fastest with the rows that matter most often first), or through
    `jax.vmap`. Rows may be parallel, repeated, redundant or contradictory; a row of zeros is padding (with b < 0
    nothing can meet it: it counts as a violation of −b).

    Derivatives with respect to `nominal`, A, b and `weights` come from the active set, not from the search (Amos &
    Kolter 2017, eq. 6, in two variables): the identity where no row is active, a projector of rank one on a single row,
    none with respect to `nominal` at a vertex. They are zero where the polygon is empty, and those of the active set
    that was found at a kink (a row that touches without pushing). A batch on trailing axes has them in reverse mode
    only, single problems and their `vmap` in both.

    Never raises; finite inputs give finite outputs, as long as the numbers asked for (b/‖A‖, λ) can be represented.
    """
    return project_onto(nominal, _cut, halfplanes, weights)


def project_onto(
    nominal: Float[Array, "2 *batch"],
    build: Callable[[Any], tuple[Halfplanes, Halfplanes]],
    ingredients: Any,
    weights: Float[Array, "2"] | Float[Array, "2 *batch"],
) -> Projection:
    """`project` onto the rows that `build(ingredients)` makes: first those that matter most often, then the rest.

    `ingredients` is any tree of arrays whose trailing axes are those of the batch; `build` must treat every problem of
    it alike and alone, and take nothing else that is to have a derivative. In a batch, the rest is kept and
    differentiated only for the problems that violate a row: for all others every derivative with respect to what only
    the rest is made of is 0, and costs nothing. The rows of the result are in the order first, rest.
    """
    metric = jnp.asarray(weights, nominal.dtype)
    if metric.ndim < nominal.ndim:
        metric = metric.reshape(metric.shape + (1,) * (nominal.ndim - metric.ndim))
    metric = jnp.broadcast_to(metric, nominal.shape)
    if not len(jax.eval_shape(partial(_whole, build), ingredients).b):
        nothing = jnp.zeros((0, *nominal.shape[1:]), nominal.dtype)
        return Projection(nominal, nothing > 0, nothing, jnp.zeros_like(nominal[0]))
    if nominal.ndim == 1:
        rows = _whole(build, ingredients)
        return Projection(*_single(nominal, rows.A, rows.b, metric))
    batch = nominal.shape[1:]

    def flat(array):
        return array.reshape(*array.shape[: array.ndim - len(batch)], math.prod(batch))

    solution = _batched(build, *jax.tree.map(flat, (nominal, ingredients, metric)))
    return Projection(*(array.reshape(*array.shape[:-1], *batch) for array in solution))


def _cut(rows: Halfplanes) -> tuple[Halfplanes, Halfplanes]:
    """The first rows and the rest."""
    return Halfplanes(rows.A[:_FIRST], rows.b[:_FIRST]), Halfplanes(rows.A[_FIRST:], rows.b[_FIRST:])


def join(*parts: Halfplanes) -> Halfplanes:
    """All rows, one part after the other."""
    # Column by column: the projection takes A apart into its columns, and XLA then never builds A.
    columns = [jnp.concatenate([part.A[:, column] for part in parts]) for column in (0, 1)]
    return Halfplanes(jnp.stack(columns, axis=1), jnp.concatenate([part.b for part in parts]))


def _first(build, ingredients):
    return build(ingredients)[0]


def _whole(build, ingredients):
    return join(*build(ingredients))


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
def _batched(build, nominal, ingredients, weights):
    """`project_onto` for a batch on one trailing axis: (u, active, multipliers, violation)."""
    return _solved(build, nominal, ingredients, weights)[0]


def _solved(build, *problems):
    """The solution, and the problems that were solved in groups (None where all were solved at once)."""
    nominal, ingredients, weights = problems
    first, rest = build(ingredients)
    if not len(first.b) or not len(rest.b):
        rows = join(first, rest)
        return search(nominal, rows.A, rows.b, weights), None
    u, multipliers = search_feasible(nominal, first.A, first.b, weights)
    multipliers = jnp.concatenate([multipliers, jnp.zeros_like(rest.b)])
    others = members(violates(u, first.A, first.b, weights) | violates(u, rest.A, rest.b, weights))

    def solve(group, solution):
        nominal, ingredients, weights = gather(group, problems)
        rows = _whole(build, ingredients)
        return scatter(group, solution, search(nominal, rows.A, rows.b, weights))

    return in_groups(solve, others, (u, multipliers > 0, multipliers, jnp.zeros_like(u[0]))), others


def _batched_forward(build, *problems):
    solution, others = _solved(build, *problems)
    return solution, (problems, solution, others)


def _batched_backward(build, known, cotangent):
    problems, solution, others = known
    d_u = cotangent[0]
    if others is None:
        return _cotangents(partial(_whole, build), problems, solution, d_u)
    u, active, multipliers, violation = solution
    first = len(jax.eval_shape(partial(_first, build), problems[1]).b)
    # The others, whose cotangent is none here, are overwritten below.
    behind_first = (u, active[:first] & ~others.marked, multipliers[:first], jnp.zeros_like(violation))
    start = _cotangents(partial(_first, build), problems, behind_first, jnp.where(others.marked, 0, d_u))

    def solve(group, found):
        return scatter(group, found, _cotangents(partial(_whole, build), *gather(group, (problems, solution, d_u))))

    return in_groups(solve, others, start)


def _cotangents(rows_of, problems, solution, d_u):
    """Those of nominal, ingredients (None for what is not differentiable) and weights for the cotangent of u."""
    nominal, ingredients, weights = problems
    learned, fixed = eqx.partition(ingredients, eqx.is_inexact_array)
    rows, pull = jax.vjp(lambda learned: rows_of(eqx.combine(learned, fixed)), learned)
    d_nominal, dA, db, d_weights = cotangents((nominal, *rows, weights), solution, d_u)
    return d_nominal, *pull(Halfplanes(dA, db)), d_weights


_batched.defvjp(_batched_forward, _batched_backward)
