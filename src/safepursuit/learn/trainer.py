"""The training loop: play, learn, log, save; its state is complete, so that a training resumes bit for bit."""

import contextlib
import math
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from safepursuit.agents import Agent
from safepursuit.experiment import TrainConfig, check_opponents, load_config, opponent
from safepursuit.learn import ahead, refused
from safepursuit.learn.health import Findings, rollout_metrics, safety_layer_time, update_metrics
from safepursuit.learn.programs import collect_program, update_program
from safepursuit.learn.rollout import Rollout, fresh_starts
from safepursuit.learn.sharded import on_first
from safepursuit.learn.state import TrainingState, initial_state, placed
from safepursuit.learn.update import UpdateReport, imitation_weight, learning_rate
from safepursuit.policy import NotFiniteError, Policy, not_finite
from safepursuit.runs import checkpoint, configuration
from safepursuit.runs.folder import RunFolder, write_json
from safepursuit.runs.lock import writing
from safepursuit.runs.metrics import MetricsError, MetricsLog, rows_until

Observer = Callable[[Mapping[str, float]], None]


INVALID = (
    "training stopped: a game is invalid, because a pose, a control or the scene is not finite; look for the fault in "
    "the opponent, the robot and the layouts; what was learned before it is kept"
)
"""What NotFiniteError says then, before it says where the batch is."""


class NotFiniteWarning(UserWarning):
    """An update with a number that is not finite is left out."""


