"""Compiling the programs of a training in background threads, while its first state is drawn.

They reach the training through JAX's persistent compilation cache; without a cache nothing is compiled ahead.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from threading import Event, Thread
from typing import Any

import jax
import jax.numpy as jnp

from safepursuit.agents import Agent
from safepursuit.experiment import TrainConfig
from safepursuit.game import initial_shapes
from safepursuit.learn.health import rollout_metrics, safety_layer
from safepursuit.learn.programs import collect_program, update_program
from safepursuit.learn.rollout import Games, pool_size
from safepursuit.learn.sharded import places
from safepursuit.learn.update import fresh_learner

_AT_ONCE = 2
"""Threads: one per large program; the first to finish goes on with the small ones."""

_threads: list[Thread] = []
_abandoned = Event()


def start(config: TrainConfig, rival: Agent) -> None:
    """Start compiling the programs of a training against this opponent. Raises ValueError where devices are missing."""
    if not jax.config.values["jax_compilation_cache_dir"]:
        return
    policy, moments, multiplier, games, starts, rollout = _shapes(config, rival)
    key, rate = jax.eval_shape(lambda: jax.random.key(0)), jax.eval_shape(lambda: jnp.asarray(0.0, float))
    playing = partial(collect_program(config).jitted.lower, policy, games, starts, key, rival)
    imitation = None if config.teacher is None else rate
    learning = partial(update_program(config).jitted.lower, policy, moments, rollout, multiplier, key, rate, imitation)
    counting = partial(rollout_metrics.lower, rollout, config.game.robot.dt, config.lineup)
    alone = policy, jax.ShapeDtypeStruct((2, config.num_envs), jnp.result_type(float)), games.state
    if config.shares > 1:
        first = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        alone = _at(alone, jax.tree.map(lambda _: first, alone))
    layer = partial(safety_layer.lower, *alone, config.game, config.shield, config.role)
    programs = iter((playing, learning, layer, counting))
    _abandoned.clear()
    for _ in range(_AT_ONCE):
        # Not a daemon: an interpreter that ends within XLA aborts the process.
        thread = Thread(target=_compile, args=(programs,), name="compile ahead")
        thread.start()
        _threads.append(thread)


def wait() -> None:
    """Wait until every compilation that was started is done."""
    while _threads:
        _threads.pop().join()


def abandon() -> bool:
    """Start no further compilation; returns whether one is still going on, for which the interpreter would wait."""
    _abandoned.set()
    return any(thread.is_alive() for thread in _threads)


def _shapes(config: TrainConfig, rival: Agent) -> tuple[Any, ...]:
    """Shapes of policy, optimiser state, multiplier, games, starts and rollout, with their sharding."""
    learner = fresh_learner.jitted.eval_shape(jax.eval_shape(lambda: jax.random.key(0)), config)
    starts = initial_shapes(config.game, pool_size(config))
    state = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((*leaf.shape[:-1], config.num_envs), leaf.dtype), starts)
    count = jax.ShapeDtypeStruct((config.num_envs,), jnp.int32)
    total = jax.ShapeDtypeStruct((config.num_envs,), jnp.result_type(float))
    games: Any = Games(state, total, total, count)  # type: ignore[arg-type]
    if config.shares > 1:
        learner = _at(learner, places(learner, config, spread=False))
        games = _at(games, places(games, config, spread=True))
    # From the program that is compiled next, so that it is traced once.
    rollout = collect_program(config).jitted.eval_shape(learner[0], games, starts, jax.random.key(0), rival)[1]
    if config.shares > 1:
        rollout = _at(rollout, places(rollout, config, spread=True))
    return *learner, games, starts, rollout


def _at(shapes: Any, places: Any) -> Any:
    return jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), shapes, places
    )


def _compile(programs: Iterator[Callable[[], Any]]) -> None:
    """Compile the remaining programs in turn; an error shows where the training runs the program."""
    for lower in programs:
        if _abandoned.is_set():
            return
        with suppress(Exception):
            lower().compile()
