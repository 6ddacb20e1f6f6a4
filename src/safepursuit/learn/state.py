"""The state of a training: all that decides how it goes on."""

from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Key

from safepursuit.experiment import TrainConfig
from safepursuit.learn.lagrangian import Multiplier
from safepursuit.learn.rollout import Games, join_games
from safepursuit.learn.sharded import places
from safepursuit.learn.update import fresh_learner
from safepursuit.policy import Policy


class TrainingState(NamedTuple):
    """The whole state of a training: it determines all that follows."""

    policy: Policy
    optimiser: Any
    multiplier: Multiplier | None
    """Of a constrained method."""
    games: Games
    key: Key[Array, ""]
    iteration: int = 0
    """Iterations finished."""
    steps: int = 0
    """Environment steps played."""
    seconds: float = 0.0
    """Training time, over all sittings [s]."""
    episodes: float = 0.0
    """Ended since the last checkpoint that was due."""
    captures: float = 0.0
    """Among them."""
    best: float = -1.0
    """Highest rate of captures (for an evader, escapes) between two checkpoints so far; negative before the first."""


def initial_state(config: TrainConfig) -> TrainingState:
    """Random weights and the first games of a training."""
    policy_key, start_key, key = jax.random.split(jax.random.key(config.seed), 3)
    # The games first: their small programs would otherwise queue behind the large ones that are compiled ahead.
    games = join_games(start_key, config)
    policy, moments, multiplier = fresh_learner(policy_key, config)
    return TrainingState(policy, moments, multiplier, games, key)


def placed(state: TrainingState, config: TrainConfig) -> TrainingState:
    """The state with the sharding that an iteration leaves, so that its programs are compiled for one sharding only."""
    if config.shares == 1 or jax.local_device_count() < config.shares:
        return state
    same = (state.policy, state.optimiser, state.multiplier)
    policy, moments, multiplier = jax.device_put(same, places(same, config, spread=False))
    games = jax.device_put(state.games, places(state.games, config, spread=True))
    return state._replace(policy=policy, optimiser=moments, multiplier=multiplier, games=games)
