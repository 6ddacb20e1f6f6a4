"""The derivative of the projection, from its solution (Amos & Kolter 2017, eq. 6, in two variables)."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array


def tangent(problems: tuple, solution: tuple, tangents: tuple) -> Array:
    """du for the tangents of (nominal, A, b, weights); `solution` is (u, active, multipliers, violation).

    Differentiates W(u − ū) + Aᵀλ = 0, A u = b over the active rows, and solves for du.
    """
    nominal, A, _, weights = problems
    u, active, multipliers, violation = solution
    d_nominal, dA, db, d_weights = tangents
    # Where the problem is none, weights and nominal may be anything.
    weights, shift = jnp.where(violation > 0, 1, weights), jnp.where(violation > 0, 0, u - nominal)
    index = jnp.arange(active.shape[0]).reshape((-1,) + (1,) * (active.ndim - 1))
    holds = active & (violation <= 0)  # rows that attain the violation are kept out of the divisions
    first = holds & (index == jnp.min(jnp.where(holds, index, active.shape[0]), axis=0))
    second = holds & (index == jnp.max(jnp.where(holds, index, -1), axis=0)) & ~first
    one, two = jnp.any(first, axis=0), jnp.any(second, axis=0)

    def pick(row, value):  # the value of the marked row: (rows, 2, …) → (2, …) or (rows, …) → (…)
        mask = row[:, None] if value.ndim > row.ndim else row
        return jnp.sum(jnp.where(mask, value, 0), axis=0)

    a, c = pick(first, A), pick(second, A)
    da, dc = pick(first, dA), pick(second, dA)
    # Right-hand sides of a·du = p and c·du = q; rows are scaled, so that no square under- or overflows.
    size_a, size_c = jnp.where(one, jnp.max(jnp.abs(a), axis=0), 1), jnp.where(two, jnp.max(jnp.abs(c), axis=0), 1)
    p = (pick(first, db) - jnp.sum(da * u, axis=0)) / size_a
    q = (pick(second, db) - jnp.sum(dc * u, axis=0)) / size_c
    a, c = a / size_a, c / size_c

    determinant = jnp.where(two, a[0] * c[1] - a[1] * c[0], 1)
    at_vertex = jnp.stack([c[1] * p - a[1] * q, a[0] * q - c[0] * p]) / determinant
    free = d_nominal - (d_weights * shift + da * pick(first, multipliers)) / weights
    normal = a / weights
    length = jnp.where(one, jnp.sum(a * normal, axis=0), 1)
    on_line = free + normal * (p - jnp.sum(a * free, axis=0)) / length
    du = jnp.where(two, at_vertex, jnp.where(one, on_line, d_nominal))
    return jnp.where(violation > 0, 0, du)


def cotangents(problems: tuple, solution: tuple, cotangent: Array) -> Any:
    """The cotangents of (nominal, A, b, weights) for the cotangent of u."""
    return jax.linear_transpose(lambda *tangents: tangent(problems, solution, tangents), *problems)(cotangent)
