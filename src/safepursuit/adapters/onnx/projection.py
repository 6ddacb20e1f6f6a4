"""The projection of `qp` in closed form, for programs without loops.

    pᵢ  =  the point of line i nearest to ū that satisfies all other rows, for each line i that has one
    u*  =  ū where it satisfies all rows, otherwise the nearest pᵢ of those whose row ū violates

`qp.project` takes the rows one at a time and only those that matter: least work for a batch of thousands. Here a few
operations on square arrays treat all pairs of rows at once: more work, in the fewest steps.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from safepursuit.geometry import length
from safepursuit.qp import Halfplanes, Projection
from safepursuit.shapes import Rows, Scalar

_SLACK = 1e-10
"""A row counts as met, and as touched, within this distance."""

_TINY = 1e-9
"""Rows shorter than this are not brought to length one: they are padding."""


def project(nominal: Float[Array, "2"], halfplanes: Halfplanes, weights: Float[Array, "2"]) -> Projection:
    """`qp.project` for one problem in double precision, without derivatives: the same where the polygon is not empty.

    For numbers of order one, as speeds in m/s are: rows count as met within 1e-10. Where the polygon is empty, `u` is
    the origin (for the safety layer: braking), and the violation infinite. `active` marks the rows that hold the point,
    several where they coincide; there are no multipliers.
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
    # A row that ū satisfies can touch u* as well, but does not hold it.
    distance = jnp.where(fits & (beyond > 0), beyond**2 + t**2, jnp.inf)
    inside = jnp.max(beyond) <= 0
    found = inside | (jnp.min(distance) < jnp.inf)
    index = jnp.arange(len(norm))
    nearest = jax.lax.argmin(distance, 0, index.dtype)
    way = [_entry(values, nearest) for values in (beyond * nx + t * ny, beyond * ny - t * nx)]
    return Projection(
        u=jnp.where(inside, nominal, jnp.where(found, nominal - jnp.stack(way) / scale, 0)),
        active=_holding(nx, ny, beyond, norm > _TINY, *way) & ~inside,
        multipliers=jnp.zeros_like(norm),
        violation=jnp.where(found, 0.0, jnp.inf),
    )


def _holding(nx: Rows, ny: Rows, beyond: Rows, real: Bool[Array, "rows"], x: Scalar, y: Scalar) -> Bool[Array, "rows"]:
    """The rows whose multipliers are positive, as in `qp`, where the way (x, y) leads from the answer to ū: of those
    that the answer touches the nearest to the way on either side, one and the same if it lies along the way."""
    along, across = nx * x + ny * y, nx * y - ny * x
    touches = real & (beyond - along >= -_SLACK)
    closeness = along / jnp.maximum(jnp.abs(across), _TINY)  # falls with the angle, from 0 to π

    def nearest(candidates: Bool[Array, "rows"]) -> Bool[Array, "rows"]:
        closest = jnp.where(candidates, closeness, -jnp.inf)
        return candidates & (closest == jnp.max(closest))

    return nearest(touches & (across >= -_SLACK)) | nearest(touches & (across <= _SLACK))


def _entry(values: Float[Array, "rows"], index: Array) -> Float[Array, ""]:
    return jax.lax.dynamic_slice(values, (index,), (1,), allow_negative_indices=False)[0]
