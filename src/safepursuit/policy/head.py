"""What a safety architecture has to provide: the interface between learning and control."""

from typing import Any, NamedTuple

import equinox as eqx
from jaxtyping import Array, Float, Key

from safepursuit.policy.config import PolicyConfig
from safepursuit.robot import Unicycle
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
    def survey(cls, shield: Shield, robot: Unicycle, pose: Pose, opponent: Pose, scene: Scene) -> "Situation":
        return cls(pose, opponent, scene, survey(shield, robot, pose, scene, opponent))


class Head(eqx.Module):
    """Features of the actor → a distribution over actions, and actions → safe controls.

    An *action* is whatever the head samples and PPO scores; it is stored as sampled. `execute` turns it into the
    control the robot carries out. Trainer and loss know heads only through these methods; the type of `distribution`
    is the head's own.
    """

    @classmethod
    def create(
        cls, key: Key[Array, ""], features: int, config: PolicyConfig, robot: Unicycle, shield: Shield
    ) -> "Head":
        """A fresh head for an actor with this many features."""
        raise NotImplementedError

    def distribution(self, features: Float[Array, "features *batch"], situation: Situation) -> Any:
        raise NotImplementedError

    def sample(self, key: Keys, distribution: Any) -> Float[Array, "2 *batch"]:
        raise NotImplementedError

    def log_prob(self, distribution: Any, action: Float[Array, "2 *batch"]) -> Scalar:
        """Log-density of an action as it was sampled, before any safety layer."""
        raise NotImplementedError

    def entropy(self, distribution: Any) -> Scalar:
        raise NotImplementedError

    def std(self) -> Float[Array, "2"]:
        """Current exploration noise of speed and turn rate, in half-widths of the actuator box."""
        raise NotImplementedError

    def execute(self, distribution: Any, action: Float[Array, "2 *batch"], situation: Situation) -> Shielded:
        """The control carried out in training for a sampled action."""
        raise NotImplementedError

    def project(self, nominal: Control, situation: Situation) -> Shielded:
        """The safety layer alone, as samples meet it in training."""
        raise NotImplementedError

    def deploy(self, distribution: Any, situation: Situation) -> Shielded:
        """The control carried out by the trained, deterministic policy."""
        raise NotImplementedError

    def nominal(self, distribution: Any) -> Control:
        """The control the network asks for, before any safety layer."""
        raise NotImplementedError

    def auxiliary_loss(self, distribution: Any) -> Scalar:
        """Added to PPO's loss, one number a sample."""
        raise NotImplementedError

    def lost_gradient(self, distribution: Any) -> Flag:
        """Where the map from the network's output to the distribution has lost rank."""
        raise NotImplementedError
