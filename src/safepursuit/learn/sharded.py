"""A training spread over devices (on a CPU, over its cores), each with its share of the games.

Rollouts need no communication. In an update every device computes the gradient of its games in each minibatch; the mean
over the devices gives the step, so that all devices hold the same parameters at all times.
"""

from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Key

from safepursuit.agents import Agent, Scripted
from safepursuit.experiment import TrainConfig
from safepursuit.experiment.opponents import DEFAULTS
from safepursuit.game import GameState
from safepursuit.learn.devices import mean_over_devices
from safepursuit.learn.rollout import Games, Rollout, collect
from safepursuit.learn.update import update
from safepursuit.policy import Policy

_GAMES = "games"
_SAME = PartitionSpec()


def mesh_of(config: TrainConfig) -> Mesh:
    """The devices of a training. Raises ValueError where JAX has fewer than the configuration asks for."""
    there = jax.local_devices()
    if len(there) < config.shares:
        raise ValueError(
            f"the training asks for {config.shares} devices, but JAX has {len(there)}: set devices to at most that, or "
            "on a CPU jax_num_cpu_devices before JAX is first used."
        )
    return Mesh(np.asarray(there[: config.shares]), (_GAMES,))


def spread_collect(config: TrainConfig) -> Any:
    """`collect` without its configuration argument; games, starts and rollout are spread over the devices."""
    mesh = mesh_of(config)
    share, anyone = config.share, Scripted(DEFAULTS[config.opponent_role], None)

    def on_one(policy: Policy, games: Games, starts: GameState, keys: Key[Array, "1"], rival: Agent):
        games, rollout = collect(policy, games, starts, keys[0], share, rival)
        return games, rollout._replace(std=mean_over_devices(rollout.std, _GAMES))

    def on_all(policy: Policy, games: Games, starts: GameState, key: Key[Array, ""], rival: Agent):
        keys = jax.random.split(key, config.shares)
        results = jax.eval_shape(
            partial(collect, config=config), policy, games, starts, key, rival=anyone
        )  # for the number of axes
        out_specs = _spread(results[0]), _spread(results[1])
        in_specs = (_SAME, _spread(games), _spread(starts), PartitionSpec(_GAMES), _SAME)
        spread = jax.shard_map(on_one, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)
        return spread(policy, games, starts, keys, rival)

    return on_all


def spread_update(config: TrainConfig) -> Any:
    """`update` without its configuration argument, for a rollout from `spread_collect`."""
    mesh = mesh_of(config)

    def on_one(policy, optimiser_state, rollout, multiplier, key, rate, imitation):
        return update(policy, optimiser_state, rollout, multiplier, key, rate, imitation, config.ppo, axis=_GAMES)

    def on_all(policy, optimiser_state, rollout, multiplier, key, rate, imitation):
        specs = (_SAME, _SAME, _spread(rollout), _SAME, _SAME, _SAME, _SAME)
        spread = jax.shard_map(on_one, mesh=mesh, in_specs=specs, out_specs=_SAME, check_vma=False)
        return spread(policy, optimiser_state, rollout, multiplier, key, rate, imitation)

    return on_all


def places(tree: Any, config: TrainConfig, *, spread: bool) -> Any:
    """The shardings with which the functions above return a tree that is spread, or the same on every device."""
    mesh = mesh_of(config)
    specs = _spread(tree) if spread else jax.tree.map(lambda _: _SAME, tree)
    return jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs)


def on_first(tree: Any) -> Any:
    """The first device's part: its share of a spread array, its copy of any other."""
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)


def _spread(tree: Any) -> Any:
    """Along the last axis, that of the games; a rollout's `std`, a mean over the games, is the same everywhere."""
    specs: Any = jax.tree.map(lambda leaf: PartitionSpec(*[None] * (leaf.ndim - 1), _GAMES), tree)
    return specs._replace(std=_SAME) if isinstance(tree, Rollout) else specs
