"""Which safety layer stands between a trained network and the wheels."""

from typing import Literal, TypeAlias, get_args

from safepursuit import shield as safety
from safepursuit.game import Game, GameState, observe
from safepursuit.policy import Policy, situation
from safepursuit.shield import Shield, Shielded

Deployment: TypeAlias = Literal["as-trained", "off", "filter", "governor"]
DEPLOYMENTS: tuple[str, ...] = get_args(Deployment)


def act(policy: Policy, state: GameState, game: Game, shield: Shield, deployment: Deployment) -> Shielded:
    """The deterministic control of the pursuer, as the head was trained to deploy it, or

    off        what the network asks for, cut off at the actuator limits
    filter     what the network asks for, through the quadratic program and the governor with fixed gains
    governor   what the network asks for, with the speed governed (theorem 1)
    """
    where = situation(state, game.robot, shield)
    distribution = policy.head.distribution(policy.features(observe(state, game)), where)
    if deployment == "as-trained":
        return policy.head.deploy(distribution, where)
    nominal = policy.head.nominal(distribution)
    if deployment == "filter":
        return safety.guard(nominal, where.around, robot=game.robot, shield=shield)
    return safety.unfiltered(nominal, where.around, robot=game.robot, governed=deployment == "governor")
