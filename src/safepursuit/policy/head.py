"""The interface of a safety architecture between learning and control."""

from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
from jaxtyping import Array, Float, Key

from safepursuit.game import Game, GameState, Role
from safepursuit.policy.config import PolicyConfig
from safepursuit.robot import Robot
from safepursuit.scene import Scene
from safepursuit.shapes import Control, Flag, Keys, Pose, Scalar
from safepursuit.shield import Shield, Shielded, Surroundings, survey


class Situation(NamedTuple):
    """The true state, from which a head builds its safe set; world frame, batch on trailing axes."""

    pose: Pose
    opponent: Pose
    scene: Scene
    around: Surroundings
    """Surveyed once per state, for acting and for every pass over the rollout."""

    @classmethod
    def survey(
        cls, shield: Shield, robot: Robot, pose: Pose, opponent: Pose, scene: Scene, velocity: Control | None = None
    ) -> "Situation":
        return cls(pose, opponent, scene, survey(shield, robot, pose, scene, opponent, velocity))


def situation(state: GameState, game: Game, shield: Shield, role: Role = "pursuer") -> Situation:
    """The situation of the robot in this role."""
    own, other = state.robots if role == "pursuer" else state.robots[::-1]
    robot = game.limits(role)
    if role == "pursuer":
        return Situation.survey(shield, robot, own.pose, other.pose, state.scene, own.control)
    # An evader's barriers do not include the pursuer, which is the one to keep off.
    around = survey(shield, robot, own.pose, state.scene, None, own.control)
    return Situation(own.pose, other.pose, state.scene, around)


class Head(eqx.Module):
    """Features of the actor → a distribution over actions, and actions → safe controls.

    An *action* is what the head samples and PPO scores; it is stored as sampled. `execute` turns it into the control
    carried out. Trainer and loss use only these methods; each head has its own type of `distribution`. Classes are
    abstract or final, and claims (`hard`, `promises`) are not inherited: a class that declares none makes none.
    """

    hard: ClassVar[bool] = False
    """Claim: no action in training makes the pursuer collide."""
    promises: ClassVar[bool] = False
    """Claim: `deploy` keeps the robot clear of walls and discs (theorem 1 or 3), whatever the parameters. Model cards
    state it; `attack.head` attacks it."""
    constrained: ClassVar[bool] = False
    """Whether to learn a cost critic and a multiplier for collisions (see `learn.lagrangian`)."""

    robot: eqx.AbstractVar[Robot]
    """The robot that is driven."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        for claim in ("hard", "promises"):
            if claim not in vars(cls):
                setattr(cls, claim, False)
        super().__init_subclass__(**keywords)

    @classmethod
    @abstractmethod
    def create(cls, key: Key[Array, ""], features: int, config: PolicyConfig, robot: Robot, shield: Shield) -> "Head":
        """A fresh head for an actor with this many features."""

    @abstractmethod
    def distribution(self, features: Float[Array, "features *batch"], situation: Situation) -> Any:
        """The distribution of actions."""

    @abstractmethod
    def sample(self, key: Keys, distribution: Any) -> Float[Array, "2 *batch"]:
        """One action."""

    @abstractmethod
    def log_prob(self, distribution: Any, action: Float[Array, "2 *batch"]) -> Scalar:
        """Log-density of an action as sampled, before any safety layer."""

    @abstractmethod
    def entropy(self, distribution: Any) -> Scalar:
        """Of the actions, before `execute`."""

    @abstractmethod
    def std(self, distribution: Any) -> Float[Array, "2 *batch"]:
        """Exploration noise of speed and turn rate, in half-widths of the actuator box, before any safety layer."""

    @abstractmethod
    def execute(self, distribution: Any, action: Float[Array, "2 *batch"], situation: Situation) -> Shielded:
        """The control carried out in training for a sampled action."""

    @abstractmethod
    def project(self, nominal: Control, situation: Situation) -> Shielded:
        """The safety layer of training, alone."""

    @abstractmethod
    def deploy(self, distribution: Any, situation: Situation) -> Shielded:
        """The control of the trained, deterministic policy."""

    @abstractmethod
    def nominal(self, distribution: Any) -> Control:
        """The deterministic control before any safety layer."""

    @abstractmethod
    def auxiliary_loss(self, distribution: Any) -> Scalar:
        """A term of the loss per sample, added to PPO's."""

    @abstractmethod
    def lost_gradient(self, distribution: Any) -> Flag:
        """Where the map from the network's output to the distribution loses rank."""

    def least_gain(self) -> float | None:
        """The smallest class-K gain that `deploy` uses; None where it has no barrier rows."""
        return None
