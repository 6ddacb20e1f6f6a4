"""The projection of `qp` in closed form, for programs without loops.

    pᵢ  =  the point of line i nearest to ū that satisfies all other rows, for each line i that has one
    u*  =  ū where it satisfies all rows, otherwise the nearest pᵢ

`qp.project` takes the rows one at a time and only those that matter: least work for a batch of thousands. Here a few
operations on square arrays treat all pairs of rows at once: more work, in the fewest steps.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from safepursuit.geometry import length
from safepursuit.qp import Halfplanes, Projection

_SLACK = 1e-10
"""A row counts as met within this distance."""

_TINY = 1e-9
"""Rows shorter than this are not brought to length one: they are padding."""


def project(nominal: Float[Array, "2"], halfplanes: Halfplanes, weights: Float[Array, "2"]) -> Projection:
    """`qp.project` for one problem in double precision, without derivatives: the same where the polygon is not empty.

    For numbers of order one, as speeds in m/s are: rows count as met within 1e-10. Where the polygon is empty, `u` is
    the origin (for the safety layer: braking), and the violation infinite. `active` marks a row that holds the point,
    and all that cut it off there; there are no multipliers.
    """
    scale = jnp.sqrt(weights)
    nx, ny = halfplanes.A[:, 0] / scale[0], halfplanes.A[:, 1] / scale[1]
    norm = jnp.maximum(length(jnp.stack([nx, ny])), _TINY)
    nx, ny, offset = nx / norm, ny / norm, halfplanes.b / norm
    x, y = scale * nominal

    # As seen from ū, which lies beyondᵢ line i: that is −beyondᵢ nᵢ + t (−nyᵢ, nxᵢ), and row j allows the t with
    # alongᵢⱼ t ≤ gapᵢⱼ. The nearest point of the line to ū has t = 0.
    beyond = nx * x + ny * y - offset
    along = nx[:, None] * ny - ny[:, None] * nx
    gap = (nx[:, None] * nx + ny[:, None] * ny) * beyond[:, None] - beyond
    crossing = gap / along  # not used where it divides by zero
    high = jnp.min(jnp.where(along > _SLACK, crossing, jnp.inf), axis=1)
    low = jnp.max(jnp.where(along < -_SLACK, crossing, -jnp.inf), axis=1)
    t = jnp.minimum(jnp.maximum(low, 0), high)

    fits = jnp.max(t[:, None] * along - gap, axis=1) <= _SLACK
    distance = jnp.where(fits, beyond**2 + t**2, jnp.inf)
    inside = jnp.max(beyond) <= 0
    found = inside | (jnp.min(distance) < jnp.inf)
    index = jnp.arange(len(norm))
    nearest = jax.lax.argmin(distance, 0, index.dtype)
    way = jnp.stack([_entry(values, nearest) for values in (beyond * nx + t * ny, beyond * ny - t * nx)]) / scale
    holds = (crossing == t[:, None]) | jnp.eye(len(norm), dtype=bool)
    return Projection(
        u=jnp.where(inside, nominal, jnp.where(found, nominal - way, 0)),
        active=jnp.any(holds & (index == nearest)[:, None], axis=0) & ~inside,
        multipliers=jnp.zeros_like(norm),
        violation=jnp.where(found, 0.0, jnp.inf),
    )


def _entry(values: Float[Array, "rows"], index: Array) -> Float[Array, ""]:
    return jax.lax.dynamic_slice(values, (index,), (1,), allow_negative_indices=False)[0]
