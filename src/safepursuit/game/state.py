"""The state of a game, and the result of a step."""

from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from safepursuit.scene import Scene
from safepursuit.shapes import Control, Count, Flag, Pose, Scalar

Role: TypeAlias = Literal["pursuer", "evader"]
ROLES: tuple[Role, ...] = get_args(Role)
"""The robots of a game, in the order of `GameState.robots`."""


def other(role: Role) -> Role:
    """The opponent's role."""
    return "evader" if role == "pursuer" else "pursuer"


class RobotState(NamedTuple):
    """One robot of a game."""

    pose: Pose
    control: Control
    """Executed in the last step; 0 at the start."""
    max_speed: Scalar | None = None
    """The speed limit of this episode [m/s], if the rules draw one."""


class GameState(NamedTuple):
    robots: tuple[RobotState, ...]
    """One per role, in the order of `ROLES`."""
    scene: Scene
    step: Count
    """Steps played."""

    def robot(self, role: Role) -> RobotState:
        return self.robots[ROLES.index(role)]

    def with_robot(self, role: Role, **changes: Any) -> "GameState":
        """The same state with some fields of one robot replaced."""
        changed = self.robot(role)._replace(**changes)
        return self._replace(robots=tuple(changed if one is self.robot(role) else one for one in self.robots))

    # Typed Any: stacked states have a leading axis, which the types of poses and controls exclude.
    @property
    def pursuer(self) -> Any:
        """Pose."""
        return self.robots[0].pose

    @property
    def evader(self) -> Any:
        """Pose."""
        return self.robots[1].pose

    @property
    def pursuer_control(self) -> Any:
        return self.robots[0].control

    @property
    def evader_control(self) -> Any:
        return self.robots[1].control


class Contact(NamedTuple):
    """The collisions of one robot in a step, by its own motion."""

    wall: Flag
    obstacle: Flag
    robot: Flag


class Transition(NamedTuple):
    state: GameState
    terminated: Flag
    """Captured, or invalid (or, if the rules say so, the pursuer collided)."""
    truncated: Flag
    """Time-out without termination."""
    captured: Flag
    invalid: Flag
    """A pose, a control or the scene is not finite: no capture, no reward, and the game is over."""
    contacts: tuple[Contact, ...]
    """Of each robot, in the order of `ROLES`."""
    separation: Scalar
    """Least distance [m] of the centres during the step; without meaning where invalid."""

    def contact(self, role: Role) -> Contact:
        return self.contacts[ROLES.index(role)]


def collided(contact: Contact) -> Flag:
    return contact.wall | contact.obstacle | contact.robot
