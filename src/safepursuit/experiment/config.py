"""The configuration of a training run, and that of its learner."""

from dataclasses import dataclass, field, replace
from typing import Any

from safepursuit import ranges
from safepursuit.barriers.control_point import arc_allowance
from safepursuit.game import REWARDS, ROLES, SENSORS, Game, Role, other
from safepursuit.players import PLAYERS, check_all_play, is_run, players_of, weights
from safepursuit.policy import HEADS, NETWORKS, PolicyConfig
from safepursuit.robot import ROBOTS, Budget, Unicycle, within_theory
from safepursuit.runs.configuration import numbers
from safepursuit.scene import SCENES
from safepursuit.shield import Shield, check, fitting


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
    imitation: float = 1.0
    """Weight of the squared distance from the teacher's control at the start of a training with a teacher."""
    imitation_share: float = 0.2
    """Share of that training over which it falls linearly to 0."""
    cost_limit: float = 0.01
    """Own collision steps allowed per episode on average, for a constrained method."""
    multiplier: float = 0.001
    """Its Lagrange multiplier at the start, in units of return per unit of cost."""
    multiplier_rate: float = 0.035
    """Learning rate of the multiplier (Adam), one step per rollout."""

    def __post_init__(self) -> None:
        ranges.check(
            self,
            "ppo",
            positive=("learning_rate", "clip", "max_grad_norm", "multiplier_rate"),
            not_negative=("imitation", "entropy", "value", "target_kl", "cost_limit", "multiplier"),
            share=("discount", "trace", "warmup"),
            positive_share=("imitation_share",),
            at_least_1=("epochs", "minibatches"),
        )


MOST_GAMES = 2**22
"""Beyond it the memory of any machine is spent before that is noticed."""


