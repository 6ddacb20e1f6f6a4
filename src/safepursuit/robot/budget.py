"""The budget of errors that the safety layer accounts for (theory.md §5.4)."""

from dataclasses import dataclass, fields, replace

from safepursuit import ranges
from safepursuit.robot.unicycle import Robot


@dataclass(frozen=True)
class Budget:
    """Bounds on the errors between controller and robot; within them the guarantee holds. The default is none."""

    pose: float = 0.0
    """Error of the measured position [m]."""
    heading: float = 0.0
    """Error of the measured heading [rad]."""
    speed: float = 0.0
    """Error of the measured speed [m/s]; without effect on a robot without inertia."""
    turn_rate: float = 0.0
    """Error of the measured turn rate [rad/s]; without effect on a robot without inertia."""
    delay: int = 0
    """Steps between a command and its execution, known and constant."""
    slip: float = 0.0
    """Share by which way and turn of a step may differ from those of the wheels."""
    mover_speed: float = 0.0
    """Speed [m/s] of obstacles at most. Beyond 0 the promise is passive safety: nothing touches a robot that moves."""

    def __post_init__(self) -> None:
        ranges.check(self, "budget", not_negative=tuple(one.name for one in fields(self)))

    def scaled(self, factor: float) -> "Budget":
        """All errors times `factor`; the delay, which is known, is no shorter unless `factor` is 0, and whole steps."""
        values = {one.name: factor * getattr(self, one.name) for one in fields(self)}
        return Budget(**values | {"delay": max(round(values["delay"]), self.delay if factor else 0)})

    def at_execution(self, robot: Robot) -> "Budget":
        """The errors of the state predicted to the moment at which a command is executed, `delay` steps later.

        A limit of acceleration brings two velocities no further apart, so their errors stay. The heading adds kΔ(ε_ω +
        σω̄), the position kΔ(ε_v + σv̄) and the way kΔv̄ times the error of the heading at its end; a mover may have come
        nearer by kΔv_o. Raises ValueError for an error of the velocity of a robot with inertia and a wheel base, whose
        wheels tie speed and turn rate together (§2.7), and for an error of the speed and a delay of one that reverses.
        """
        if robot.has_inertia and robot.wheel_base is not None and (self.speed or self.turn_rate):
            raise ValueError(
                "with a wheel base a robot with inertia is proved safe for a known velocity only: set the budget's "
                "speed and turn_rate to 0, or leave out wheel_base and lower max_speed and max_turn_rate until the "
                "wheels can do both."
            )
        if robot.has_inertia and robot.reverses and self.speed and self.delay:
            raise ValueError(
                "a robot with inertia that reverses is proved safe with an error of the speed or a delay, not with "
                "both: which way it drives could not be predicted. Set the budget's speed or delay to 0, or min_speed."
            )
        time = self.delay * robot.dt
        speed, turn_rate = (self.speed, self.turn_rate) if robot.has_inertia else (0.0, 0.0)
        heading = self.heading + time * (turn_rate + self.slip * robot.max_turn_rate)
        pose = self.pose + time * (speed + self.slip * robot.max_speed + self.mover_speed)
        if self.delay:
            pose += time * robot.max_speed * heading
        if robot.reverses:  # motors that pass through rest within a step drive on by half a step of the error at most
            pose += 0.5 * robot.dt * speed
        return replace(self, pose=pose, heading=heading, speed=speed, turn_rate=turn_rate, delay=0)
