"""Names for the arrays that cross function borders, with their units, frames and signs.

One convention holds everywhere below `evaluation`: **components first, batch last**. A pose is `(3,)` for one robot and
`(3, 1024)` for a thousand; a formula that unpacks `x, y, heading = pose` serves both, and the contiguous trailing axis
is what the vector units of a CPU and the lanes of a GPU want. `jax.vmap` works on top of it as on any pure function.

World frame: x to the right, y up, angles counter-clockwise from +x. Body frame: x forward, y to the left.
"""

from typing import TypeAlias

from jaxtyping import Array, Bool, Float, Int, Key

Pose: TypeAlias = Float[Array, "3 *batch"]
"""x [m], y [m], heading [rad] in the world frame."""

Control: TypeAlias = Float[Array, "2 *batch"]
"""Forward speed v [m/s] and turn rate ω [rad/s], left turns positive."""

Point: TypeAlias = Float[Array, "2 *batch"]
"""x [m], y [m]; the frame is named where it is used."""

Scalar: TypeAlias = Float[Array, "*batch"]
Flag: TypeAlias = Bool[Array, "*batch"]
Count: TypeAlias = Int[Array, "*batch"]

Rows: TypeAlias = Float[Array, "rows *batch"]
"""One number for each constraint row or boundary."""

Keys: TypeAlias = Key[Array, "*keys"]
"""One random key, or one for each game of a batch."""
