"""What a safety architecture has to provide: the interface between learning and control."""

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
    """The true state a head may use to build its safe set; world frame, batch on trailing axes."""

    pose: Pose
    opponent: Pose
    scene: Scene
    around: Surroundings
    """Surveyed once, when the state is met: acting, and every pass over the rollout, starts from here."""

    @classmethod
    def survey(cls, shield: Shield, robot: Robot, pose: Pose, opponent: Pose, scene: Scene) -> "Situation":
        return cls(pose, opponent, scene, survey(shield, robot, pose, scene, opponent))


def situation(state: GameState, game: Game, shield: Shield, role: Role = "pursuer") -> Situation:
    """The situation of the robot in this role."""
    own, other = (state.pursuer, state.evader) if role == "pursuer" else (state.evader, state.pursuer)
    return Situation.survey(shield, game.limits(role), own, other, state.scene)


class Head(eqx.Module):
    """Features of the actor → a distribution over actions, and actions → safe controls.

    An *action* is whatever the head samples and PPO scores; it is stored as sampled. `execute` turns it into the
    control the robot carries out. Trainer and loss know heads only through these methods; the type of `distribution`
    is the head's own. Subclasses are final, or leave the methods they implement alone.

    A class says for itself what holds of it, and inherits no claim: one that declares nothing promises nothing.
    """

    hard: ClassVar[bool] = False
    """Claim: no action can make the pursuer collide in training."""
    promises: ClassVar[bool] = False
    """Claim: `deploy` keeps the robot clear of walls and discs (theorem 1), whatever the parameters. It is attacked by
    `evaluation.attack`, and stands on model cards."""
    constrained: ClassVar[bool] = False
    """Whether to learn a cost critic and a multiplier for collisions (see `learn.lagrangian`)."""

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
        """Log-density of an action as it was sampled, before any safety layer."""

    @abstractmethod
    def entropy(self, distribution: Any) -> Scalar:
        """Of the actions, not of the controls they become."""

    @abstractmethod
    def std(self, distribution: Any) -> Float[Array, "2 *batch"]:
        """Exploration noise of speed and turn rate, in half-widths of the actuator box, before any safety layer."""

    @abstractmethod
    def execute(self, distribution: Any, action: Float[Array, "2 *batch"], situation: Situation) -> Shielded:
        """The control carried out in training for a sampled action."""

    @abstractmethod
    def project(self, nominal: Control, situation: Situation) -> Shielded:
        """The safety layer alone, as samples meet it in training."""

    @abstractmethod
    def deploy(self, distribution: Any, situation: Situation) -> Shielded:
        """The control carried out by the trained, deterministic policy."""

    @abstractmethod
    def nominal(self, distribution: Any) -> Control:
        """The control the network asks for, before any safety layer."""

    @abstractmethod
    def auxiliary_loss(self, distribution: Any) -> Scalar:
        """Added to PPO's loss, one number per sample."""

    @abstractmethod
    def lost_gradient(self, distribution: Any) -> Flag:
        """Where the map from the network's output to the distribution has lost rank."""

    def least_gain(self) -> float | None:
        """The smallest class-K gain with which `deploy` may brake before a barrier; None where it enforces none."""
        return None
