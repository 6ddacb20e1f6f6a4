"""The configuration of a training run, and that of its learner."""

import math
from dataclasses import dataclass, field, replace
from typing import Any

from safepursuit.barriers.control_point import arc_allowance
from safepursuit.game import REWARDS, SENSORS, Game
from safepursuit.players import EVADERS, evader_weights, evaders_of
from safepursuit.policy import HEADS, NETWORKS, PolicyConfig
from safepursuit.robot import ROBOTS, within_theory
from safepursuit.runs.configuration import numbers
from safepursuit.scene import SCENES
from safepursuit.shield import Shield, check


@dataclass(frozen=True)
class PPOConfig:
    """Proximal policy optimisation (Schulman et al. 2017)."""

    learning_rate: float = 1e-3
    warmup: float = 0.0
    """Share of the training over which the learning rate rises linearly from 0."""
    decay: bool = True
    """Let the learning rate fall linearly to 0 after the warm-up."""
    discount: float = 0.995
    """γ of the return."""
    trace: float = 0.98
    """λ of generalised advantage estimation."""
    epochs: int = 4
    """Passes over each rollout."""
    minibatches: int = 8
    clip: float = 0.2
    """Range of the probability ratio, 1 ± clip."""
    entropy: float = 0.001
    """Weight of the entropy bonus."""
    value: float = 0.5
    """Weight of the value loss."""
    max_grad_norm: float = 0.5
    target_kl: float = 0.03
    """Stop a rollout's update once the mean KL divergence exceeds this; 0 never stops."""
    cost_limit: float = 0.01
    """Own collision steps allowed per episode on average, for a constrained method."""
    multiplier: float = 0.001
    """Its Lagrange multiplier at the start, in units of return per unit of cost."""
    multiplier_rate: float = 0.035
    """Learning rate of the multiplier (Adam), one step per rollout."""

    def __post_init__(self) -> None:
        for name in ("cost_limit", "multiplier"):
            if getattr(self, name) < 0:
                raise ValueError(f"ppo {name} must not be negative, but is {getattr(self, name)}.")
        for name in ("learning_rate", "clip", "max_grad_norm", "multiplier_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"ppo {name} must be positive, not {getattr(self, name)}.")
        for name in ("discount", "trace", "warmup"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"ppo {name} must lie in [0, 1], not {getattr(self, name)}.")
        for name in ("epochs", "minibatches"):
            if getattr(self, name) < 1:
                raise ValueError(f"ppo {name} must be at least 1, not {getattr(self, name)}.")


@dataclass(frozen=True)
class TrainConfig:
    """One training run."""

    method: str = "barriernet"
    """Safety architecture; `safepursuit list methods` names them."""
    evader: str = "random"
    """Scripted opponent (`safepursuit list evaders`), or a mixture that shares the games, such as flee:2,orbit,hide."""
    timesteps: int = 1_000_000
    """Environment steps in all."""
    num_envs: int = 256
    """Games played side by side."""
    rollout_length: int = 64
    """Steps per game between two updates."""
    devices: int | None = None
    """Devices that share the games, on a CPU one per core. By default the command line takes all cores of a CPU, a
    program one."""
    seed: int = 0
    """Everything random follows from this, given the number of devices."""
    checkpoint_every: int = 10
    """Iterations between checkpoints; the last iteration always leaves one."""
    on_nonfinite: str = "stop"
    """“stop” before an update that would lead to a number that is not finite, or “skip” it and go on."""
    end_on_collision: bool = True
    """End a training episode at the pursuer's own collision, where the method does not rule collisions out."""
    evader_shielded: bool = True
    """Keep the scripted evader from hitting walls and discs."""
    game: Game = field(default_factory=Game)
    shield: Shield = field(default_factory=Shield)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    ppo: PPOConfig = field(default_factory=PPOConfig)

    def __post_init__(self) -> None:
        HEADS.find(self.method)
        SENSORS.find(self.game.sensor)
        NETWORKS.find(self.policy.network)
        for name in ("timesteps", "num_envs", "rollout_length", "checkpoint_every", "shares"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}.")
        for name, value in numbers(self):
            bound = {"timesteps": math.inf, "seed": 2**32}.get(name, 2**31)
            if isinstance(value, int) and not -bound < value < bound:
                raise ValueError(f"{name} must be less than {bound:,}, not {value}.")
        if self.on_nonfinite not in ("stop", "skip"):
            raise ValueError(f"on_nonfinite must be stop or skip, not {self.on_nonfinite!r}.")
        if self.num_envs % self.shares:
            raise ValueError(
                f"{self.num_envs} games cannot be shared evenly by {self.shares} devices: make num_envs a multiple."
            )
        if idle := set(evader_weights(self.evader)) - set(self.lineup):
            raise ValueError(
                f"of {self.num_envs // self.shares} games none is left for {', '.join(sorted(idle))}: raise num_envs "
                "or its weight."
            )
        if self.rollout_length % self.ppo.minibatches:
            raise ValueError(
                f"rollout_length {self.rollout_length} cannot be cut into {self.ppo.minibatches} minibatches of whole "
                "steps: make it a multiple of ppo.minibatches."
            )
        check(self.shield, self.game.robot, self.game.capture_radius)
        if self.evader_shielded:
            check(self.shield, self.game.evader, self.game.capture_radius)
        needed = 2 * self.shield.offset + arc_allowance(self.game.robot, self.shield.offset)
        if self.game.start_clearance < needed:
            raise ValueError(
                f"game start_clearance {self.game.start_clearance:g} m does not put the robots into the safe set of a "
                f"shield with offset {self.shield.offset:g} m: it takes {needed:.3g} m."
            )

    @property
    def promises(self) -> bool:
        """Whether the head promises for this robot that the deployed policy keeps clear of walls and discs."""
        return HEADS.find(self.method).promises and within_theory(self.game.robot)

    @property
    def rules(self) -> Game:
        """The game in training: see `end_on_collision`."""
        ends = self.game.collision_terminates or (self.end_on_collision and not HEADS[self.method].hard)
        return replace(self.game, collision_terminates=ends)

    @property
    def lineup(self) -> tuple[str, ...]:
        """The evader of each game, the same on each device."""
        return evaders_of(self.evader, self.num_envs // self.shares) * self.shares

    @property
    def shares(self) -> int:
        """The number of devices over which the games are spread."""
        return 1 if self.devices is None else self.devices

    @property
    def steps_per_iteration(self) -> int:
        return self.num_envs * self.rollout_length

    @property
    def iterations(self) -> int:
        """Updates needed to play at least `timesteps`."""
        return -(-self.timesteps // self.steps_per_iteration)

    def modules(self) -> set[str]:
        """The modules that define everything chosen by name."""
        game = self.game
        chosen: list[Any] = [HEADS.find(self.method), NETWORKS.find(self.policy.network), ROBOTS.find(game.robot_model)]
        chosen += [SENSORS.find(game.sensor), REWARDS.find(game.reward.rule), SCENES.find(game.arena.scene)]
        chosen += map(EVADERS.find, evader_weights(self.evader))
        return {one.__module__ for one in chosen}
