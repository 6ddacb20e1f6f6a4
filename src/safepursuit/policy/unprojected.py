"""A Gaussian about the network's own output, and four ways to act on it: approach A of theory.md §3.

    ũ ~ N(μ, Σ)        loss = PPO(log N(ũ | μ, Σ)) + auxiliary loss        executed: F(ũ)        deployed: G(μ)

                     F in training            G at deployment          auxiliary loss
    ppo              the actuator limits      the actuator limits
    ppo-lagrangian   the actuator limits      the actuator limits      (a multiplier on the cost advantage)
    ppo-filter       the actuator limits      the safety layer
    ppo-shielded     the safety layer         the safety layer         λ ‖μ − Π(μ)‖²_W

Convention of all: the log-probability is that of the sample ũ, before it is cut off or projected. F belongs to the
environment, so that the policy gradient is unbiased and nothing is differentiated but the density (theory.md §3 A).
"""

from abc import abstractmethod
from typing import ClassVar, NamedTuple, TypeVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from safepursuit import shield as safety
from safepursuit.policy import gaussian
from safepursuit.policy.config import PolicyConfig
from safepursuit.policy.gaussian import BoundedStd, Gaussian
from safepursuit.policy.head import Head, Situation
from safepursuit.policy.network import dense, orthogonal
from safepursuit.robot import Robot
from safepursuit.shapes import Control, Flag, Keys, Scalar
from safepursuit.shield import Shield, Shielded, Surroundings

Self = TypeVar("Self", bound="UnprojectedHead")


class Unprojected(NamedTuple):
    """The Gaussian about the network's mean, and where it is meant for."""

    gaussian: Gaussian
    around: Surroundings


class UnprojectedHead(Head):
    """A Gaussian about the network's output; subclasses say how it is acted on."""

    layer: eqx.nn.Linear
    spread: BoundedStd
    penalty: float = eqx.field(static=True)
    robot: Robot = eqx.field(static=True)
    shield: Shield = eqx.field(static=True)

    @abstractmethod
    def protect(self, nominal: Control, situation: Situation) -> Shielded:
        """The safety layer of the deployed policy."""

    @classmethod
    def create(
        cls: type[Self], key: Key[Array, ""], features: int, config: PolicyConfig, robot: Robot, shield: Shield
    ) -> Self:
        return cls(orthogonal(key, features, 2, 0.01), BoundedStd.create(config), config.penalty, robot, shield)

    def distribution(self, features: Float[Array, "features *batch"], situation: Situation) -> Unprojected:
        return Unprojected(Gaussian(dense(self.layer, features), self.spread()), situation.around)

    def sample(self, key: Keys, distribution: Unprojected) -> Float[Array, "2 *batch"]:
        return gaussian.sample(key, distribution.gaussian)

    def log_prob(self, distribution: Unprojected, action: Float[Array, "2 *batch"]) -> Scalar:
        return gaussian.log_prob(distribution.gaussian, action)

    def entropy(self, distribution: Unprojected) -> Scalar:
        return gaussian.entropy(distribution.gaussian)

    def std(self, distribution: Unprojected) -> Float[Array, "2 *batch"]:
        return gaussian.std(distribution.gaussian)

    def execute(self, distribution: Unprojected, action: Float[Array, "2 *batch"], situation: Situation) -> Shielded:
        return self.project(self.robot.from_unit_box(action), situation)

    def deploy(self, distribution: Unprojected, situation: Situation) -> Shielded:
        return self.protect(self.nominal(distribution), situation)

    def nominal(self, distribution: Unprojected) -> Control:
        return self.robot.from_unit_box(distribution.gaussian.mean)

    def lost_gradient(self, distribution: Unprojected) -> Flag:
        return jnp.zeros(distribution.gaussian.mean.shape[1:], bool)


class UnshieldedHead(UnprojectedHead):
    """Trains without any safety layer; subclasses say what is deployed."""

    def project(self, nominal: Control, situation: Situation) -> Shielded:
        return safety.unfiltered(nominal, situation.around, robot=self.robot)

    def auxiliary_loss(self, distribution: Unprojected) -> Scalar:
        return _nothing(distribution)


class PPOHead(UnshieldedHead):
    """Plain PPO: a Gaussian cut off at the actuator limits, no safety layer at all."""

    def protect(self, nominal: Control, situation: Situation) -> Shielded:
        return self.project(nominal, situation)


class PPOLagrangianHead(UnshieldedHead):
    """PPO with a limit on collisions by a Lagrange multiplier (Ray, Achiam & Amodei 2019); no safety layer."""

    constrained: ClassVar[bool] = True

    def protect(self, nominal: Control, situation: Situation) -> Shielded:
        return self.project(nominal, situation)


class PPOFilterHead(UnshieldedHead):
    """Plain PPO, put behind the safety layer only when it is deployed: the post-hoc filter."""

    promises: ClassVar[bool] = True

    def protect(self, nominal: Control, situation: Situation) -> Shielded:
        return safety.guard(nominal, situation.around, robot=self.robot, shield=self.shield)

    def least_gain(self) -> float | None:
        return self.shield.gain


class PPOShieldedHead(UnprojectedHead):
    """PPO with the safety layer in the loop, as a part of the environment, and the distance penalty."""

    hard: ClassVar[bool] = True
    promises: ClassVar[bool] = True

    def project(self, nominal: Control, situation: Situation) -> Shielded:
        return safety.guard(nominal, situation.around, robot=self.robot, shield=self.shield)

    def protect(self, nominal: Control, situation: Situation) -> Shielded:
        return self.project(nominal, situation)

    def least_gain(self) -> float | None:
        return self.shield.gain

    def auxiliary_loss(self, distribution: Unprojected) -> Scalar:
        if not self.penalty:
            return _nothing(distribution)
        mean = safety.guard(self.nominal(distribution), distribution.around, robot=self.robot, shield=self.shield)
        return self.penalty * safety.distance(self.shield, self.robot, mean)


def _nothing(distribution: Unprojected) -> Scalar:
    mean = distribution.gaussian.mean
    return jnp.zeros(mean.shape[1:], mean.dtype)
