"""The game as Gymnasium environments, one robot learning, the other played by a script or a trained run.

    import gymnasium
    import safepursuit.adapters.gymnasium  # registers the ids

    env = gymnasium.make("safepursuit/Pursuit-v0", opponent="flee", obstacles=4)
    envs = gymnasium.make_vec("safepursuit/Evasion-v0", num_envs=1024, opponent="runs/demo")

`PursuitEvasionEnv` documents observations, actions, rewards and infos. `ShieldAction` and `VectorShieldAction` put the
safety layer around any agent; `CostTuple` returns the cost as in Safety-Gymnasium and OmniSafe; `record` plays any
agent for the referee. Needs the extra [gym].
"""

try:
    import gymnasium
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "the Gymnasium environments need the extra [gym]: pip install 'safepursuit[gym]'."
    ) from error

from safepursuit.adapters.gymnasium.cost import CostTuple
from safepursuit.adapters.gymnasium.judging import record
from safepursuit.adapters.gymnasium.shielding import ShieldAction, VectorShieldAction
from safepursuit.adapters.gymnasium.single import PursuitEvasionEnv
from safepursuit.adapters.gymnasium.vector import PursuitEvasionVectorEnv

__all__ = [
    "CostTuple",
    "PursuitEvasionEnv",
    "PursuitEvasionVectorEnv",
    "ShieldAction",
    "VectorShieldAction",
    "record",
]

for _id, _role in (("safepursuit/Pursuit-v0", "pursuer"), ("safepursuit/Evasion-v0", "evader")):
    gymnasium.register(
        _id,
        entry_point=f"{__name__}:PursuitEvasionEnv",
        vector_entry_point=f"{__name__}:PursuitEvasionVectorEnv",
        kwargs={"role": _role},
    )
