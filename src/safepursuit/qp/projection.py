"""Exact projection onto a polygon: the quadratic program in two variables.

    u*  =  argmin_u  ½ (u − ū)ᵀ W (u − ū)    subject to    A u ≤ b,        W = diag(weights)

Two variables need no iterative solver. The rows are taken one at a time (Seidel 1991; the way of ORCA, van den Berg et
al. 2011): while the best point so far satisfies the next row it stays; otherwise the new best point lies *on* that
row's line, and is found there by clipping an interval against the rows already seen. One pass gives the answer up to
rounding, for any number of rows, and every problem of a batch carries its own verdict.

In a batch the first rows are searched for all problems at once, and the rest only for the problems that violate one of
them, brought together. Most problems of a safety layer meet no boundary: behind its actuator limits they cost a glance.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from safepursuit.qp.derivative import cotangents, tangent
from safepursuit.qp.groups import gather, in_groups, members, scatter
from safepursuit.qp.search import search, search_feasible, violates

_FIRST = 4
"""Rows that are searched for all problems of a batch; for the safety layer, the actuator limits."""


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
    metric = jnp.asarray(weights, nominal.dtype)
    if metric.ndim < nominal.ndim:
        metric = metric.reshape(metric.shape + (1,) * (nominal.ndim - metric.ndim))
    if halfplanes.b.shape[0] == 0:
        nothing = jnp.zeros_like(halfplanes.b)
        return Projection(nominal, nothing > 0, nothing, jnp.zeros_like(nominal[0]))
    metric = jnp.broadcast_to(metric, nominal.shape)
    if nominal.ndim == 1:
        return Projection(*_single(nominal, halfplanes.A, halfplanes.b, metric))
    batch = nominal.shape[1:]
    flat = (array.reshape(*array.shape[: array.ndim - len(batch)], -1) for array in (nominal, *halfplanes, metric))
    return Projection(*(array.reshape(*array.shape[:-1], *batch) for array in _batched(*flat)))


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


@jax.custom_vjp
def _batched(nominal, A, b, weights):
    """`project` for a batch on one trailing axis: (u, active, multipliers, violation)."""
    return _solved(nominal, A, b, weights)[0]


def _solved(*problems):
    """The solution, and the problems that were solved in groups (None where all were solved at once)."""
    nominal, A, b, weights = problems
    if len(b) <= _FIRST:
        return search(*problems), None
    u, multipliers = search_feasible(nominal, A[:_FIRST], b[:_FIRST], weights)
    multipliers = jnp.concatenate([multipliers, jnp.zeros_like(b[_FIRST:])])
    others = members(violates(u, A, b, weights))

    def solve(group, solution):
        return scatter(group, solution, search(*gather(group, problems)))

    return in_groups(solve, others, (u, multipliers > 0, multipliers, jnp.zeros_like(u[0]))), others


def _batched_forward(*problems):
    solution, others = _solved(*problems)
    return solution, (problems, solution, others)


def _batched_backward(known, cotangent):
    problems, solution, others = known
    d_u = cotangent[0]
    if others is None:
        return cotangents(problems, solution, d_u)
    nominal, A, b, weights = problems
    u, active, multipliers, violation = solution
    # The others, whose cotangent is none here, are overwritten below.
    d_nominal, dA, db, d_weights = cotangents(
        (nominal, A[:_FIRST], b[:_FIRST], weights),
        (u, active[:_FIRST] & ~others.marked, multipliers[:_FIRST], jnp.zeros_like(violation)),
        jnp.where(others.marked, 0, d_u),
    )
    dA, db = (jnp.concatenate([part, jnp.zeros_like(whole[_FIRST:])]) for part, whole in ((dA, A), (db, b)))

    def solve(group, found):
        return scatter(group, found, cotangents(*gather(group, (problems, solution, d_u))))

    return in_groups(solve, others, (d_nominal, dA, db, d_weights))


_batched.defvjp(_batched_forward, _batched_backward)
