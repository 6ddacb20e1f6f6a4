"""The two programs of a training: spread over its devices, compiled with an effort that depends on its length."""

from dataclasses import replace
from functools import cache, partial
from typing import Any

from safepursuit.compiling import SELDOM, Effort, Program
from safepursuit.experiment import TrainConfig
from safepursuit.experiment.opponents import DEFAULTS
from safepursuit.learn.rollout import collect
from safepursuit.learn.sharded import spread_collect, spread_update
from safepursuit.learn.update import update

_SHORT = 500_000
"""Environment steps up to which optimised programs cost more to compile than they save."""

_MANY = 16_384
"""Games per device above which the network is not fused."""

_UNFUSED: Effort = (("xla_cpu_experimental_ynn_fusion_type", ""),)
"""By default XLA fuses the whole network on a CPU, which takes most of a rollout of 65,536 games."""


def collect_program(config: TrainConfig) -> Program:
    """`collect` for this configuration and any seed: (policy, games, starts, key, rival) → (games, rollout).

    `rival` is the opponent in the games of one device."""
    return _programs(_compiled(config))[0]


def update_program(config: TrainConfig) -> Program:
    """`update` likewise: (policy, optimiser state, rollout, multiplier, key, rate, imitation) → (policy, …,
    report)."""
    return _programs(_compiled(config))[1]


def _compiled(config: TrainConfig) -> TrainConfig:
    """The configuration without what no program depends on: one serves a training that is extended or resumed, too."""
    config = replace(config, pursuer=DEFAULTS["pursuer"], evader=DEFAULTS["evader"])
    timesteps = 1 if config.timesteps <= _SHORT else _SHORT + 1
    return replace(config, seed=0, timesteps=timesteps, checkpoint_every=1, on_nonfinite="stop")


@cache
def _programs(config: TrainConfig) -> tuple[Program, Program]:
    spread, many = config.shares > 1, config.num_envs // config.shares > _MANY
    collecting = spread_collect(config) if spread else _alone(config)
    updating = spread_update(config) if spread else partial(update, config=config.ppo)
    return Program(collecting, _effort(config) + (_UNFUSED if many else ())), Program(updating, _effort(config))


def _alone(config: TrainConfig) -> Any:
    def collecting(policy, games, starts, key, rival):
        return collect(policy, games, starts, key, config, rival)

    return collecting


def _effort(config: TrainConfig) -> Effort:
    return SELDOM if config.timesteps <= _SHORT else ()
