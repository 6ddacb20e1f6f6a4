"""Models of robots by name, and which of them a theorem covers."""

from collections.abc import Callable

from safepursuit.registry import Registry
from safepursuit.robot.inertial import Inertial
from safepursuit.robot.unicycle import Robot, Unicycle


def turtlebot3_burger() -> Inertial:
    """ROBOTIS TurtleBot3 Burger: 0.22 m/s, 0.124 m. Speed: ROBOTIS e-manual; turn rate: what wheels of 0.22 m/s allow;
    accelerations are not published and are those of its DWB planner (turtlebot3_navigation2); the radius covers the
    collision box of turtlebot3_gazebo about the axle (nav2's 0.105 m does not)."""
    return Inertial(0.124, 0.22, 2.75, 0.1, acceleration=2.5, braking=2.5, turn_acceleration=3.2)


def turtlebot3_waffle() -> Inertial:
    """ROBOTIS TurtleBot3 Waffle Pi: 0.25 m/s, 0.238 m. Speeds: its firmware (OpenCR); accelerations as for the Burger;
    the radius covers the collision box of turtlebot3_description about the axle (nav2's 0.15 m does not)."""
    return Inertial(0.238, 0.25, 1.82, 0.1, acceleration=2.5, braking=2.5, turn_acceleration=3.2)


def create3() -> Inertial:
    """iRobot Create 3, the base of TurtleBot 4: 0.306 m/s, 0.178 m. Speed and acceleration: create3_docs (safety);
    turn rate: TurtleBot 4 manual; turning acceleration: velocity_smoother of turtlebot4_navigation; the radius reaches
    the bumper."""
    return Inertial(0.178, 0.306, 1.9, 0.05, acceleration=0.9, braking=0.9, turn_acceleration=3.2)


def jackal() -> Inertial:
    """Clearpath Jackal J100: 2 m/s, 0.333 m. Limits: diff_4wd.yaml of clearpath_control, its braking at the rate of its
    acceleration; the radius covers 508 mm × 430 mm."""
    return Inertial(0.333, 2.0, 4.0, 0.05, acceleration=2.0, braking=2.0, turn_acceleration=4.0)


def husky() -> Inertial:
    """Clearpath Husky A200: 1 m/s, 0.6 m. Limits: diff_4wd.yaml of clearpath_control; the radius covers the footprint
    of husky_navigation."""
    return Inertial(0.6, 1.0, 1.0, 0.05, acceleration=1.0, braking=1.0, turn_acceleration=1.0)


def e_puck2() -> Unicycle:
    """GCtronic e-puck2: 0.138 m/s, 0.037 m, without inertia. Its stepper motors change their rate at once
    (e-puck2_main-processor, motors.c, up to 1,100 steps per second); turn rate for wheels 56.9 mm apart."""
    return Unicycle(0.037, 0.138, 4.86, 0.064, "arc")


ROBOTS: Registry[Callable[[], Unicycle]] = Registry(
    "robot",
    unicycle=Unicycle,
    inertial=Inertial,
    turtlebot3_burger=turtlebot3_burger,
    turtlebot3_waffle=turtlebot3_waffle,
    create3=create3,
    jackal=jackal,
    husky=husky,
    e_puck2=e_puck2,
)
"""Constructors of robots by name: `Unicycle`, `Inertial`, or a subclass of one of them."""


def within_theory(robot: Robot) -> bool:
    """Whether a theorem holds for this robot: it is a `Unicycle` or an `Inertial`, no method or property replaced."""
    own, proved = type(robot), Inertial if isinstance(robot, Inertial) else Unicycle
    methods = [name for name in dir(proved) if not name.startswith("__") and not _is_value(getattr(proved, name))]
    return isinstance(robot, Unicycle) and all(getattr(own, name) is getattr(proved, name) for name in methods)


def _is_value(member: object) -> bool:
    return not callable(member) and not isinstance(member, property)
