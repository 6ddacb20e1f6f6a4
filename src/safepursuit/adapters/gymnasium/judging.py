"""Recordings of any agent on a vector environment, for the referee."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from gymnasium.vector import VectorEnv

from safepursuit.adapters.gymnasium.vector import PursuitEvasionVectorEnv
from safepursuit.game import GameState
from safepursuit.play.recording import Moment, Recording, assemble, moving

Agent = Callable[[np.ndarray], np.ndarray]
"""Observations (games, features) → actions (games, 2)."""


def record(agent: Agent, envs: VectorEnv, *, seed: int = 0, states: GameState | None = None) -> Recording:
    """Play and record one episode in every game, as `evaluation.episodes.record` does for the package's policies.

    `envs` is a `PursuitEvasionVectorEnv`, wrapped or not; the infos of a `VectorShieldAction` are recorded too.
    `states` are the starts, games on the trailing axis, such as those of `evaluation.scenarios.draw`; by default they
    follow from the seed, like the opponent's random numbers. `safepursuit.evaluation.metrics` gives the figures:
    `metrics.figures(recording, metrics.verdict(recording))`. Raises TypeError for another environment.
    """
    inner = envs.unwrapped
    if not isinstance(inner, PursuitEvasionVectorEnv):
        raise TypeError(f"only games of a PursuitEvasionVectorEnv can be recorded, not those of {inner}.")
    observations, _ = envs.reset(seed=seed, options={"state": states})
    start, over = inner.states, np.zeros(envs.num_envs, bool)
    moments: list[Moment] = []
    while not over.all():
        observations, _, terminated, truncated, infos = envs.step(agent(observations))
        moments.append(_moment(inner, infos, terminated, over))
        over = over | terminated | truncated
    return assemble(start, jax.tree.map(lambda *steps: np.stack(steps), *moments), inner.game)


def _moment(inner: PursuitEvasionVectorEnv, infos: dict[str, Any], terminated: np.ndarray, over: np.ndarray) -> Moment:
    """The record of a step; of safety layers only the `VectorShieldAction` of a learning pursuer is recorded."""
    after = jax.tree.map(np.asarray, inner.arrived)
    none = np.zeros(inner.num_envs, bool)
    known = infos if inner.match.role == "pursuer" and "nominal" in infos else {}
    edges = after.scene.edges
    boundaries = after.scene.radius.shape[0] + 4 + (0 if edges is None else len(edges.present))
    return Moment(
        pursuer=after.pursuer,
        evader=after.evader,
        pursuer_control=after.pursuer_control,
        evader_control=after.evader_control,
        nominal=known["nominal"].T if known else after.pursuer_control,
        correction=known.get("correction", none.astype(float)),
        intervened=known.get("intervened", none),
        infeasible=~known.get("feasible", ~none),
        lost_gradient=none,
        active=np.zeros((boundaries, inner.num_envs), bool),
        over=over,
        captured=infos["captured"],
        invalid=infos["invalid"],
        terminated=terminated,
        movers=moving(after.scene),
    )
