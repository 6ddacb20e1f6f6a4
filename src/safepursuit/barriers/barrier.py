"""The interface of a kind of barrier."""

from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Array, Float, Int

from safepursuit.qp import Halfplanes
from safepursuit.robot import Robot
from safepursuit.scene import Scene
from safepursuit.shapes import Pose, Rows


class Barriers(NamedTuple):
    """Barriers of one kind at a pose, one per boundary; h ≥ 0 is the safe set."""

    value: Rows
    """h [m]."""
    facing: Rows
    """c_β = n·e for the boundary's normal n: −1 where the robot heads straight at it, +1 straight away."""
    side: Rows
    """s_β = n·e⊥: the normal along the robot's left."""
    radius: Rows
    """Radius of curvature of the boundary [m]; infinite for a wall."""
    boundary: Int[Array, "rows *batch"]
    """The index of the boundary in `scene.boundaries`."""


@runtime_checkable
class Barrier(Protocol):
    """A kind of barrier with its parameters: a frozen dataclass."""

    def rows_each(self, robot: Robot) -> int:
        """Rows of the program per barrier."""

    def find(self, robot: Robot, pose: Pose, scene: Scene, opponent: Pose | None) -> Barriers | None:
        """The barriers at a pose; None if this kind has none."""

    def rows(self, robot: Robot, barriers: Barriers, gain: Rows) -> Halfplanes:
        """A u ≤ b in u = (v, w), w = sin(ωΔ); `gain` is γ in [0, 1], one per barrier. u = 0 satisfies all rows."""


def in_heading_frame(ahead: Float[Array, "2 *batch"], normal: Float[Array, "2 *shape"]) -> tuple[Array, Array]:
    """(n·e, n·e⊥) of normals (2, rows, …) or (2, …); `ahead` is e."""
    return ahead[0] * normal[0] + ahead[1] * normal[1], ahead[0] * normal[1] - ahead[1] * normal[0]
