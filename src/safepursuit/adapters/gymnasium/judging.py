"""Any agent under the project's own protocol: played on a vector environment, recorded for the referee."""

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from safepursuit.adapters.gymnasium.vector import PursuitEvasionVectorEnv
from safepursuit.evaluation.episodes import Recording
from safepursuit.game import GameState

Agent = Callable[[np.ndarray], np.ndarray]
"""Observations (games, features) → actions (games, 2)."""

_POSES, _CONTROLS = ("pursuer", "evader"), ("pursuer_control", "evader_control")


def record(agent: Agent, envs: VectorEnv, *, seed: int = 0, states: GameState | None = None) -> Recording:
    """Play one episode in every game and record it, as `evaluate.episodes.record` does for our own policies.

    `envs` is a `PursuitEvasionVectorEnv`, behind a `VectorShieldAction` perhaps, whose infos are recorded then.
    `states` are the starts, games on the trailing axis, such as those of `evaluate.scenarios.draw`; by default they
    follow from the seed, like the opponent's dice. The figures are then `metrics.figures(recording,
    metrics.verdict(recording))`, with `safepursuit.evaluation.metrics`. Raises TypeError for another environment.
    """
    inner = envs.unwrapped
    if not isinstance(inner, PursuitEvasionVectorEnv):
        raise TypeError(f"only games of a PursuitEvasionVectorEnv can be recorded, not those of {inner}.")
    observations, _ = envs.reset(seed=seed, options={"state": states})
    start = inner.states
    games, length = envs.num_envs, np.zeros(envs.num_envs, int)
    outcome = np.full(games, "timeout", "<U9")
    playing = np.ones(games, bool)
    steps: list[dict[str, np.ndarray]] = []
    while playing.any():
        observations, _, terminated, truncated, infos = envs.step(agent(observations))
        steps.append(_step(inner, infos, playing))
        length += playing
        ended = playing & (terminated | truncated)
        outcome[ended & terminated] = "collision"
        outcome[ended & infos["captured"]] = "capture"
        playing &= ~ended
    arrays = {name: np.stack([step[name] for step in steps], axis=1) for name in steps[0]}
    for name in _POSES:
        first = np.asarray(getattr(start, name), np.float64).T[:, None]
        arrays[name] = np.concatenate([first, arrays[name]], axis=1)
    boundaries = start.scene.radius.shape[0] + 4
    return Recording(
        **arrays,
        lost_gradient=np.zeros(arrays["intervened"].shape, bool),
        active=np.zeros((*arrays["intervened"].shape, boundaries), bool),
        discs=_discs(start),
        length=length,
        outcome=outcome,
        game=inner.game,
    )


def _step(inner: PursuitEvasionVectorEnv, infos: dict[str, Any], playing: np.ndarray) -> dict[str, np.ndarray]:
    """What is recorded of a step: where it led, and by which controls; NaN or False for games that were over before."""
    arrived = inner.arrived
    found = {name: np.asarray(getattr(arrived, name), np.float64).T for name in (*_POSES, *_CONTROLS)}
    learner = inner.match.role == "pursuer"
    none = np.zeros(inner.num_envs, bool)
    shielded = infos if learner and "nominal" in infos else {}
    found["pursuer_nominal"] = np.asarray(shielded.get("nominal", found["pursuer_control"]), np.float64)
    found["correction"] = np.asarray(shielded.get("correction", none), np.float64)
    found = {name: np.where(playing.reshape(-1, *[1] * (x.ndim - 1)), x, np.nan) for name, x in found.items()}
    found["intervened"] = shielded.get("intervened", none) & playing
    found["infeasible"] = ~shielded.get("feasible", ~none) & playing
    return found


def _discs(state: GameState) -> np.ndarray:
    """(games, discs, 3) x, y, radius [m]; padding NaN."""
    scene = state.scene
    discs = np.stack([*np.asarray(scene.centre, np.float64), np.asarray(scene.radius, np.float64)], axis=-1)
    return np.moveaxis(np.where(np.asarray(scene.present)[..., None], discs, np.nan), 1, 0)
