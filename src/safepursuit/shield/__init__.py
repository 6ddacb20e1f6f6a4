"""The safety layer: barrier rows and actuator box in a quadratic program, then the speed governor.

    (v, w)*  =  argmin (v − v̄)² + (d/Δ)² (w − w̄)²   subject to the rows of theorem 2 and the actuator box
    v        ≤  governed speed of theorem 1

The metric is the displacement of the virtual control point. Theorem 1 alone makes every output safe, whatever the
program returns; theorem 2 keeps the program feasible and the governor idle (theory.md §2.3). A robot with inertia has
the certificate of theorem 3 in the governor's place.
"""

from safepursuit.shield.layer import CHANGED, Shielded, adopt, distance, filter, govern, guard, unfiltered
from safepursuit.shield.parameters import SHIELD, UNICYCLE, Shield, check, fitting, least_margin
from safepursuit.shield.program import problem
from safepursuit.shield.surroundings import MAX_HEADING, Backwards, Surroundings, survey

__all__ = [
    "CHANGED",
    "MAX_HEADING",
    "SHIELD",
    "UNICYCLE",
    "Backwards",
    "Shield",
    "Shielded",
    "Surroundings",
    "adopt",
    "check",
    "distance",
    "filter",
    "fitting",
    "govern",
    "guard",
    "least_margin",
    "problem",
    "survey",
    "unfiltered",
]
