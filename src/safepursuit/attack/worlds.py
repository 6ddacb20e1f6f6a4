"""What is attacked: a robot behind a safety layer, with the errors between the two."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from safepursuit import shield as safety
from safepursuit.experiment import TrainConfig
from safepursuit.game import Game
from safepursuit.robot import ROBOTS, Budget, Inertial, Robot, Unicycle
from safepursuit.scene import Arena, Scene
from safepursuit.shapes import Control, Pose
from safepursuit.shield import Shield, Shielded, fitting

Guard: TypeAlias = Callable[[Control, Pose, Scene, Robot, Shield, Any, Control], Shielded]
"""(nominal, pose, scene, robot, shield, gains, velocity) → the control carried out."""


def filtered(nominal: Control, pose: Pose, scene: Scene, robot: Robot, shield: Shield, gains: Any, velocity: Control):
    """The shipped shield: program, then governor or certificate."""
    return safety.filter(nominal, pose, scene, robot=robot, shield=shield, gains=gains, velocity=velocity)


def governed(nominal: Control, pose: Pose, scene: Scene, robot: Robot, shield: Shield, gains: Any, velocity: Control):
    """Governor or certificate alone."""
    around = safety.survey(shield, robot, pose, scene, velocity=velocity)
    return safety.unfiltered(nominal, around, robot=robot, governor=shield)


@dataclass(frozen=True)
class World:
    """One kind of game that an attack draws from."""

    name: str
    robot: Unicycle
    shield: Shield
    guard: Guard = filtered
    truth: Budget | None = None
    """Errors between robot and controller; None for those of the shield's budget."""
    discs: int = 16
    """Most discs of a layout."""
    start_clearance: float = 0.0
    """Least clearance [m] of a start."""
    steps: int = 48
    """Length of an episode."""
    rules: Game | None = None
    """Of the training of an attacked policy, which observes by them."""

    @property
    def errors(self) -> Budget:
        return self.shield.budget if self.truth is None else self.truth

    @property
    def half_extents(self) -> tuple[float, float]:
        """Of the arena [m]."""
        return _half_extents(self.robot)

    @property
    def game(self) -> Game:
        """The rules of its recordings: an episode ends at the first contact."""
        radius = self.robot.radius
        arena = Arena(self.half_extents, self.discs, (0.3 * radius, 6 * radius), allow_overlap=True)
        if self.rules is not None:
            return replace(self.rules, arena=arena, horizon=self.steps, collision_terminates=True)
        return Game(
            arena,
            self.robot,
            capture_radius=2.5 * radius,
            start_distance=(2.6 * radius, 50 * radius),
            start_clearance=self.start_clearance,
            horizon=self.steps,
            collision_terminates=True,
            robot_model="inertial" if self.robot.has_inertia else "unicycle",
        )


def _half_extents(robot: Robot) -> tuple[float, float]:
    """Of an attacked robot's arena [m]: 20 by 15 of its radii."""
    return 20 * robot.radius, 15 * robot.radius


SMALL_ERRORS = Budget(pose=0.02, heading=0.03, slip=0.05)
ALL_ERRORS = Budget(pose=0.02, heading=0.03, speed=0.02, turn_rate=0.05, delay=2, slip=0.05)


def behind(name: str, robot: Unicycle, budget: Budget | None = None, **more: Any) -> World:
    """A robot behind the shipped shield, with the margin and the offset that it needs."""
    shield = fitting(robot, _half_extents(robot))
    offset = max(shield.offset, 1.01 * robot.max_speed * robot.dt)
    return World(name, robot, replace(shield, offset=offset, budget=budget or Budget()), **more)


def of_run(config: TrainConfig, name: str) -> World:
    """The world of a trained policy: its robot, its shield, its sensor. Raises ValueError for an evader's."""
    if config.role == "evader":
        raise ValueError("the falsifier attacks pursuers: this is the run of an evader.")
    return World(name, config.game.robot, config.shield, rules=config.game)


def shipped() -> tuple[World, ...]:
    """The worlds in which the shipped shield is attacked: every kind of motion, with and without errors."""
    euler, arc, inertial = Unicycle(), Unicycle(integrator="arc"), Inertial()
    slow = Inertial(acceleration=0.5, braking=0.4, turn_acceleration=2.0)
    return (
        behind("Euler", euler),
        behind("arc", arc),
        behind("Euler, governor alone", euler, guard=governed),
        behind("arc, governor alone", arc, guard=governed),
        behind("Euler with errors and delay", euler, ALL_ERRORS),
        behind("arc with errors", arc, SMALL_ERRORS),
        behind("inertia", inertial),
        behind("inertia, weak brakes", slow),
        behind("inertia with errors and delay", inertial, ALL_ERRORS),
        behind("inertia, certificate alone, with errors", slow, replace(ALL_ERRORS, delay=0), guard=governed),
        behind("arc, reverse", replace(arc, min_speed=-1.0)),
        behind("inertia, reverse, with delay", replace(inertial, min_speed=-0.7), replace(ALL_ERRORS, speed=0.0)),
        behind("inertia, reverse, with errors", replace(slow, min_speed=-1.0), replace(ALL_ERRORS, delay=0)),
        *(
            behind(name.replace("_", "-"), ROBOTS.find(name)())
            for name in ROBOTS
            if name not in ("unicycle", "inertial")
        ),
    )
