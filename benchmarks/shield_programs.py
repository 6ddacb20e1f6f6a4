"""The shield's programs as projections for any solver: what `projection_peers.py` compares on."""

import numpy as np

from problems import Problems
from safepursuit.benchmark import projection

ROWS = (6, 10, 24)
"""The actuator box, and the nearest one, three and ten of the boundaries (four walls and six discs), two rows each."""


def draw(count: int, rows: int) -> Problems:
    """The first rows of the programs of robots at close quarters, in double precision where JAX computes in it.

    With sin(ωΔ)/Δ, which is ω but for curvature, in the place of ω. u = 0 is always feasible.
    """
    nominal, program = projection.problems(projection.inputs(count), rows)
    unit = np.array([1.0, projection.ROBOT.dt])
    return Problems(
        nominal=np.asarray(nominal).T / unit,
        A=np.moveaxis(np.asarray(program.A), -1, 0) * unit,
        b=np.asarray(program.b).T,
        weights=np.asarray(projection.metric(), float) * unit**2,
    )
