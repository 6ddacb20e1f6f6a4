"""Types of the arrays in signatures, with units, frames and signs.

Everywhere below `evaluation`: **components first, batch last**. A pose is `(3,)` for one robot and `(3, 1024)` for
1,024; a formula that unpacks `x, y, heading = pose` serves both, and the contiguous trailing axis fills the vector
units of a CPU and the lanes of a GPU. `jax.vmap` works as for any pure function.

World frame: x to the right, y up, angles counter-clockwise from +x. Body frame: x forward, y to the left.
"""

from typing import Any, TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

Pose: TypeAlias = Float[Array, "3 *batch"]
"""x [m], y [m], heading [rad] in the world frame."""

Control: TypeAlias = Float[Array, "2 *batch"]
"""Forward speed v [m/s] and turn rate ω [rad/s], left turns positive."""

Point: TypeAlias = Float[Array, "2 *batch"]
"""x [m], y [m]; the frame is stated at each use."""

Scalar: TypeAlias = Float[Array, "*batch"]
Flag: TypeAlias = Bool[Array, "*batch"]
Count: TypeAlias = Int[Array, "*batch"]

Rows: TypeAlias = Float[Array, "rows *batch"]
"""One number per constraint row or boundary."""

Keys: TypeAlias = Key[Array, "*keys"]
"""One random key, or one per game of a batch."""


def floating(values: Any) -> Array:
    """Numbers as an array of at least single precision; whole numbers in JAX's default precision."""
    array = jnp.asarray(values)
    kind = jnp.promote_types(array.dtype, jnp.float32) if jnp.issubdtype(array.dtype, jnp.inexact) else float
    return array.astype(kind)
