"""BarrierNet: a Gaussian centred on the projected mean, with learned class-K gains (Xiao et al., T-RO 2023).

    μ, γ  =  network(observation)              μ̄ = Π_γ(μ)                    (program of `shield`, gains γ)
    ũ     ~  N(μ̄, Σ)                           executed: Π₁(ũ)
    loss  =  PPO(log N(ũ | μ̄, Σ))  +  λ ‖μ − μ̄‖²_W

This is approach B of theory.md §3: the executed mean cannot drift out of the safe set, the policy gradient passes
through the projection to μ and γ, and the policy that is deployed, μ̄, is the mean that was trained. The penalty
supplies the gradient that the projection destroys along active rows; with Π held constant it is exactly 2λW(μ − μ̄).

Deviations from the paper: class-K gains are bounded to [γ_min, 1], which theorem 2 needs in discrete time (theirs,
4σ(·), have no such bound), and learning is by PPO, not by imitation. Samples are executed with γ = 1, the widest safe
set: it contains every learned one, so μ̄ passes unchanged, and the environment PPO sees does not depend on the
parameters (executing with the learned γ would, and PPO's gradient would miss that dependence).
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from safepursuit import robot as motion
from safepursuit import shield as safety
from safepursuit.barrier import Barriers
from safepursuit.policy import gaussian
from safepursuit.policy.config import PolicyConfig
from safepursuit.policy.gaussian import BoundedStd, Gaussian
from safepursuit.policy.head import Head, Situation
from safepursuit.policy.network import dense, orthogonal
from safepursuit.robot import Unicycle
from safepursuit.shapes import Control, Flag, Keys, Rows, Scalar
from safepursuit.shield import Shield, Shielded

_GAIN_INPUTS = 4
_GAIN_WIDTH = 8


class ProjectedGaussian(NamedTuple):
    """The Gaussian about the projected mean, and how the mean came about."""

    gaussian: Gaussian
    mean: Shielded
    """The network's mean (`nominal`) and its projection (`control`)."""
    gains: Rows


class GainHead(eqx.Module):
    """γ ∈ [γ_min, 1] for every boundary of one type (disc or wall): one small network shared by all of them.

    Its inputs are that boundary's barrier (h, c_β, s_β) and a summary of the whole situation from the actor's features,
    so that the gains follow the boundaries when those are reordered, and any number of boundaries will do.
    """

    own: eqx.nn.Linear
    context: eqx.nn.Linear
    out: eqx.nn.Linear
    minimum: float = eqx.field(static=True)

    def __init__(self, key: Key[Array, ""], features: int, minimum: float) -> None:
        keys = jax.random.split(key, 3)
        self.own = orthogonal(keys[0], _GAIN_INPUTS, _GAIN_WIDTH, 1.0)
        self.context = orthogonal(keys[1], features, _GAIN_WIDTH, 1.0)
        self.out = orthogonal(keys[2], _GAIN_WIDTH, 1, 0.1)
        self.minimum = minimum

    def __call__(self, features: Float[Array, "features *batch"], barriers: Barriers) -> Rows:
        value = jnp.maximum(barriers.value, 0)
        inputs = jnp.stack([1 / (1 + value), jnp.minimum(value, 1), barriers.facing, barriers.side])
        hidden = jnp.tanh(dense(self.own, inputs) + dense(self.context, features)[:, None])
        return self.minimum + (1 - self.minimum) * jax.nn.sigmoid(dense(self.out, hidden)[0])


class BarrierNetHead(Head):
    """BarrierNet: a Gaussian centred on the mean projected by the quadratic program, class-K gains learned.

    See the module's text. Convention: the log-probability is that of the sample before its projection.
    """

    layer: eqx.nn.Linear
    spread: BoundedStd
    disc_gain: GainHead | None
    wall_gain: GainHead | None
    penalty: float = eqx.field(static=True)
    gradient: bool = eqx.field(static=True)
    robot: Unicycle = eqx.field(static=True)
    shield: Shield = eqx.field(static=True)

    @classmethod
    def create(
        cls, key: Key[Array, ""], features: int, config: PolicyConfig, robot: Unicycle, shield: Shield
    ) -> "BarrierNetHead":
        keys = jax.random.split(key, 3)
        disc, wall = (GainHead(one, features, config.min_gain) if config.learned_gains else None for one in keys[1:])
        return cls(
            layer=orthogonal(keys[0], features, 2, 0.01),
            spread=BoundedStd.create(config),
            disc_gain=disc,
            wall_gain=wall,
            penalty=config.penalty,
            gradient=config.qp_gradient,
            robot=robot,
            shield=shield,
        )

    def gains(self, features: Float[Array, "features *batch"], situation: Situation) -> Rows:
        """γ of every boundary, discs first, then the four walls."""
        barriers = safety.barriers(self.shield, self.robot, situation.pose, situation.scene)
        if self.disc_gain is None or self.wall_gain is None:
            return jnp.full_like(barriers.value, self.shield.gain)
        discs = self.disc_gain(features, Barriers(*(part[:-4] for part in barriers)))
        walls = self.wall_gain(features, Barriers(*(part[-4:] for part in barriers)))
        return jnp.concatenate([discs, walls])

    def distribution(self, features: Float[Array, "features *batch"], situation: Situation) -> ProjectedGaussian:
        gains = self.gains(features, situation)
        nominal = motion.from_unit_box(self.robot, dense(self.layer, features))
        mean = self._filter(nominal, situation, gains)
        control = mean.control
        if not self.gradient:  # value of the projection, derivative of the identity
            control = jax.lax.stop_gradient(control - nominal) + nominal
        centre = motion.to_unit_box(self.robot, control)
        return ProjectedGaussian(Gaussian(centre, self.spread()), mean, gains)

    def sample(self, key: Keys, distribution: ProjectedGaussian) -> Float[Array, "2 *batch"]:
        return gaussian.sample(key, distribution.gaussian)

    def log_prob(self, distribution: ProjectedGaussian, action: Float[Array, "2 *batch"]) -> Scalar:
        return gaussian.log_prob(distribution.gaussian, action)

    def entropy(self, distribution: ProjectedGaussian) -> Scalar:
        return gaussian.entropy(distribution.gaussian)

    def std(self) -> Float[Array, "2"]:
        return self.spread()

    def execute(
        self, distribution: ProjectedGaussian, action: Float[Array, "2 *batch"], situation: Situation
    ) -> Shielded:
        done = self.project(motion.from_unit_box(self.robot, action), situation)
        # A step counts as an intervention if the mean or the sample was held by a barrier.
        return done._replace(intervened=done.intervened | distribution.mean.intervened)

    def project(self, nominal: Control, situation: Situation) -> Shielded:
        return self._filter(nominal, situation, 1.0 if self.disc_gain is not None else self.shield.gain)

    def deploy(self, distribution: ProjectedGaussian, situation: Situation) -> Shielded:
        return distribution.mean

    def nominal(self, distribution: ProjectedGaussian) -> Control:
        return distribution.mean.nominal

    def auxiliary_loss(self, distribution: ProjectedGaussian) -> Scalar:
        return self.penalty * safety.distance(self.shield, self.robot, distribution.mean)

    def lost_gradient(self, distribution: ProjectedGaussian) -> Flag:
        return distribution.mean.on_boundary

    def _filter(self, nominal: Control, situation: Situation, gains: Rows | float) -> Shielded:
        return safety.filter(
            nominal,
            situation.pose,
            situation.scene,
            robot=self.robot,
            shield=self.shield,
            gains=gains,
            opponent=situation.opponent,
        )