class BarrierNetTrainer:
    """Trains a pursuer or an evader by PPO; with the default method, a BarrierNet.

    trainer = BarrierNetTrainer(TrainConfig(timesteps=400_000), RunFolder.create(...))
    trainer.train()
    trainer.get_training_summary()

    Without a run folder nothing is written. The same configuration gives the same bits on the same machine.
    """

    def __init__(self, config: TrainConfig, run: RunFolder | None = None, rival: Agent | None = None) -> None:
        """`rival` is the opponent, by default the configuration's.

        Raises ValueError for an impossible configuration or opponent; missing devices raise only in training.
        """
        self.config = config
        self.run = run
        self.rival = opponent(config.share) if rival is None else rival
        """Who plays the other robot in the games of one device."""
        self.state = placed(initial_state(config), config)
        self._rows: list[dict[str, float]] = []
        self._fresh = True

    @classmethod
    def load(
        cls,
        run: RunFolder,
        which: checkpoint.Which | int = "latest",
        timesteps: int | None = None,
        rival: Agent | None = None,
    ) -> "BarrierNetTrainer":
        """The trainer of an existing run, at its latest (or best) checkpoint, or that after so many steps.

        `timesteps` sets a new total; `rival` as above.

        Raises ConfigurationError or CheckpointError where the folder's contents cannot be used.
        """
        config = load_config(run)
        if timesteps is not None:
            config = replace(config, timesteps=timesteps)
        trainer = cls(config, run, rival)
        trainer.state = placed(checkpoint.restore(run, trainer.state, which), config)
        return trainer

    @classmethod
    def resumed(cls, run: RunFolder, timesteps: int | None = None, rival: Agent | None = None) -> "BarrierNetTrainer":
        """As `load`, but of a run that ended before its first checkpoint the trainer at the start.

        Raises RunFolderError, too, where a trained opponent has changed.
        """
        config = load_config(run)
        check_opponents(run, config)
        if checkpoint.exists(run):
            return cls.load(run, timesteps=timesteps, rival=rival)
        return cls(config if timesteps is None else replace(config, timesteps=timesteps), run, rival)

    @property
    def policy(self) -> Policy:
        """As it is now, on the first of the training's devices."""
        return self.state.policy if self.config.shares == 1 else on_first(self.state.policy)

    @property
    def history(self) -> list[dict[str, float]]:
        """The metrics of every iteration, from the run folder's log; without a run folder they are kept here.

        Empty where the log is damaged.
        """
        if self.run is None:
            return self._rows
        with contextlib.suppress(MetricsError):  # `open_log` sets it aside
            return rows_until(self.run, self.state.iteration)
        return []

    def begin_with(self, policy: Policy) -> None:
        """Replace the random weights by those of another training. Raises ValueError where they do not fit."""
        own, structure = jax.tree_util.tree_flatten_with_path(self.state.policy)
        given = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(policy)[0]}
        for path, leaf in own:
            name = jax.tree_util.keystr(path)
            shape = np.shape(given[name]) if name in given else None
            if shape != leaf.shape:
                raise ValueError(
                    f"the given weights do not fit: policy{name} has the shape {shape} there and {leaf.shape} here; "
                    "method, network and sensor must be the same."
                )
        # Through NumPy: the given weights may lie on other devices.
        leaves = [jnp.asarray(np.asarray(given[jax.tree_util.keystr(path)]), leaf.dtype) for path, leaf in own]
        fresh = jax.tree_util.tree_unflatten(structure, leaves)
        self.state = placed(self.state._replace(policy=fresh), self.config)

    @property
    def finished(self) -> bool:
        return self.state.iteration >= self.config.iterations

    def collect_rollout(self) -> Rollout:
        """Play every game for `rollout_length` steps with the current policy."""
        key, start_key, play_key = jax.random.split(self.state.key, 3)
        starts = fresh_starts(start_key, self.config)
        games, rollout = collect_program(self.config)(self.state.policy, self.state.games, starts, play_key, self.rival)
        self.state = self.state._replace(games=games, key=key, steps=self.state.steps + self.config.steps_per_iteration)
        return rollout

    def update(self, rollout: Rollout) -> UpdateReport:
        """Learn from a rollout."""
        key, update_key = jax.random.split(self.state.key)
        rate, imitation = jax.tree.map(lambda one: jnp.asarray(one, float), (self.learning_rate, self.imitation))
        policy, optimiser_state, multiplier, report = update_program(self.config)(
            self.state.policy, self.state.optimiser, rollout, self.state.multiplier, update_key, rate, imitation
        )
        self.state = self.state._replace(
            policy=policy,
            optimiser=optimiser_state,
            multiplier=multiplier,
            key=key,
            iteration=self.state.iteration + 1,
        )
        return report

    def train(
        self, observers: Iterable[Observer] = (), should_stop: Callable[[], bool] = lambda: False
    ) -> dict[str, Any]:
        """Train until `config.timesteps` are played, or until `should_stop()` is true after an iteration.

        Each iteration's metrics go to the run folder and to every observer. A checkpoint is written every
        `config.checkpoint_every` iterations and at the end. Returns the training summary. Raises NotFiniteError where a
        parameter or loss would no longer be finite, and RunFolderError where another process writes the run.
        """
        return train_together([self], lambda: [self.iterate()], self.save, observers, should_stop)[0]

    def writing(self) -> contextlib.AbstractContextManager[None]:
        """The lock of the run folder, if there is one."""
        return writing(self.run) if self.run else contextlib.nullcontext()

    def open_log(self) -> MetricsLog:
        """The metric log of the run folder (without one, it writes nothing); to be closed.

        Raises CheckpointError where the disk has no room for a checkpoint, before anything is played.
        """
        if self.run:
            checkpoint.check_space(self.run, self.state)
        return MetricsLog(self.run, self.state.iteration)

    def conclude(self) -> dict[str, Any]:
        """Write the training summary and return it."""
        summary = self.get_training_summary()
        if self.run:
            write_json(self.run.summary, summary)
        return summary

    def save(self) -> None:
        """Write a checkpoint, as `best` too if the capture rate since the last one that was due is the highest so far
        (an evader's: the lowest).

        One that is not due, after an interruption, is not compared: the best does not depend on interruptions. It is
        the best only as long as there is no other.
        """
        state = self.state
        if self.finished or state.iteration % self.config.checkpoint_every == 0:
            rate = state.captures / state.episodes if state.episodes else -1.0
            if self.config.role == "evader" and state.episodes:
                rate = 1 - rate
            best = rate >= state.best
            self.state = state._replace(episodes=0.0, captures=0.0, best=max(rate, state.best))
        else:
            best = state.best < 0
        if self.run:
            checkpoint.save(self.run, state.steps, self.state, best=best)

    def get_training_summary(self) -> dict[str, Any]:
        """Figures of the training as plain numbers, None where there is nothing to report.

        Those under `last` are means over the last tenth of the iterations; the speed leaves out the first iteration of
        each sitting, which compiles.
        """
        rows = self.history
        tail = rows[-max(1, len(rows) // 10) :]
        steady = [row for row in rows if not row["time/compiled"]]
        names = [name for name in (rows[-1] if rows else {}) if "/" in name]
        return {
            "method": self.config.method,
            "role": self.config.role,
            self.config.opponent_role: self.config.opponent,
            "teacher": self.config.teacher,
            "seed": self.config.seed,
            "finished": self.finished,
            "iterations": self.state.iteration,
            "steps": self.state.steps,
            "seconds": self.state.seconds,
            "steps_per_second": _mean([row["time/steps_per_second"] for row in steady]),
            "collisions": sum(row["safety/collisions"] for row in rows),
            "qp_time_us": _mean([row["qp/time_us"] for row in rows]),
            "best_capture_rate": self._best_capture_rate,
            "last": {name: _mean([row[name] for row in tail]) for name in names},
        }

    @property
    def _best_capture_rate(self) -> float | None:
        """From the learner's side."""
        best = self.state.best
        return None if best < 0 else 1 - best if self.config.role == "evader" else best

    def iterate(self) -> dict[str, float]:
        """One rollout and update; returns its metrics. Raises NotFiniteError, and is then as before."""
        start, before = time.perf_counter(), self.state
        rate = self.learning_rate
        ahead.wait()
        rollout = self.collect_rollout()
        report = self.update(rollout)
        measured = rollout_metrics(rollout, self.config.game.robot.dt, self.config.lineup)
        finite, invalid = all_finite(self.state.policy), jnp.sum(rollout.invalid)
        found = jax.device_get(Findings(measured, report, self.state.multiplier, finite, invalid))
        elapsed = time.perf_counter() - start
        action, games = on_first((rollout.action, self.state.games))
        layer_time = safety_layer_time(self.policy, action[-1], games, self.config)
        speed = self.config.steps_per_iteration / elapsed
        if found.invalid:
            self.state = before
            raise NotFiniteError(f"{INVALID}{self.kept_batch(before)}.")
        if not found.sound:
            self.refuse(found, self.policy, before)
        return self.account(found, rate, layer_time, elapsed, speed)

    def refuse(self, found: Findings, policy: Policy, before: TrainingState) -> None:
        """Leave out the update that led to `policy` from the state `before`.

        Unless the configuration says to go on, the state becomes that of `before` and NotFiniteError is raised.
        """
        learned = update_metrics(found.report, found.multiplier, self.learning_rate, self.config.teacher is not None)
        bad = [name for name, value in learned.items() if not math.isfinite(value)] + not_finite(policy)
        named, batch = ", ".join(bad), self.kept_batch(before)
        if self.config.on_nonfinite == "skip":
            kept = {name: getattr(before, name) for name in ("policy", "optimiser", "multiplier")}
            self.state = self.state._replace(**kept)
            warnings.warn(
                f"the update of iteration {before.iteration + 1} is left out: {named} would be no longer finite"
                f"{batch}.",
                NotFiniteWarning,
                stacklevel=2,
            )
            return
        self.state = before
        odd = [
            name
            for name, value in configuration.numbers(self.config)
            if not abs(value) <= float(np.finfo(np.float32).max)
        ]
        remedy = f"{' and '.join(odd)} is beyond single precision" if odd else "try a smaller ppo.learning_rate"
        last = "the last checkpoint is intact" if before.iteration else "it was the first update, nothing is saved"
        raise NotFiniteError(
            f"training stopped: {named} would be no longer finite after the next update{batch}; {last}; {remedy}."
        )

    def kept_batch(self, before: TrainingState) -> str:
        """Where the batch of the refused update after this state is kept, in words; empty where it is not.

        It is played once more, which gives the same bits.
        """
        if self.run is None or not refused.has_room(self.run):
            return ""
        state, self.state = self.state, before
        batch = refused.Batch(self.policy, self.collect_rollout(), self.learning_rate)
        self.state = state
        file = refused.keep(self.run, before.iteration + 1, batch)
        return f"; its batch is in {file}" if file else ""

    def account(
        self,
        found: Findings,
        rate: float,
        layer_time: float,
        elapsed: float,
        speed: float,
    ) -> dict[str, float]:
        """Add an iteration that took `elapsed` seconds to the state; returns its metrics.

        `layer_time` [µs] is that of the safety layer, `speed` in steps per second.
        """
        learned = update_metrics(found.report, found.multiplier, rate, self.config.teacher is not None)
        values = {name: float(value) for name, value in found.metrics.items()}
        compiled, self._fresh = self._fresh, False
        episodes = values["pursuit/episodes"]
        captures = values["pursuit/capture_rate"] * episodes if episodes else 0.0
        self.state = self.state._replace(
            seconds=self.state.seconds + elapsed,
            episodes=self.state.episodes + episodes,
            captures=self.state.captures + captures,
        )
        metrics = {
            "iteration": float(self.state.iteration),
            "steps": float(self.state.steps),
            **values,
            "qp/time_us": layer_time,
            **learned,
            "time/steps_per_second": speed,
            "time/seconds": self.state.seconds,
            "time/compiled": float(compiled),
        }
        if self.run is None:
            self._rows.append(metrics)
        return metrics

    @property
    def learning_rate(self) -> float:
        """Of the next update."""
        return learning_rate(self.config.ppo, self.state.iteration / self.config.iterations)

    @property
    def imitation(self) -> float | None:
        """The weight of the teacher's advice in the next update; None without a teacher."""
        if self.config.teacher is None:
            return None
        return imitation_weight(self.config.ppo, self.state.iteration / self.config.iterations)


def train_together(
    trainers: Sequence[BarrierNetTrainer],
    iterate: Callable[[], Sequence[Mapping[str, float]]],
    save: Callable[[], None],
    observers: Iterable[Observer],
    should_stop: Callable[[], bool],
    shown: Callable[[Sequence[Mapping[str, float]]], Mapping[str, float]] = lambda rows: rows[0],
) -> list[dict[str, Any]]:
    """`BarrierNetTrainer.train` of trainings that have come equally far and go on together; returns their summaries.

    `iterate` plays and learns for all of them and returns the metrics of each; where it raises NotFiniteError all
    become as before, and what they had learned by then is saved. `save` writes their checkpoints. Observers get what
    `shown` makes of the metrics.
    """
    first = trainers[0]
    with contextlib.ExitStack() as stack:
        for one in trainers:
            stack.enter_context(one.writing())
        logs = [stack.enter_context(contextlib.closing(one.open_log())) for one in trainers]
        saved = first.state.iteration
        while not first.finished and not should_stop():
            before = [one.state for one in trainers]
            try:
                rows = iterate()
            except NotFiniteError:
                for one, state in zip(trainers, before, strict=True):
                    one.state = state
                if saved != first.state.iteration and not any(not_finite(one.policy) for one in trainers):
                    save()
                raise
            for log, row in zip(logs, rows, strict=True):
                log.write(row)
            for observer in observers:
                observer(shown(rows))
            if first.state.iteration % first.config.checkpoint_every == 0:
                save()
                saved = first.state.iteration
        if saved != first.state.iteration:
            save()
        return [one.conclude() for one in trainers]


@jax.jit
def all_finite(tree: Any) -> Array:
    """Whether every number of every array is finite."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))


def _mean(values: list[float]) -> float | None:
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else None
