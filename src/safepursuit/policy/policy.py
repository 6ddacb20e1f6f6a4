"""A policy: normaliser, actor, critic and the head of its safety architecture, as one immutable value."""

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key

from safepursuit.game import GameState, Observation
from safepursuit.policy.barriernet import BarrierNetHead
from safepursuit.policy.cbf_beta import CBFBetaHead
from safepursuit.policy.config import PolicyConfig
from safepursuit.policy.head import Head, Situation
from safepursuit.policy.network import Trunk, dense, orthogonal
from safepursuit.policy.normaliser import Normaliser
from safepursuit.policy.unprojected import PPOFilterHead, PPOHead, PPOLagrangianHead, PPOShieldedHead
from safepursuit.robot import Unicycle
from safepursuit.shapes import Scalar
from safepursuit.shield import Shield


class Policy(eqx.Module):
    """Everything needed to act and to judge a state."""

    normaliser: Normaliser
    actor: Trunk
    critic: Trunk
    value_layer: eqx.nn.Linear
    cost_critic: Trunk | None
    """Only for constrained methods, like the layer that follows."""
    cost_layer: eqx.nn.Linear | None
    head: Head
    normalise: bool = eqx.field(static=True)

    def features(self, observation: Observation) -> Float[Array, "features *batch"]:
        """What the head builds its distribution from."""
        return self.actor(self._standardised(observation))

    def value(self, observation: Observation) -> Scalar:
        """Expected discounted return."""
        return dense(self.value_layer, self.critic(self._standardised(observation)))[0]

    def cost_value(self, observation: Observation) -> Scalar | None:
        """Expected discounted cost; None for a method that is not constrained."""
        if self.cost_critic is None or self.cost_layer is None:
            return None
        return dense(self.cost_layer, self.cost_critic(self._standardised(observation)))[0]

    def _standardised(self, observation: Observation) -> Observation:
        return self.normaliser(observation) if self.normalise else observation


def situation(state: GameState, robot: Unicycle, shield: Shield) -> Situation:
    """The pursuer's situation in a game."""
    return Situation.survey(shield, robot, state.pursuer, state.evader, state.scene)


HEADS: dict[str, type[Head]] = {
    "barriernet": BarrierNetHead,
    "cbf-beta": CBFBetaHead,
    "ppo": PPOHead,
    "ppo-filter": PPOFilterHead,
    "ppo-shielded": PPOShieldedHead,
    "ppo-lagrangian": PPOLagrangianHead,
}
"""The safety architectures by name: a new one is a file with a `Head`, and a line here."""


def build_policy(key: Key[Array, ""], method: str, config: PolicyConfig, robot: Unicycle, shield: Shield) -> Policy:
    """A fresh policy. Raises ValueError for an unknown method."""
    if method not in HEADS:
        raise ValueError(f"unknown method {method!r}; known are {', '.join(HEADS)}.")
    actor_key, critic_key, value_key, head_key = jax.random.split(key, 4)
    features = config.hidden[-1]
    cost_critic = cost_layer = None
    if HEADS[method].constrained:
        cost_critic = Trunk(jax.random.fold_in(critic_key, 1), config.hidden, config.disc_width)
        cost_layer = orthogonal(jax.random.fold_in(value_key, 1), features, 1, 1.0)
    return Policy(
        normaliser=Normaliser(),
        actor=Trunk(actor_key, config.hidden, config.disc_width),
        critic=Trunk(critic_key, config.hidden, config.disc_width),
        value_layer=orthogonal(value_key, features, 1, 1.0),
        cost_critic=cost_critic,
        cost_layer=cost_layer,
        head=HEADS[method].create(head_key, features, config, robot, shield),
        normalise=config.normalise,
    )
