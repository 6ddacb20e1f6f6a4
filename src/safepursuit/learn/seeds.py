"""Several seeds of one configuration in one program.

Each seed has its own parameters, games, random stream and run folder. The program is compiled once and runs on all
local devices, each with some of the seeds. Within a device the seeds are vmapped, except on a CPU, where they run in
turn: under vmap every seed computes the constraint rows that any of them needs, and the updates that ended early.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Key

from safepursuit.agents import Agent
from safepursuit.experiment import TrainConfig
from safepursuit.learn.health import Findings, rollout_metrics, safety_layer_time
from safepursuit.learn.rollout import collect, fresh_starts
from safepursuit.learn.trainer import INVALID, BarrierNetTrainer, Observer, all_finite, train_together
from safepursuit.learn.update import update
from safepursuit.policy import NotFiniteError

_LEARNED = ("policy", "optimiser", "multiplier", "games", "key")
"""The fields of a training state on the device."""


class SeedGroup:
    """Trains the seeds side by side; every trainer ends in the state of a training alone, up to rounding."""

    def __init__(self, trainers: Sequence[BarrierNetTrainer]) -> None:
        """Raises ValueError for trainers that differ in more than the seed, or in their number of iterations."""
        if not trainers:
            raise ValueError("a group of seeds needs at least one seed.")
        first = trainers[0]
        if first.config.shares > 1:
            raise ValueError(
                "a group of seeds deals its seeds out to the devices: leave the configuration's devices unset."
            )
        for other in trainers[1:]:
            if {**vars(other.config), "seed": 0} != {**vars(first.config), "seed": 0}:
                raise ValueError("trainings of one group may differ in their seeds only.")
            if other.state.iteration != first.state.iteration:
                raise ValueError(
                    f"trainings of one group must have come equally far, but seed {first.config.seed} finished "
                    f"{first.state.iteration} iterations and seed {other.config.seed} {other.state.iteration}."
                )
        self.trainers = trainers
        self.config = first.config
        devices = jax.local_devices()[: len(trainers)]
        self._idle = -len(trainers) % len(devices)  # copies of the last seed that fill up the devices
        mesh = Mesh(np.asarray(devices), ("seeds",))
        self._place = NamedSharding(mesh, PartitionSpec("seeds"))
        self._iteration = _on_all(partial(_iteration, config=self.config, rival=self.trainers[0].rival), mesh)
        self._split = jax.jit(jax.vmap(_keys))

    def train(
        self, observers: Iterable[Observer] = (), should_stop: Callable[[], bool] = lambda: False
    ) -> list[dict[str, Any]]:
        """As `BarrierNetTrainer.train`; observers get the means over the seeds. Returns the summary of each seed."""
        states = [{name: getattr(one.state, name) for name in _LEARNED} for one in self.trainers]
        self._state = jax.device_put(_stacked(states + states[-1:] * self._idle), self._place)
        return train_together(self.trainers, self._iterate, self._save, observers, should_stop, shown=_mean)

    def _iterate(self) -> list[dict[str, float]]:
        start, before = time.perf_counter(), self._state
        rate = self.trainers[0].learning_rate
        keys = self._split(before["key"])
        starts = _stacked([fresh_starts(key, self.config) for key in keys[:, 1]])
        weights = jax.tree.map(lambda one: jnp.full(len(keys), one, float), (rate, self.trainers[0].imitation))
        state, action, found = self._iteration((before | {"key": keys[:, 0]}, starts, keys[:, 2], keys[:, 3], weights))
        found = jax.device_get(found)
        elapsed = time.perf_counter() - start
        first, action = jax.device_put((_one(state, 0), action[0]), jax.local_devices()[0])
        layer_time = safety_layer_time(first["policy"], action, first["games"], self.config)
        speed = len(self.trainers) * self.config.steps_per_iteration / elapsed
        rows = []
        for index, trainer in enumerate(self.trainers):
            own, earlier = _one(found, index), trainer.state
            trainer.state = trainer.state._replace(
                iteration=trainer.state.iteration + 1,
                steps=trainer.state.steps + self.config.steps_per_iteration,
            )
            if own.invalid or not own.sound:
                earlier = earlier._replace(**jax.device_put(_one(before, index), jax.local_devices()[0]))
            if own.invalid:
                raise NotFiniteError(f"{INVALID}{trainer.kept_batch(earlier)}.")
            if not own.sound:
                trainer.refuse(own, _one(state["policy"], index), earlier)
                state |= {name: _put(state[name], getattr(trainer.state, name), index) for name in _LEARNED[:3]}
            rows.append(trainer.account(own, rate, layer_time, elapsed, speed))
        self._state = state
        return rows

    def _save(self) -> None:
        for index, trainer in enumerate(self.trainers):
            trainer.state = trainer.state._replace(**jax.device_put(_one(self._state, index), jax.local_devices()[0]))
            trainer.save()


def _keys(key: Key[Array, ""]) -> Key[Array, "4"]:
    """The next state's key, and those for starts, rollout and update: split as a trainer alone splits them."""
    key, start_key, play_key = jax.random.split(key, 3)
    key, update_key = jax.random.split(key)
    return jnp.stack([key, start_key, play_key, update_key])


def _iteration(arguments: tuple, config: TrainConfig, rival: Agent) -> tuple[dict[str, Any], Any, Findings]:
    """Rollout and update of one seed: its state, the last actions, and its `Findings`."""
    state, starts, play_key, update_key, (rate, imitation) = arguments
    games, rollout = collect(state["policy"], state["games"], starts, play_key, config, rival)
    policy, optimiser, multiplier, report = update(
        state["policy"], state["optimiser"], rollout, state["multiplier"], update_key, rate, imitation, config.ppo
    )
    learned = dict(zip(_LEARNED, (policy, optimiser, multiplier, games, state["key"]), strict=True))
    measured = rollout_metrics(rollout, config.game.robot.dt, config.lineup)
    finite, invalid = all_finite((policy, report)), jnp.sum(rollout.invalid)
    return learned, rollout.action[-1], Findings(measured, report, multiplier, finite, invalid)


def _on_all(function: Callable, mesh: Mesh) -> Callable:
    """`function` of one seed as a function of all seeds, on a leading axis."""
    side_by_side = mesh.devices.flat[0].platform != "cpu"
    several = jax.vmap(function) if side_by_side else partial(jax.lax.map, function)
    seeds = PartitionSpec("seeds")
    return jax.jit(jax.shard_map(several, mesh=mesh, in_specs=seeds, out_specs=seeds, check_vma=False))


def _stacked(values: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *values)


def _one(stacked: Any, index: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[index], stacked)


def _put(stacked: Any, value: Any, index: int) -> Any:
    return jax.tree.map(lambda leaf, one: leaf.at[index].set(one), stacked, value)


def _mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means over the seeds whose value is a number."""
    known = {name: [row[name] for row in rows if not np.isnan(row[name])] for name in rows[0]}
    return {name: statistics.fmean(values) if values else float("nan") for name, values in known.items()}
