"""Metrics of rollouts and updates, under the names that CSV, TensorBoard and JSON share."""

from functools import partial
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from safepursuit.experiment import TrainConfig
from safepursuit.game import Game, GameState, Role
from safepursuit.learn.lagrangian import Multiplier
from safepursuit.learn.rollout import Games, Rollout
from safepursuit.learn.update import UpdateReport
from safepursuit.policy import Policy, situation
from safepursuit.shapes import Control
from safepursuit.shield import Shield


@partial(jax.jit, static_argnames="lineup")
def rollout_metrics(
    rollout: Rollout, dt: float | Float[Array, ""], lineup: tuple[str, ...] = ()
) -> dict[str, Float[Array, ""] | Int[Array, ""]]:
    """Metrics of a rollout with steps of `dt` [s]; with a `lineup` of several opponents, capture by opponent too.

    Rates per episode are over those that ended in the rollout, and NaN if none did.
    """
    over = rollout.terminated | rollout.truncated
    episodes = jnp.sum(over)
    by_opponent = {}
    for name in dict.fromkeys(lineup) if len(set(lineup)) > 1 else ():
        own = np.flatnonzero(np.array(lineup) == name)
        ended = jnp.sum(over[:, own])
        caught = jnp.sum(rollout.captured[:, own])
        by_opponent[f"pursuit/capture_rate/{name}"] = jnp.where(ended > 0, caught / jnp.maximum(ended, 1), jnp.nan)
    each = jnp.where(episodes > 0, 1.0 / jnp.maximum(episodes, 1), jnp.nan)
    captured_steps = jnp.sum(jnp.where(rollout.captured, rollout.final_length, 0))
    captures = jnp.sum(rollout.captured)
    contact = rollout.contact
    hit = contact.wall | contact.obstacle | contact.robot
    return {
        "pursuit/episodes": episodes,
        "pursuit/capture_rate": captures * each,
        "pursuit/capture_time": jnp.where(captures > 0, dt * captured_steps / jnp.maximum(captures, 1), jnp.nan),
        "pursuit/return": jnp.sum(rollout.final_return) * each,
        "pursuit/episode_length": jnp.sum(rollout.final_length) * each,
        "safety/episode_cost": jnp.sum(rollout.final_cost) * each,
        "safety/collisions": jnp.sum(hit),
        "safety/collisions_wall": jnp.sum(contact.wall),
        "safety/collisions_obstacle": jnp.sum(contact.obstacle),
        "safety/collisions_robot": jnp.sum(contact.robot),
        "safety/min_clearance": jnp.min(rollout.clearance),
        "qp/intervention_rate": jnp.mean(rollout.intervened),
        "qp/governed_rate": jnp.mean(rollout.governed),
        "qp/stopped_rate": jnp.mean(rollout.stopped),
        "qp/correction": jnp.mean(rollout.correction),
        "qp/infeasible_rate": jnp.mean(~rollout.feasible),
        "qp/residual": jnp.max(rollout.residual),
        "qp/zero_gradient_share": jnp.mean(rollout.lost_gradient),
        "ppo/std_v": jnp.mean(rollout.std[:, 0]),
        "ppo/std_omega": jnp.mean(rollout.std[:, 1]),
    } | by_opponent


class Findings(NamedTuple):
    """Results of an iteration, fetched from the device in one transfer."""

    metrics: dict[str, Any]
    report: UpdateReport
    multiplier: Multiplier | None
    """After the update."""
    finite: Any
    """Whether all learned numbers are finite."""
    invalid: Any
    """Games that ended as invalid."""

    @property
    def sound(self) -> bool:
        """Whether they are, and the figures of the update too."""
        figures = (self.report, self.multiplier.value if self.multiplier else 0.0)
        return bool(self.finite) and all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(figures))


def update_metrics(
    report: UpdateReport, multiplier: Multiplier | None, rate: float, teacher: bool = False
) -> dict[str, float]:
    """Metrics of an update; `multiplier` is the one after it, `rate` the learning rate."""
    terms = {f"ppo/{name}": float(value) for name, value in report.terms._asdict().items()}
    if multiplier is None:
        del terms["ppo/cost_value_loss"]
    else:
        terms["ppo/multiplier"] = float(multiplier.value)
    if not teacher:
        del terms["ppo/imitation"]
    return terms | {
        "ppo/explained_variance": float(report.explained_variance),
        "ppo/grad_norm": float(report.grad_norm),
        "ppo/gradient_steps": float(report.gradient_steps),
        "ppo/learning_rate": rate,
    }


def safety_layer_time(policy: Policy, action: Float[Array, "2 games"], games: Games, config: TrainConfig) -> float:
    """Time per control [µs] of the safety layer (rows, program, governor) in one batch of all games.

    The median of five calls on the present states, dispatch included; in training the layer is part of a larger
    program.
    """
    nominal = config.robot.from_unit_box(action, games.state.robot(config.role).control)
    times = []
    for _ in range(6):
        start = perf_counter()
        safety_layer(policy, nominal, games.state, config.game, config.shield, config.role).block_until_ready()
        times.append(perf_counter() - start)
    return 1e6 * median(times[1:]) / action.shape[-1]


@partial(jax.jit, static_argnames=("game", "shield", "role"))
def safety_layer(
    policy: Policy, nominal: Float[Array, "2 games"], state: GameState, game: Game, shield: Shield, role: Role
) -> Control:
    """The control of the safety layer alone, as in training."""
    return policy.head.project(nominal, situation(state, game, shield, role)).control
