"""The parameters of the safety layer, and what the theorems ask of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import jax.numpy as jnp
import tyro

from safepursuit import ranges
from safepursuit.barriers import Barrier, ControlPoint, Separation
from safepursuit.barriers.separation import check_robot_gain
from safepursuit.robot import Budget, Robot, Unicycle


@dataclass(frozen=True)
class Shield:
    """The parameters of the safety layer."""

    offset: float = 0.1
    """d [m]: how far ahead of the centre the virtual control point lies."""
    gain: float = 0.5
    """Class-K gain γ in (0, 1] of every boundary, per step, where no network sets it; 1 restricts least."""
    margin: float = 1e-5
    """Added to the robot's radius by the governor, and twice by the rows [m]: for rounding, in float32 enough for an
    arena of 29 m × 29 m (`least_margin`); twice, so that the governor stays idle where the robot slides along a
    boundary."""
    inflation: float = 0.0
    """Also added to the robot's radius by governor and rows [m]: distance to keep from walls and discs, whatever for.
    Captures, contacts and `clearance` are those of the body alone."""
    robot_barrier: bool = False
    """Also limit the approach to the other robot (theory.md §2.4); off, because capture needs it."""
    robot_gain: float = 0.5
    """γ of the inter-robot row, per step."""
    min_separation: float = 0.35
    """Distance of centres [m] that the inter-robot row keeps."""
    allow_blocking: bool = False
    """Accept an inter-robot gain that keeps the pursuer from ever capturing."""
    budget: Annotated[Budget, tyro.conf.arg(prefix_name=False)] = field(default_factory=Budget)
    """Errors that the layer accounts for."""

    def __post_init__(self) -> None:
        ranges.check(
            self,
            "shield",
            positive=("offset",),
            positive_share=("gain", "robot_gain"),
            not_negative=("margin", "inflation", "min_separation"),
        )

    @property
    def kinds(self) -> tuple[Barrier, ...]:
        """The kinds of barriers whose rows make up the program."""
        own = (Separation(self.min_separation, self.robot_gain),) if self.robot_barrier else ()
        return ControlPoint(self.offset, self.added + self.margin), *own

    @property
    def added(self) -> float:
        """What governor and certificate add to the robot's radius [m]; the rows add the margin once more."""
        return self.inflation + self.budget.pose + self.margin


UNICYCLE, SHIELD = Unicycle(), Shield()
"""The robot and the parameters where none are given."""


def least_margin(robot: Robot, half_extents: Sequence[float], dtype: Any = None) -> float:
    """The least margin [m] that covers rounding in an arena of these half-extents [m] (theory.md §2.5).

    `dtype` is that of the poses, by default JAX's. Each step of a stop adds the rounding of a position.
    """
    reach = math.hypot(*half_extents) + robot.radius
    return (
        (3.5 + 0.5 * robot.steps_to_stop)
        * float(jnp.finfo(jnp.result_type(float) if dtype is None else dtype).eps)
        * reach
    )


def fitting(robot: Robot, half_extents: Sequence[float], dtype: Any = None) -> Shield:
    """`Shield()`, with the margin that an arena of these half-extents [m] needs if it needs more."""
    return Shield(margin=max(Shield.margin, 1.05 * least_margin(robot, half_extents, dtype)))


def check(
    shield: Shield, robot: Robot, capture_radius: float, half_extents: Sequence[float], dtype: Any = None
) -> None:
    """Raise ValueError if these parameters break an assumption of the theorems or prevent capture.

    `half_extents` [m] are the arena's, `dtype` that of the poses, by default JAX's.
    """
    needed = least_margin(robot, half_extents, dtype)
    if shield.margin < needed:
        raise ValueError(
            f"a shield margin of {shield.margin:g} m does not cover rounding in an arena of "
            f"{2 * half_extents[0]:g} m × {2 * half_extents[1]:g} m: it takes {1.05 * needed:.2g} m, or a smaller "
            "arena, or double precision."
        )
    shield.budget.at_execution(robot)
    if robot.max_speed * robot.dt > shield.offset:
        raise ValueError(
            f"the robot moves up to {robot.max_speed * robot.dt:g} m per step, more than the shield's offset of "
            f"{shield.offset:g} m: theorem 2 needs max_speed · dt ≤ offset; raise the offset or shorten the step."
        )
    if shield.robot_barrier and not shield.allow_blocking:
        check_robot_gain(robot, shield.robot_gain, shield.min_separation, capture_radius)
