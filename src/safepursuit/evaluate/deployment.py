"""Which safety layer stands between a trained network and the wheels."""

from typing import Literal, NamedTuple, TypeAlias, get_args

from safepursuit import shield as safety
from safepursuit.game import Game, GameState, observe
from safepursuit.policy import Policy, situation
from safepursuit.shapes import Flag
from safepursuit.shield import Shield, Shielded

Deployment: TypeAlias = Literal["as-trained", "off", "filter", "governor"]
DEPLOYMENTS: tuple[str, ...] = get_args(Deployment)


class Act(NamedTuple):
    done: Shielded
    lost_gradient: Flag
    """Where the head's map from the network's output to its distribution has lost rank, however it is deployed."""


def act(policy: Policy, state: GameState, game: Game, shield: Shield, deployment: Deployment) -> Act:
    """The deterministic control of the pursuer, as the head was trained to deploy it, or

    off        what the network asks for, cut off at the actuator limits
    filter     what the network asks for, through the quadratic program and the governor with fixed gains
    governor   what the network asks for, with the speed governed (theorem 1)
    """
    where = situation(state, game.robot, shield)
    distribution = policy.head.distribution(policy.features(observe(state, game)), where)
    nominal = policy.head.nominal(distribution)
    if deployment == "as-trained":
        done = policy.head.deploy(distribution, where)
    elif deployment == "filter":
        done = safety.guard(nominal, where.around, robot=game.robot, shield=shield)
    else:
        done = safety.unfiltered(nominal, where.around, robot=game.robot, governed=deployment == "governor")
    return Act(done, policy.head.lost_gradient(distribution))
