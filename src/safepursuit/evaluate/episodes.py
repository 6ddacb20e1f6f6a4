"""Playing out scenarios with a deterministic policy, and recording every step."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from safepursuit import game as rules
from safepursuit import shield as safety
from safepursuit.evaluate.deployment import Deployment, act
from safepursuit.evaluate.scenarios import Scenarios
from safepursuit.game import Game, GameState
from safepursuit.players import EVADERS, Sight
from safepursuit.policy import Policy
from safepursuit.shield import Shield

_CHUNK = 1000
"""Episodes played side by side; bounds the memory of the recording."""


class Step(NamedTuple):
    """What is recorded of each step, before it; axes (time, …, episodes)."""

    pursuer: Float[Array, "time 3 episodes"]
    evader: Float[Array, "time 3 episodes"]
    pursuer_control: Float[Array, "time 2 episodes"]
    evader_control: Float[Array, "time 2 episodes"]
    nominal: Float[Array, "time 2 episodes"]
    intervened: Bool[Array, "time episodes"]
    correction: Float[Array, "time episodes"]
    feasible: Bool[Array, "time episodes"]
    lost_gradient: Bool[Array, "time episodes"]


@dataclass(frozen=True)
class Recording:
    """Episodes as NumPy arrays, episode first, float64; what is past an episode's `length` is NaN (or False)."""

    pursuer: np.ndarray
    """(episodes, time + 1, 3) poses [m, m, rad]."""
    evader: np.ndarray
    pursuer_control: np.ndarray
    """(episodes, time, 2) executed controls [m/s, rad/s]."""
    evader_control: np.ndarray
    pursuer_nominal: np.ndarray
    """(episodes, time, 2) what the network asked for."""
    intervened: np.ndarray
    """(episodes, time) bool."""
    correction: np.ndarray
    infeasible: np.ndarray
    lost_gradient: np.ndarray
    discs: np.ndarray
    """(episodes, discs, 3) x, y, radius [m]; padding NaN."""
    length: np.ndarray
    """(episodes,) steps played."""
    outcome: np.ndarray
    """(episodes,) "capture", "timeout" or "collision" (where the rules end the episode on one)."""
    game: Game


def record(
    policy: Policy, scenarios: Scenarios, shield: Shield, evader: str, deployment: Deployment = "as-trained"
) -> Recording:
    """Play every scenario to its end with the deterministic policy against a scripted evader under the shield."""
    episodes, game = scenarios.evader_keys.shape[0], scenarios.game
    parts = []
    for first in range(0, episodes, _CHUNK):
        some = slice(first, first + _CHUNK)
        states = jax.tree.map(lambda leaf, some=some: leaf[..., some], scenarios.states)
        parts.append(_play(policy, states, scenarios.evader_keys[some], game, shield, evader, deployment))
    return _assemble(parts, scenarios.states, game)


@partial(jax.jit, static_argnames=("game", "shield", "evader", "deployment"))
def _play(policy, states, evader_keys, game: Game, shield: Shield, evader: str, deployment: Deployment):
    """One scan over the horizon; an episode that is over stands still."""

    def advance(carry, time):
        state, over, captured = carry
        done, lost_gradient = act(policy, state, game, shield, deployment)
        keys = jax.vmap(lambda key: jax.random.fold_in(key, time))(evader_keys)
        sight = Sight(state.evader, state.pursuer, state.pursuer_control, state.scene)
        asked = EVADERS[evader](keys, sight, game.evader)
        fled = safety.filter(asked, state.evader, state.scene, robot=game.evader, shield=shield, gains=1.0)
        outcome = rules.transition(state, done.control, fled.control, game)
        step = Step(
            state.pursuer,
            state.evader,
            outcome.state.pursuer_control,
            outcome.state.evader_control,
            done.nominal,
            done.intervened,
            done.correction,
            done.feasible,
            lost_gradient,
        )
        following = jax.tree.map(lambda new, old: jnp.where(over, old, new), outcome.state, state)
        captured = captured | (outcome.captured & ~over)
        return (following, over | outcome.terminated | outcome.truncated, captured), (step, over)

    nobody = jnp.zeros(evader_keys.shape, bool)
    (last, _, captured), (steps, over) = jax.lax.scan(advance, (states, nobody, nobody), jnp.arange(game.horizon))
    return steps, over, last, captured


def _assemble(parts: list, starts: GameState, game: Game) -> Recording:
    columns: dict[str, list[np.ndarray]] = {}

    def add(name: str, values: np.ndarray) -> None:
        columns.setdefault(name, []).append(values)

    for steps, over, last, captured in parts:
        past = np.asarray(over).T
        length = np.sum(~past, axis=1)
        for name in ("pursuer", "evader"):
            poses = np.moveaxis(np.asarray(getattr(steps, name), np.float64), -1, 0)
            final = np.asarray(getattr(last, name), np.float64).T[:, None]
            poses = np.concatenate([poses, final], axis=1)
            poses[np.arange(len(length)), length] = final[:, 0]
            beyond = np.arange(poses.shape[1]) > length[:, None]
            add(name, np.where(beyond[..., None], np.nan, poses))
        for name, field in (
            ("pursuer_control", steps.pursuer_control),
            ("evader_control", steps.evader_control),
            ("pursuer_nominal", steps.nominal),
        ):
            add(name, np.where(past[..., None], np.nan, np.moveaxis(np.asarray(field, np.float64), -1, 0)))
        add("correction", np.where(past, np.nan, np.asarray(steps.correction, np.float64).T))
        for name, flag in (
            ("intervened", steps.intervened),
            ("infeasible", ~steps.feasible),
            ("lost_gradient", steps.lost_gradient),
        ):
            add(name, np.asarray(flag).T & ~past)
        add("length", length)
        ended = np.where(length < game.horizon, "collision", "timeout")
        add("outcome", np.where(np.asarray(captured), "capture", ended))
    scene = starts.scene
    discs = np.stack([*np.asarray(scene.centre, np.float64), np.asarray(scene.radius, np.float64)], axis=-1)
    discs = np.where(np.asarray(scene.present)[..., None], discs, np.nan)
    return Recording(
        **{name: np.concatenate(pieces) for name, pieces in columns.items()}, discs=np.moveaxis(discs, 1, 0), game=game
    )


def save(recording: Recording, file: Path) -> None:
    """Write a recording as .npz: all that is needed to judge it with one's own code (docs/evaluation.md)."""
    game = recording.game
    with file.open("wb") as stream:  # an open file keeps NumPy from adding a suffix of its own
        np.savez_compressed(
            stream,
            pursuer=recording.pursuer,
            evader=recording.evader,
            pursuer_control=recording.pursuer_control,
            evader_control=recording.evader_control,
            pursuer_nominal=recording.pursuer_nominal,
            discs=recording.discs,
            half_extents=np.asarray(game.arena.half_extents, np.float64),
            robot_radius=np.float64(game.robot.radius),
            capture_radius=np.float64(game.capture_radius),
            dt=np.float64(game.robot.dt),
            integrator=np.asarray(game.robot.integrator),
            length=recording.length,
            outcome=recording.outcome,
        )
