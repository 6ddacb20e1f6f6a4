"""The two programs a training consists of, compiled for its configuration: spread over devices, and with the effort
that its length is worth."""

from dataclasses import replace
from functools import cache, partial
from typing import Any

import jax

from safepursuit.compiling import SELDOM
from safepursuit.ppo.config import TrainConfig
from safepursuit.ppo.rollout import play
from safepursuit.ppo.sharded import spread_play, spread_update
from safepursuit.ppo.update import update

_SHORT = 500_000
"""Environment steps up to which a training is over before optimised programs would have paid for their compilation."""


def play_program(config: TrainConfig) -> Any:
    """`play` for this configuration: (policy, players, starts, key) → (players, rollout). All seeds share it."""
    return _play_program(replace(config, seed=0))


def update_program(config: TrainConfig) -> Any:
    """`update` likewise: (policy, optimiser state, rollout, multiplier, key, rate) → (policy, …, report)."""
    return _update_program(replace(config, seed=0))


@cache
def _play_program(config: TrainConfig) -> Any:
    function = spread_play(config) if config.shares > 1 else partial(play, config=config)
    return jax.jit(function, compiler_options=_effort(config))


@cache
def _update_program(config: TrainConfig) -> Any:
    function = spread_update(config) if config.shares > 1 else partial(update, config=config.ppo)
    return jax.jit(function, compiler_options=_effort(config))


def _effort(config: TrainConfig) -> dict[str, Any] | None:
    return SELDOM if config.timesteps <= _SHORT else None
