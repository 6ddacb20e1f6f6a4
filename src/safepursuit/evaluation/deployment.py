"""Who pursues, and which safety layer stands between it and the wheels."""

from typing import Literal, NamedTuple, TypeAlias, get_args

import equinox as eqx
import jax.numpy as jnp

from safepursuit import shield as safety
from safepursuit.game import Game, GameState, observe
from safepursuit.players import PURSUERS, Sight
from safepursuit.policy import Policy, situation
from safepursuit.shapes import Flag, Keys
from safepursuit.shield import Shield, Shielded

Deployment: TypeAlias = Literal["as-trained", "off", "filter", "governor"]
DEPLOYMENTS: tuple[str, ...] = get_args(Deployment)


class ScriptedPursuer(eqx.Module):
    """A scripted pursuer, to be judged like a policy; `as-trained` it drives behind the widest safe set, like the
    scripted evaders."""

    name: str = eqx.field(static=True)

    def __check_init__(self) -> None:
        if self.name not in PURSUERS:
            raise ValueError(f"unknown pursuer {self.name!r}; known are {', '.join(PURSUERS)}.")


Pursuer: TypeAlias = Policy | ScriptedPursuer


class Act(NamedTuple):
    done: Shielded
    lost_gradient: Flag
    """Where the head's map from the network's output to its distribution has lost rank, however it is deployed."""


def act(pursuer: Pursuer, keys: Keys, state: GameState, game: Game, shield: Shield, deployment: Deployment) -> Act:
    """The deterministic control of the pursuer, as the head was trained to deploy it, or

    off        what the network asks for, cut off at the actuator limits
    filter     what the network asks for, through the quadratic program and the governor with fixed gains
    governor   what the network asks for, with the speed governed (theorem 1)

    `keys` is one key a game, for a scripted pursuer that throws dice.
    """
    where = situation(state, game.robot, shield)
    if isinstance(pursuer, ScriptedPursuer):
        sight = Sight(state.pursuer, state.evader, state.evader_control, state.scene)
        nominal = PURSUERS[pursuer.name](keys, sight, game.robot)
        lost_gradient = jnp.zeros(nominal.shape[1:], bool)
    else:
        distribution = pursuer.head.distribution(pursuer.features(observe(state, game)), where)
        nominal = pursuer.head.nominal(distribution)
        lost_gradient = pursuer.head.lost_gradient(distribution)
    if deployment == "as-trained" and isinstance(pursuer, Policy):
        done = pursuer.head.deploy(distribution, where)
    elif deployment in ("as-trained", "filter"):
        gains = 1.0 if deployment == "as-trained" else None
        done = safety.guard(nominal, where.around, robot=game.robot, shield=shield, gains=gains)
    else:
        done = safety.unfiltered(nominal, where.around, robot=game.robot, governed=deployment == "governor")
    return Act(done, lost_gradient)
