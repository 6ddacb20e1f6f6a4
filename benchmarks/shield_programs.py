"""The shield's programs as projections for any solver: what `projection_peers.py` compares on."""

import jax
import jax.numpy as jnp
import numpy as np

import projection
from problems import Problems

PROGRAMS = ((10, "in play"), (6, "close quarters"), (10, "close quarters"), (24, "close quarters"))
"""Rows, and where the robots are met. The rows are the actuator box, and the nearest one, three and ten of the
boundaries (four walls and six discs), two rows each."""


def draw(count: int, rows: int, where: str) -> Problems:
    """The first rows of the programs of so many robots, in double precision where JAX computes in it.

    With sin(ωΔ)/Δ, which is ω but for curvature, in the place of ω. u = 0 is always feasible.
    """
    given = jax.tree.map(
        lambda leaf: jnp.asarray(leaf, float if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf.dtype),
        projection.inputs(count, where),
    )
    nominal, program = projection.problems(given, rows)
    unit = np.array([1.0, projection.ROBOT.dt])
    return Problems(
        nominal=np.asarray(nominal).T / unit,
        A=np.moveaxis(np.asarray(program.A), -1, 0) * unit,
        b=np.asarray(program.b).T,
        weights=np.asarray(projection.metric(), float) * unit**2,
    )
