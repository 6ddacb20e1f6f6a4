"""CBF-Beta: a Beta distribution on the set of safe controls itself (Suttle et al., AISTATS 2024).

    z ~ Beta(α(s), β(s)) on [0, 1]²        executed: T_s(z), safe        deployed: T_s(mode)

T_s is a map of `safe_set`, onto theorem 1's box or theorem 2's polygon. It does not depend on the parameters, so its
Jacobian cancels in PPO's ratio (theory.md §3 C): PPO on z is unbiased, differentiates no solver, loses no gradient at
the rim and aliases no sample. Convention: log-probability and entropy are those of z; they differ from those of the
control by log|det ∂T_s|, which is independent of the parameters, and infinite at contact, where T_s is not one-to-one.

Deviations from the paper: its safe set is an axis-aligned box *inscribed* in one half-plane, by geometric programming;
here it is the whole safe set of the theorem, for any number of boundaries. Its α and β are unbounded; here they are at
most 101. With everything ahead blocked the episode continues: standing still and turning are always safe.
"""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from safepursuit import shield as safety
from safepursuit.policy import beta, safe_set
from safepursuit.policy.beta import Beta
from safepursuit.policy.config import PolicyConfig
from safepursuit.policy.head import Head, Situation
from safepursuit.policy.network import dense, orthogonal
from safepursuit.robot import Robot
from safepursuit.shapes import Control, Flag, Keys, Scalar
from safepursuit.shield import Shield, Shielded


class CBFBetaHead(Head):
    """CBF-Beta: a Beta distribution on the safe set itself, theorem 1's box or theorem 2's polygon.

    Convention: log-probability and entropy are those of z in the unit square.
    """

    hard: ClassVar[bool] = True
    promises: ClassVar[bool] = True

    layer: eqx.nn.Linear
    """Features → a and b of speed and turn rate (2 + 2)."""
    onto: str = eqx.field(static=True)
    robot: Robot = eqx.field(static=True)
    shield: Shield = eqx.field(static=True)

    @classmethod
    def create(
        cls, key: Key[Array, ""], features: int, config: PolicyConfig, robot: Robot, shield: Shield
    ) -> "CBFBetaHead":
        layer = orthogonal(key, features, 4, 0.01)
        return cls(layer=layer, onto=config.safe_set, robot=robot, shield=shield)

    def distribution(self, features: Float[Array, "features *batch"], situation: Situation) -> Beta:
        return beta.from_outputs(dense(self.layer, features))

    def sample(self, key: Keys, distribution: Beta) -> Float[Array, "2 *batch"]:
        return beta.sample(key, distribution)

    def log_prob(self, distribution: Beta, action: Float[Array, "2 *batch"]) -> Scalar:
        return beta.log_prob(distribution, action)

    def entropy(self, distribution: Beta) -> Scalar:
        return beta.entropy(distribution)

    def std(self, distribution: Beta) -> Float[Array, "2 *batch"]:
        return 2 * beta.std(distribution)

    def execute(self, distribution: Beta, action: Float[Array, "2 *batch"], situation: Situation) -> Shielded:
        return self.project(safe_set.actuator_box(self.robot, action), situation)

    def project(self, nominal: Control, situation: Situation) -> Shielded:
        """T_s at the relative position of `nominal` in the actuator box: a map, not a projection."""
        z = 0.5 * (self.robot.to_unit_box(self.robot.limit(nominal)) + 1)
        around = situation.around
        if self.onto == "box":
            control = safe_set.box(self.robot, around, z)
        else:
            control = safe_set.polygon(self.robot, safety.problem(self.shield, self.robot, around), z, around.velocity)
        return safety.adopt(control, nominal, around, robot=self.robot, shield=self.shield)

    def deploy(self, distribution: Beta, situation: Situation) -> Shielded:
        return self.project(self.nominal(distribution), situation)

    def nominal(self, distribution: Beta) -> Control:
        return safe_set.actuator_box(self.robot, beta.mode(distribution))

    def auxiliary_loss(self, distribution: Beta) -> Scalar:
        return jnp.zeros(distribution.a.shape[1:], distribution.a.dtype)

    def lost_gradient(self, distribution: Beta) -> Flag:
        return jnp.zeros(distribution.a.shape[1:], bool)

    def least_gain(self) -> float | None:
        return self.shield.gain if self.onto == "polygon" else None