@dataclass(frozen=True)
class TrainConfig:
    """One training run."""

    method: str = "barriernet"
    """Safety architecture; `safepursuit list methods` names them."""
    role: Role = "pursuer"
    """The robot that learns; `train --role both` lets both learn, from each other."""
    evader: str = "random"
    """A pursuer's opponent: scripted (`safepursuit list evaders`), a run folder, or a mixture that shares the games,
    such as flee:2,orbit,runs/e1."""
    pursuer: str = "lead-intercept"
    """An evader's opponent, likewise (`safepursuit list pursuers`)."""
    teacher: str | None = None
    """A scripted player of the same role (`safepursuit list pursuers`), imitated at first: see ppo.imitation."""
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
    """End a pursuer's training episode at its own collision, where the method does not rule collisions out. An evader's
    goes on: it would escape by crashing."""
    evader_shielded: bool = True
    """Keep scripted opponents from hitting walls and discs."""
    disturbance: str = "none"
    """Errors drawn in training: "none", "budget" for those of the shield's budget, or a number of times as much."""
    game: Game = field(default_factory=Game)
    shield: Shield = field(default_factory=Shield)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    ppo: PPOConfig = field(default_factory=PPOConfig)

    def __post_init__(self) -> None:
        ranges.check(
            self,
            at_least_1=("timesteps", "num_envs", "rollout_length", "devices", "checkpoint_every"),
            seed=("seed",),
        )
        HEADS.find(self.method)
        if self.teacher is not None:
            PLAYERS[self.role].find(self.teacher)
        SENSORS.find(self.game.sensor)
        NETWORKS.find(self.policy.network)
        for name, value in numbers(self):
            if isinstance(value, int) and name not in ("timesteps", "seed") and not abs(value) < 2**31:
                raise ValueError(f"{name} must be less than {2**31:,}, not {value}.")
        if self.num_envs > MOST_GAMES or self.steps_per_iteration >= 2**31:
            raise ValueError(
                f"num_envs may be at most {MOST_GAMES:,}, and num_envs · rollout_length less than {2**31:,}; they are "
                f"{self.num_envs:,} and {self.steps_per_iteration:,}."
            )
        if self.on_nonfinite not in ("stop", "skip"):
            raise ValueError(f"on_nonfinite must be stop or skip, not {self.on_nonfinite!r}.")
        if self.num_envs % self.shares:
            raise ValueError(
                f"{self.num_envs} games cannot be shared evenly by {self.shares} devices: make num_envs a multiple."
            )
        if self.role not in ROLES:
            raise ValueError(f"role must be {' or '.join(ROLES)}, not {self.role!r}.")
        check_all_play(weights(self.opponent, self.opponent_role), self.num_envs // self.shares)
        if self.rollout_length % self.ppo.minibatches:
            raise ValueError(
                f"rollout_length {self.rollout_length} cannot be cut into {self.ppo.minibatches} minibatches of whole "
                "steps: make it a multiple of ppo.minibatches."
            )
        errors_of(self.disturbance, self.shield.budget)
        for robot in self.game.robots if self.evader_shielded else (self.robot,):
            check(self.shield, robot, self.game.capture_radius, self.game.arena.half_extents)
        needed = 2 * self.shield.offset + arc_allowance(self.robot, self.shield.offset)
        needed += self.shield.inflation + self.shield.budget.pose
        if self.game.start_clearance < needed:
            raise ValueError(
                f"game start_clearance {self.game.start_clearance:g} m does not put the robots into the safe set of a "
                f"shield with offset {self.shield.offset:g} m, inflation {self.shield.inflation:g} m and a budget of "
                f"{self.shield.budget.pose:g} m: it takes {needed:.3g} m."
            )

    def with_robot(self, model: str) -> "TrainConfig":
        """With another robot in its default game; the shield's offset and margin are of its size."""
        game, plain = Game.of_robot(model), Game().robot
        robot = game.robot
        scale = robot.max_speed * robot.dt / (plain.max_speed * plain.dt)
        offset = float(f"{scale * Shield.offset:.3g}")
        margin = max(self.shield.margin, fitting(robot, game.arena.half_extents).margin)
        if robot.has_inertia:  # room for weaker brakes
            margin = max(margin, 1e-4)
        return replace(self, game=game, shield=replace(self.shield, offset=offset, margin=margin))

    def in_role(self, role: Role, **changes: Any) -> "TrainConfig":
        """The training of the robot in this role, with other changes; a teacher is of one role and stays with it."""
        return replace(self, role=role, teacher=self.teacher if role == self.role else None, **changes)

    @property
    def promises(self) -> bool:
        """Whether the head promises for this robot that the deployed policy keeps clear of walls and discs."""
        return HEADS.find(self.method).promises and within_theory(self.robot)

    @property
    def errors(self) -> Budget | None:
        """The errors drawn in training; None for none."""
        return errors_of(self.disturbance, self.shield.budget)

    @property
    def rules(self) -> Game:
        """The game in training: see `end_on_collision`."""
        soft = self.role == "pursuer" and not HEADS[self.method].hard
        ends = self.game.collision_terminates or (self.end_on_collision and soft)
        return replace(self.game, collision_terminates=ends)

    @property
    def robot(self) -> Unicycle:
        """The limits of the robot that learns."""
        return self.game.limits(self.role)

    @property
    def opponent_role(self) -> Role:
        return other(self.role)

    @property
    def opponent(self) -> str:
        """Who plays the other robot."""
        return self.evader if self.role == "pursuer" else self.pursuer

    @property
    def lineup(self) -> tuple[str, ...]:
        """The opponent of each game, the same on each device."""
        return players_of(self.opponent, self.opponent_role, self.num_envs // self.shares) * self.shares

    @property
    def share(self) -> "TrainConfig":
        """The part of the training on one device."""
        return replace(self, num_envs=self.num_envs // self.shares, devices=None)

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
        chosen += [] if game.evader_model is None else [ROBOTS.find(game.evader_model)]
        chosen += [SENSORS.find(game.sensor), REWARDS.find(game.reward.rule)]
        chosen += [] if game.arena.room else [SCENES.find(game.arena.scene)]
        opponents = weights(self.opponent, self.opponent_role)
        chosen += [PLAYERS[self.opponent_role].find(name) for name in opponents if not is_run(name)]
        chosen += [] if self.teacher is None else [PLAYERS[self.role].find(self.teacher)]
        return {one.__module__ for one in chosen}


def errors_of(disturbance: str, budget: Budget) -> Budget | None:
    """The errors that "none", "budget" or a number of times the budget stand for; None for none. Raises ValueError."""
    factors = {"none": 0.0, "budget": 1.0}
    try:
        factor = factors[disturbance] if disturbance in factors else float(disturbance)
        errors = budget.scaled(factor)
    except ValueError:
        raise ValueError(
            f"disturbance must be none, budget or how many times the budget, 0 or more, not {disturbance!r}."
        ) from None
    return None if errors == Budget() else errors
