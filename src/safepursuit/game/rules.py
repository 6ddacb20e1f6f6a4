"""The rules of the game and its transition."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, TypeAlias

import jax.numpy as jnp
import tyro

from safepursuit import ranges
from safepursuit.game.motion import drifting, move
from safepursuit.game.state import ROLES, Contact, GameState, Role, Transition, collided
from safepursuit.geometry import segment_minimum, unit
from safepursuit.registry import Registry
from safepursuit.robot import ROBOTS, Unicycle
from safepursuit.scene import Arena, movers, way, well_formed
from safepursuit.shapes import Control, Scalar


@dataclass(frozen=True)
class Reward:
    """Weights of the standard rule's sum for the pursuer. The evader's reward is the negative, but for collisions: each
    robot pays for its own."""

    rule: Annotated[str, tyro.conf.arg(name="reward", prefix_name=False)] = "standard"
    """Rule of the reward; `safepursuit list rewards` names them."""
    capture: float = 10.0
    """At capture."""
    approach: float = 0.3
    """Per metre by which the distance, in a room the shortest way, shrinks in a step (shaping)."""
    time: float = 0.0
    """Subtracted at each step."""
    collision: float = 0.1
    """Subtracted at each step in which the robot collides."""

    def __post_init__(self) -> None:
        ranges.check(self, "reward", not_negative=("capture", "approach", "time", "collision"))


@dataclass(frozen=True)
class Game:
    """The rules. All lengths in metres."""

    arena: Arena = field(default_factory=Arena)
    robot: Unicycle = field(default_factory=Unicycle)
    """Parameters of both robots, or of the pursuer's alone (`evader_model`); the evader's speed limit is scaled by
    `evader_speed_ratio`."""
    evader_speed_ratio: float = 1.0
    min_evader_speed_ratio: float | None = None
    """If given, the evader's speed limit is uniform from here to `evader_speed_ratio`, drawn per episode."""
    capture_radius: float = 0.5
    horizon: int = 600
    """Steps until time-out."""
    start_distance: tuple[float, float] = (3.0, 15.0)
    """Range of the initial distance of the two centres."""
    start_clearance: float = 0.25
    """Least initial clearance of both bodies from walls and discs, for a start in the shield's safe set."""
    collision_terminates: bool = False
    """End the episode at the pursuer's first collision."""
    reward: Reward = field(default_factory=Reward)
    robot_model: Annotated[str, tyro.conf.arg(name="robot", prefix_name=False)] = "unicycle"
    """Model of the robots; `safepursuit list robots` names them."""
    evader_model: Annotated[str | None, tyro.conf.arg(name="evader-robot", prefix_name=False)] = None
    """Model of the evader's robot, where it is another one; its steps are as long as the pursuer's."""
    sensor: Annotated[str, tyro.conf.arg(prefix_name=False)] = "discs"
    """What the robots observe; `safepursuit list sensors` names them."""

    def __post_init__(self) -> None:
        ranges.check(
            self,
            at_least_1=("horizon",),
            positive=("capture_radius", "evader_speed_ratio"),
            not_negative=("start_clearance",),
        )
        REWARDS.find(self.reward.rule)
        default = ROBOTS.find(self.robot_model)()
        if type(self.robot) is not type(default):
            if self.robot != Unicycle():
                raise ValueError(f"robot is a {type(self.robot).__name__}, not the robot {self.robot_model!r}.")
            object.__setattr__(self, "robot", default)
        if self.evader_model is not None and ROBOTS.find(self.evader_model)().has_inertia != self.robot.has_inertia:
            raise ValueError(
                f"the robots {self.robot_model!r} and {self.evader_model!r} cannot share a game: one has inertia, and "
                "the other one has none."
            )
        touch = self.robot.radius + self.evader.radius
        if self.capture_radius < touch:
            raise ValueError(
                f"capture_radius is {self.capture_radius:g} m, but the bodies touch at {touch:g} m: capture must come "
                "before contact."
            )
        if self.min_evader_speed_ratio is not None and not 0 < self.min_evader_speed_ratio <= self.evader_speed_ratio:
            raise ValueError(
                f"min_evader_speed_ratio must be positive and at most evader_speed_ratio, {self.evader_speed_ratio:g}, "
                f"not {self.min_evader_speed_ratio:g}."
            )
        low, high = self.start_distance
        if not self.capture_radius < low <= high:
            raise ValueError(
                f"start_distance {self.start_distance} must be a range beyond the capture radius of "
                f"{self.capture_radius:g} m."
            )

        for room in self.arena.rooms:
            room.check_passages(self.largest_radius, self.start_reach)

    @property
    def start_reach(self) -> float:
        """Least distance [m] of the centres from everything at the start."""
        return self.largest_radius + self.start_clearance

    @property
    def start_distances(self) -> tuple[float, float]:
        """`start_distance`, the least of which is no more than a quarter of the diagonal of any room."""
        low, high = self.start_distance
        for room in self.arena.rooms:
            left, right, bottom, top = room.bounds
            low = min(low, max(0.25 * math.hypot(right - left, top - bottom), 1.1 * self.capture_radius))
        return low, high

    @classmethod
    def of_robot(cls, model: str) -> "Game":
        """The default game of this robot: lengths in proportion to what it drives in an episode, and to its body where
        two bodies have to fit. Raises ValueError for an unknown model."""
        plain, robot = cls(), ROBOTS.find(model)()
        scale = robot.max_speed * robot.dt / (plain.robot.max_speed * plain.robot.dt)

        def sized(length: float, least: float = 0.0) -> float:
            return float(f"{max(scale * length, least):.3g}")

        half_x, half_y = plain.arena.half_extents
        small, large = plain.arena.radius_range
        near, far = plain.start_distance
        capture = sized(plain.capture_radius, 2.01 * (robot.radius + robot.max_speed * robot.dt))
        return cls(
            arena=replace(
                plain.arena,
                half_extents=(sized(half_x), sized(half_y)),
                radius_range=(sized(small), sized(large)),
                passage=sized(plain.arena.passage, 3 * robot.radius),
            ),
            robot_model=model,
            robot=robot,
            capture_radius=capture,
            start_distance=(sized(near, 2 * capture), sized(far)),
            start_clearance=sized((1.4 if robot.has_inertia else 1.0) * plain.start_clearance),
        )

    def default_part(self, name: str, values: Mapping[str, Any]) -> Any:
        """The default of a field under the overrides `values`, as from a file: another model has other fields."""
        if name == "robot" and (model := values.get("robot_model", self.robot_model)) != self.robot_model:
            return ROBOTS.find(model)()
        return getattr(self, name)

    @property
    def evader(self) -> Unicycle:
        """The evader's limits, with the highest speed if it is drawn per episode (`RobotState.max_speed`)."""
        one, ratio = self.evader_at_par, self.evader_speed_ratio
        return replace(one, max_speed=one.max_speed * ratio, min_speed=one.min_speed * ratio)

    @property
    def evader_at_par(self) -> Unicycle:
        """The evader's limits at a speed ratio of 1."""
        if self.evader_model is None:
            return self.robot
        return replace(ROBOTS.find(self.evader_model)(), dt=self.robot.dt, integrator=self.robot.integrator)

    @property
    def largest_radius(self) -> float:
        """Of the two bodies [m]."""
        return max(self.robot.radius, self.evader_at_par.radius)

    @property
    def robots(self) -> tuple[Unicycle, ...]:
        """The limits of each robot, in the order of `ROLES`."""
        return self.robot, self.evader

    def limits(self, role: Role) -> Unicycle:
        """The limits of the robot in this role."""
        return self.robots[ROLES.index(role)]


