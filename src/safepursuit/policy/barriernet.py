"""BarrierNet: a Gaussian centred on the projected mean, with learned class-K gains (Xiao et al., T-RO 2023).

    μ, γ  =  network(observation)              μ̄ = Π_γ(μ)                    (program of `shield`, gains γ)
    ũ     ~  N(μ̄, Σ)                           executed: Π₁(ũ)
    loss  =  PPO(log N(ũ | μ̄, Σ))  +  λ ‖μ − μ̄‖²_W

Approach B of theory.md §3: the executed mean stays in the safe set, the policy gradient passes through the projection
to μ and γ, and the deployed policy, μ̄, is the mean that was trained. The penalty supplies the gradient that the
projection removes along active rows; with Π held constant it is exactly 2λW(μ − μ̄).

Deviations from the paper: class-K gains lie in [γ_min, 1], as theorem 2 requires in discrete time (the paper's are
4σ(·)), and learning is by PPO, not by imitation. Samples are executed with γ = 1, the widest safe set: it contains
every learned one, so μ̄ passes unchanged, and the environment does not depend on the parameters (with the learned γ it
would, and PPO's gradient would omit that dependence).
"""

from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from safepursuit import shield as safety
from safepursuit.barriers import Barriers, GainRule, Gains
from safepursuit.policy.config import PolicyConfig
from safepursuit.policy.gaussian import BoundedStd, Gaussian, GaussianHead
from safepursuit.policy.head import Situation
from safepursuit.policy.network import dense, orthogonal
from safepursuit.robot import Robot
from safepursuit.shapes import Control, Flag, Rows, Scalar
from safepursuit.shield import Shield, Shielded

_GAIN_TERMS = 5


class ProjectedGaussian(NamedTuple):
    """A Gaussian about the projected mean."""

    gaussian: Gaussian
    mean: Shielded
    """The network's mean (`nominal`) and its projection (`control`)."""
    gains: Rows | float
    """γ of every boundary, or one number for all."""
    velocity: Control | None
    """Of a robot with inertia."""


class LearnedGains(GainRule):
    """γ ∈ [γ_min, 1] per boundary, from features z of its barrier.

        γ = γ_min + (1 − γ_min) σ(c₀ + Σₖ cₖ zₖ),      z = (1/(1 + h), min(h, 1), c_β, s_β)

    The network gives the coefficients c, one set for all discs and one for all walls, so that the gains are permuted
    with the boundaries, whatever their number.
    """

    for_discs: Float[Array, "5 *batch"]
    for_walls: Float[Array, "5 *batch"]
    minimum: float = eqx.field(static=True)

    def __call__(self, barriers: Barriers) -> Rows:
        value = jnp.maximum(barriers.value, 0)
        near_value, far_value = 1 / (1 + value), jnp.minimum(value, 1)

        def logit(terms):
            constant, near, far, ahead, aside = terms
            return constant + near * near_value + far * far_value + ahead * barriers.facing + aside * barriers.side

        # One selection between two sums; selecting the coefficients first would take five.
        chosen = jnp.where(jnp.isinf(barriers.radius), logit(self.for_walls), logit(self.for_discs))
        return self.minimum + (1 - self.minimum) * jax.nn.sigmoid(chosen)


class BarrierNetHead(GaussianHead):
    """BarrierNet: a Gaussian centred on the mean projected by the quadratic program, class-K gains learned.

    Convention: the log-probability is that of the sample before its projection.
    """

    hard: ClassVar[bool] = True
    promises: ClassVar[bool] = True

    layer: eqx.nn.Linear
    """Features → the mean (2), and with learned gains the coefficients for discs and for walls (5 each)."""
    spread: BoundedStd
    learns_gains: bool = eqx.field(static=True)
    min_gain: float = eqx.field(static=True)
    penalty: float = eqx.field(static=True)
    gradient: bool = eqx.field(static=True)
    robot: Robot = eqx.field(static=True)
    shield: Shield = eqx.field(static=True)

    @classmethod
    def create(
        cls, key: Key[Array, ""], features: int, config: PolicyConfig, robot: Robot, shield: Shield
    ) -> "BarrierNetHead":
        outputs = 2 + (2 * _GAIN_TERMS if config.learned_gains else 0)
        return cls(
            layer=orthogonal(key, features, outputs, 0.01),
            spread=BoundedStd.create(config),
            learns_gains=config.learned_gains,
            min_gain=config.min_gain,
            penalty=config.penalty,
            gradient=config.qp_gradient,
            robot=robot,
            shield=shield,
        )

    def distribution(self, features: Float[Array, "features *batch"], situation: Situation) -> ProjectedGaussian:
        outputs = dense(self.layer, features)
        rule: Gains = self.shield.gain
        gains: Rows | float = self.shield.gain
        if self.learns_gains:
            rule = LearnedGains(outputs[2 : 2 + _GAIN_TERMS], outputs[2 + _GAIN_TERMS :], self.min_gain)
            gains = rule(situation.around.barriers)
        velocity = situation.around.velocity
        nominal = self.robot.from_unit_box(outputs[:2], velocity)
        mean = self._filter(nominal, situation, rule)
        control = mean.control
        if not self.gradient:  # value of the projection, derivative of the identity
            control = jax.lax.stop_gradient(control - nominal) + nominal
        centre = self.robot.to_unit_box(control, velocity)
        return ProjectedGaussian(Gaussian(centre, self.spread()), mean, gains, velocity)

    def execute(
        self, distribution: ProjectedGaussian, action: Float[Array, "2 *batch"], situation: Situation
    ) -> Shielded:
        done = self.project(self.robot.from_unit_box(action, situation.around.velocity), situation)
        # An intervention: a barrier changed the mean or the sample.
        return done._replace(intervened=done.intervened | distribution.mean.intervened)

    def project(self, nominal: Control, situation: Situation) -> Shielded:
        return self._filter(nominal, situation, 1.0 if self.learns_gains else self.shield.gain)

    def deploy(self, distribution: ProjectedGaussian, situation: Situation) -> Shielded:
        return distribution.mean

    def nominal(self, distribution: ProjectedGaussian) -> Control:
        return distribution.mean.nominal

    def auxiliary_loss(self, distribution: ProjectedGaussian) -> Scalar:
        return self.penalty * safety.distance(self.shield, self.robot, distribution.mean, distribution.velocity)

    def lost_gradient(self, distribution: ProjectedGaussian) -> Flag:
        return distribution.mean.lost_gradient

    def least_gain(self) -> float | None:
        return self.min_gain if self.learns_gains else self.shield.gain

    def _filter(self, nominal: Control, situation: Situation, gains: Gains) -> Shielded:
        return safety.guard(nominal, situation.around, robot=self.robot, shield=self.shield, gains=gains)
