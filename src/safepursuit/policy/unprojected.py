"""A Gaussian about the network's own output, and four ways to execute it: approach A of theory.md §3.

    ũ ~ N(μ, Σ)        loss = PPO(log N(ũ | μ, Σ)) + auxiliary loss        executed: F(ũ)        deployed: G(μ)

                     F in training            G at deployment          auxiliary loss
    ppo              the actuator limits      the actuator limits
    ppo-lagrangian   the actuator limits      the actuator limits      (a multiplier on the cost advantage)
    ppo-filter       the actuator limits      the safety layer
    ppo-shielded     the safety layer         the safety layer         λ ‖μ − Π(μ)‖²_W

Convention: the log-probability is that of the sample ũ, before it is cut off or projected. F belongs to the
environment, so the policy gradient is unbiased and differentiates the density alone (theory.md §3 A).
"""

from abc import abstractmethod
from typing import ClassVar, NamedTuple, TypeVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from safepursuit import shield as safety
from safepursuit.policy.config import PolicyConfig
from safepursuit.policy.gaussian import BoundedStd, Gaussian, GaussianHead
from safepursuit.policy.head import Situation
from safepursuit.policy.network import dense, orthogonal
from safepursuit.robot import Robot
from safepursuit.shapes import Control, Flag, Scalar
from safepursuit.shield import Shield, Shielded, Surroundings

Self = TypeVar("Self", bound="UnprojectedHead")


class Unprojected(NamedTuple):
    """A Gaussian about the network's mean, and the surroundings of the state."""

    gaussian: Gaussian
    around: Surroundings


class UnprojectedHead(GaussianHead):
    """A Gaussian about the network's output; subclasses define F (`project`) and G (`protect`)."""

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
        layer, spread = orthogonal(key, features, 2, 0.01), BoundedStd.create(config)
        return cls(layer=layer, spread=spread, penalty=config.penalty, robot=robot, shield=shield)

    def distribution(self, features: Float[Array, "features *batch"], situation: Situation) -> Unprojected:
        return Unprojected(Gaussian(dense(self.layer, features), self.spread()), situation.around)

    def execute(self, distribution: Unprojected, action: Float[Array, "2 *batch"], situation: Situation) -> Shielded:
        return self.project(self.robot.from_unit_box(action, situation.around.velocity), situation)

    def deploy(self, distribution: Unprojected, situation: Situation) -> Shielded:
        return self.protect(self.nominal(distribution), situation)

    def nominal(self, distribution: Unprojected) -> Control:
        return self.robot.from_unit_box(distribution.gaussian.mean, distribution.around.velocity)

    def lost_gradient(self, distribution: Unprojected) -> Flag:
        return jnp.zeros(distribution.gaussian.mean.shape[1:], bool)


def _limited(head: UnprojectedHead, nominal: Control, situation: Situation) -> Shielded:
    return safety.unfiltered(nominal, situation.around, robot=head.robot)


def _shielded(head: UnprojectedHead, nominal: Control, situation: Situation) -> Shielded:
    return safety.guard(nominal, situation.around, robot=head.robot, shield=head.shield)


def _no_loss(head: UnprojectedHead, distribution: Unprojected) -> Scalar:
    mean = distribution.gaussian.mean
    return jnp.zeros(mean.shape[1:], mean.dtype)


def _shield_gain(head: UnprojectedHead) -> float:
    return head.shield.gain


class PPOHead(UnprojectedHead):
    """Plain PPO: a Gaussian cut off at the actuator limits, no safety layer at all."""

    project = protect = _limited
    auxiliary_loss = _no_loss


class PPOLagrangianHead(UnprojectedHead):
    """PPO with a limit on collisions by a Lagrange multiplier (Ray, Achiam & Amodei 2019); no safety layer."""

    constrained: ClassVar[bool] = True
    project = protect = _limited
    auxiliary_loss = _no_loss


class PPOFilterHead(UnprojectedHead):
    """Plain PPO, put behind the safety layer only when it is deployed: the post-hoc filter."""

    promises: ClassVar[bool] = True
    project, protect = _limited, _shielded
    auxiliary_loss = _no_loss
    least_gain = _shield_gain


class PPOShieldedHead(UnprojectedHead):
    """PPO with the safety layer in the loop, as a part of the environment, and the distance penalty."""

    hard: ClassVar[bool] = True
    promises: ClassVar[bool] = True
    project = protect = _shielded
    least_gain = _shield_gain

    def auxiliary_loss(self, distribution: Unprojected) -> Scalar:
        if not self.penalty:
            return _no_loss(self, distribution)
        around = distribution.around
        mean = safety.guard(self.nominal(distribution), around, robot=self.robot, shield=self.shield)
        return self.penalty * safety.distance(self.shield, self.robot, mean, around.velocity)
