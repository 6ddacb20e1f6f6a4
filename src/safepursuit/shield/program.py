"""The quadratic program: the actuator box and the rows of the barriers."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool

from safepursuit import qp
from safepursuit.barriers import Barriers, GainRule, Gains, as_rule
from safepursuit.qp import Halfplanes
from safepursuit.robot import Robot
from safepursuit.shapes import Scalar
from safepursuit.shield.parameters import Shield
from safepursuit.shield.surroundings import Surroundings

BOX_ROWS = 4
"""Of the program are the box."""


def problem(shield: Shield, robot: Robot, surroundings: Surroundings, gains: Gains | None = None) -> Halfplanes:
    """The safe set of (v, w), w = sin(ωΔ), as half-planes: the box, then the rows of each kind of barrier.

    `gains` is γ in [0, 1]: one number, one per boundary in the order of `surroundings`, or a rule; None is
    `shield.gain`. u = 0 is always inside.
    """
    box = actuator_box(robot, surroundings, surroundings.clearance)
    return qp.join(qp.sides(box), barrier_rows(shield, robot, Ingredients.of(shield, surroundings, gains)))


def actuator_box(robot: Robot, surroundings: Surroundings, like: Scalar) -> qp.Box:
    """The limits of (v, w); of a robot without inertia that reverses also theorem 1's behind it, whose body no row of
    theorem 2 keeps clear there (theory.md §2.8)."""
    low, high = robot.swing_box(like, surroundings.velocity)
    if surroundings.backwards is not None:
        low = jnp.stack([jnp.maximum(low[0], -surroundings.backwards.speed_limit), low[1]])
    return qp.Box(low, high)


class Ingredients(NamedTuple):
    """What the program's rows are built from."""

    found: tuple[Barriers, ...]
    gains: GainRule

    @classmethod
    def of(cls, shield: Shield, around: Surroundings, gains: Gains | None) -> "Ingredients":
        return cls(around.found, as_rule(shield.gain if gains is None else gains, around.barriers))


def barrier_rows(shield: Shield, robot: Robot, ingredients: Ingredients) -> Halfplanes:
    """All rows but the actuator box."""
    gain = ingredients.gains(ingredients.found[0])
    pairs = zip(shield.kinds, ingredients.found, strict=False)
    return qp.join(*(kind.rows(robot, found, gain) for kind, found in pairs))


def by_boundary(shield: Shield, robot: Robot, held: Bool[Array, "rows *batch"], surroundings: Surroundings) -> Array:
    """Which boundaries hold the control, from the rows that do; per kind of barrier, in the order of the scene."""
    parts, first = [], 0
    for kind, found in zip(shield.kinds, surroundings.found, strict=False):
        count, each = len(found.value), kind.rows_each(robot)
        rows = held[first : first + count * each].reshape(count, each, *held.shape[1:])
        any_row = rows[:, 0]
        for row in range(1, each):  # `any` is slow on CPU
            any_row = any_row | rows[:, row]
        if count > 1:
            any_row = jnp.put_along_axis(jnp.zeros_like(any_row), found.boundary, any_row, axis=0, inplace=False)
        parts.append(any_row)
        first += count * each
    return jnp.concatenate(parts)
