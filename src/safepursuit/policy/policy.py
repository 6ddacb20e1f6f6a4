"""A policy: normaliser, actor, critic and the head of its safety architecture, as one immutable value."""

from functools import partial
from hashlib import sha256

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Key

from safepursuit.game import Game, Observation, Role, observation_shapes
from safepursuit.policy.barriernet import BarrierNetHead
from safepursuit.policy.cbf_beta import CBFBetaHead
from safepursuit.policy.config import PolicyConfig
from safepursuit.policy.head import Head
from safepursuit.policy.network import NETWORKS, Network, dense, orthogonal
from safepursuit.policy.normaliser import Normaliser
from safepursuit.policy.unprojected import PPOFilterHead, PPOHead, PPOLagrangianHead, PPOShieldedHead
from safepursuit.registry import Registry
from safepursuit.shapes import Scalar
from safepursuit.shield import Shield


class Policy(eqx.Module):
    """Everything needed to act and to evaluate a state."""

    normaliser: Normaliser
    actor: Network
    critic: Network
    value_layer: eqx.nn.Linear
    cost_critic: Network | None
    """Of constrained methods only, as `cost_layer`."""
    cost_layer: eqx.nn.Linear | None
    head: Head
    normalise: bool = eqx.field(static=True)

    def features(self, observation: Observation) -> Float[Array, "features *batch"]:
        """The actor's features, the input of the head."""
        return self.actor(self._standardised(observation))

    def value(self, observation: Observation) -> Scalar:
        """Expected discounted return."""
        return dense(self.value_layer, self.critic(self._standardised(observation)))[0]

    def cost_value(self, observation: Observation) -> Scalar | None:
        """Expected discounted cost; None for an unconstrained method."""
        if self.cost_critic is None or self.cost_layer is None:
            return None
        return dense(self.cost_layer, self.cost_critic(self._standardised(observation)))[0]

    def _standardised(self, observation: Observation) -> Observation:
        return self.normaliser(observation) if self.normalise else observation


class NotFiniteError(ValueError):
    """Numbers of a policy or of a training are not finite; the message names them."""


def not_finite(policy: Policy) -> list[str]:
    """The names of the policy's arrays that hold NaN or infinity."""
    leaves = jax.tree_util.tree_flatten_with_path(eqx.filter(policy, eqx.is_inexact_array))[0]
    return ["policy" + jax.tree_util.keystr(path) for path, leaf in leaves if not np.isfinite(leaf).all()]


def digest(policy: Policy) -> str:
    """SHA-256 of the parameters, in double precision."""
    leaves = jax.tree.leaves(eqx.filter(policy, eqx.is_array))
    return sha256(b"".join(np.asarray(leaf, np.float64).tobytes() for leaf in leaves)).hexdigest()


def check_finite(policy: Policy) -> None:
    """Raise NotFiniteError, naming the first such array, for a policy that `not_finite` finds fault with."""
    if bad := not_finite(policy):
        others = f", as do {len(bad) - 1} more arrays" if len(bad) > 1 else ""
        raise NotFiniteError(
            f"{bad[0]} holds numbers that are not finite{others}: such a policy cannot drive; take an earlier "
            "checkpoint, or train it again."
        )


HEADS: Registry[type[Head]] = Registry(
    "method",
    barriernet=BarrierNetHead,
    cbf_beta=CBFBetaHead,
    ppo=PPOHead,
    ppo_filter=PPOFilterHead,
    ppo_shielded=PPOShieldedHead,
    ppo_lagrangian=PPOLagrangianHead,
)
"""The safety architectures by name."""


def build_policy(
    key: Key[Array, ""], method: str, config: PolicyConfig, game: Game, shield: Shield, role: Role = "pursuer"
) -> Policy:
    """A fresh policy for a robot of a game. Raises ValueError for an unknown method or network."""
    head = HEADS.find(method)
    actor_key, critic_key, value_key, head_key = jax.random.split(key, 4)
    seen = observation_shapes(game)
    network = partial(NETWORKS.find(config.network), observation=seen, config=config)
    actor = network(actor_key)
    features = jax.eval_shape(actor, seen).shape[0]
    cost_critic = cost_layer = None
    if head.constrained:
        cost_critic = network(jax.random.fold_in(critic_key, 1))
        cost_layer = orthogonal(jax.random.fold_in(value_key, 1), features, 1, 1.0)
    return Policy(
        normaliser=Normaliser(seen.ego.shape[0]),
        actor=actor,
        critic=network(critic_key),
        value_layer=orthogonal(value_key, features, 1, 1.0),
        cost_critic=cost_critic,
        cost_layer=cost_layer,
        head=head.create(head_key, features, config, game.limits(role), shield),
        normalise=config.normalise,
    )
