"""The two programs a training consists of, compiled for its configuration: spread over devices, and with the effort
that its length is worth."""

from dataclasses import replace
from functools import cache, partial

from safepursuit.compiling import SELDOM, Effort, Program
from safepursuit.experiment import TrainConfig
from safepursuit.learn.rollout import collect
from safepursuit.learn.sharded import spread_collect, spread_update
from safepursuit.learn.update import update

_SHORT = 500_000
"""Environment steps up to which a training is over before optimised programs would have paid for their compilation."""

_MANY = 16_384
"""Games of a device from which on the network is not to be fused."""

_UNFUSED: Effort = (("xla_cpu_experimental_ynn_fusion_type", ""),)
"""XLA for CPU otherwise makes one operation of the whole network, which for 65,536 games takes most of a rollout."""


def collect_program(config: TrainConfig) -> Program:
    """`collect` for this configuration: (policy, games, starts, key) → (games, rollout). All seeds share it."""
    return _collect_program(replace(config, seed=0))


def update_program(config: TrainConfig) -> Program:
    """`update` likewise: (policy, optimiser state, rollout, multiplier, key, rate) → (policy, …, report)."""
    return _update_program(replace(config, seed=0))


@cache
def _collect_program(config: TrainConfig) -> Program:
    function = spread_collect(config) if config.shares > 1 else partial(collect, config=config)
    many = config.num_envs // config.shares > _MANY
    return Program(function, _effort(config) + (_UNFUSED if many else ()))


@cache
def _update_program(config: TrainConfig) -> Program:
    function = spread_update(config) if config.shares > 1 else partial(update, config=config.ppo)
    return Program(function, _effort(config))


def _effort(config: TrainConfig) -> Effort:
    return SELDOM if config.timesteps <= _SHORT else ()