def transition(state: GameState, controls: tuple[Control, ...], game: Game) -> Transition:
    """One step with the controls in the order of `ROLES`, cut off at what the motors can reach; NaN where not finite.

    Differentiable in poses and controls where no body touches.
    """
    moves, scene, drift = [], state.scene, None
    if scene.movers is not None and scene.movers.goal is not None and game.arena.layout is not None:
        made = movers.walks(game.arena.layout.movers, game.robot.dt)
        drift, after = drifting(scene, made, state.pursuer[:2], game.robot)
        scene = scene._replace(centre=scene.centre + drift, movers=after)
    for robot, own, control in zip(game.robots, state.robots, controls, strict=True):
        control = jnp.where(jnp.isfinite(control), robot.reach(control, own.control), jnp.nan)
        if own.max_speed is not None:
            control = control.at[0].min(own.max_speed)
            if robot.reverses:
                control = control.at[0].max(own.max_speed * (robot.min_speed / robot.max_speed))
        moves.append(move(robot, own.pose, control, own.control, state.scene, drift))
    pursuer, evader = moves
    between = evader.way - pursuer.way
    separation = jnp.min(segment_minimum(between[:, :-1], between[:, 1:] - between[:, :-1]), axis=0)

    # Sums, because XLA on CPU is slow at reducing flags.
    numbers = [part for one in moves for part in (one.pose, one.control)]
    numbers += [jnp.where(known, 0, jnp.nan) for known in well_formed(state.scene)]
    invalid = ~jnp.isfinite(sum((jnp.sum(part, axis=0) for part in numbers), start=separation))
    captured = (separation <= game.capture_radius) & ~invalid
    touching = separation < game.robot.radius + game.evader.radius
    towards = unit(state.evader[:2] - state.pursuer[:2])
    closing = (
        jnp.sum(towards * (pursuer.pose[:2] - state.pursuer[:2]), axis=0) > 0,
        jnp.sum(towards * (evader.pose[:2] - state.evader[:2]), axis=0) < 0,
    )
    contacts = tuple(Contact(one.wall, one.disc, touching & own) for one, own in zip(moves, closing, strict=True))

    played = state.step + 1
    terminated = captured | invalid | (collided(contacts[0]) if game.collision_terminates else False)
    robots = tuple(
        own._replace(pose=one.pose, control=one.control) for own, one in zip(state.robots, moves, strict=True)
    )
    return Transition(
        state=GameState(robots, scene, played),
        terminated=terminated,
        truncated=(played >= game.horizon) & ~terminated,
        captured=captured,
        invalid=invalid,
        contacts=contacts,
        separation=separation,
    )


def standard_reward(before: GameState, outcome: Transition, game: Game, role: Role) -> Scalar:
    """Capture, approach, time and own collisions, weighted by `Reward`."""
    weights = game.reward
    after = outcome.state

    def apart(state: GameState) -> Scalar:
        return way(state.scene, state.pursuer[:2], state.evader[:2], game.robot.radius).length

    progress = apart(before) - apart(after)
    caught = outcome.captured.astype(progress.dtype)
    gain = weights.capture * caught + weights.approach * progress - weights.time
    own = gain if role == "pursuer" else -gain
    return own - weights.collision * collided(outcome.contact(role)).astype(progress.dtype)


RewardRule: TypeAlias = Callable[[GameState, Transition, Game, Role], Scalar]
"""The reward of the robot in this role for one step, from the state before it and the transition."""

REWARDS: Registry[RewardRule] = Registry("reward", standard=standard_reward)
"""Reward rules by name."""


def reward(before: GameState, outcome: Transition, game: Game, role: Role = "pursuer") -> Scalar:
    """The reward of the robot in this role for one step, by the game's rule; 0 where the game became invalid."""
    return jnp.where(outcome.invalid, 0, REWARDS.find(game.reward.rule)(before, outcome, game, role))
