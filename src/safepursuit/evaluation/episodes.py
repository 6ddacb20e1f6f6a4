"""Playing out scenarios with a deterministic pursuer, and recording every step."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from safepursuit import game as rules
from safepursuit.evaluation.deployment import Deployment, Pursuer, act
from safepursuit.evaluation.scenarios import Scenarios
from safepursuit.game import Game, GameState
from safepursuit.learn.opponent import evader_control
from safepursuit.players import evaders_of
from safepursuit.runs import configuration
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
    active: Bool[Array, "time boundaries episodes"]


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
    active: np.ndarray
    """(episodes, time, boundaries) bool: which disc or wall (+x, −x, +y, −y) held the control by its row."""
    discs: np.ndarray
    """(episodes, discs, 3) x, y, radius [m]; padding NaN."""
    length: np.ndarray
    """(episodes,) steps played."""
    outcome: np.ndarray
    """(episodes,) "capture", "timeout" or "collision" (where the rules end the episode on one)."""
    game: Game


_ARRAYS = tuple(field.name for field in fields(Recording) if field.name != "game")


def record(
    pursuer: Pursuer, scenarios: Scenarios, shield: Shield, evader: str, deployment: Deployment = "as-trained"
) -> Recording:
    """Play every scenario to its end against a scripted evader, or a mixture of them, under the shield.

    Who plays in episode i of a mixture depends on i alone.
    """
    episodes, game = scenarios.evader_keys.shape[0], scenarios.game
    evaders = evaders_of(evader, episodes)
    if len(set(evaders)) == 1:
        evaders = evaders[:1]  # one program for every number of episodes
    parts = []
    for first in range(0, episodes, _CHUNK):
        some = slice(first, first + _CHUNK)
        states = jax.tree.map(lambda leaf, some=some: leaf[..., some], scenarios.states)
        here = evaders[some] if len(evaders) > 1 else evaders
        parts.append(_play(pursuer, states, scenarios.evader_keys[some], game, shield, here, deployment))
    return _assemble(parts, scenarios.states, game)


@partial(jax.jit, static_argnames=("game", "shield", "evaders", "deployment"))
def _play(pursuer, states, evader_keys, game: Game, shield: Shield, evaders: tuple[str, ...], deployment: Deployment):
    """One scan over the horizon; an episode that is over stands still."""

    def advance(carry, time):
        state, over, captured, crashed = carry
        keys = jax.vmap(lambda key: jax.random.fold_in(key, time))(evader_keys)
        own_keys = jax.vmap(lambda key: jax.random.fold_in(key, 1))(keys)
        done, lost_gradient = act(pursuer, own_keys, state, game, shield, deployment)
        fled = evader_control(evaders, keys, state, game, shield)
        outcome = rules.transition(state, done.control, fled, game)
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
            done.active,
        )
        following = jax.tree.map(lambda new, old: jnp.where(over, old, new), outcome.state, state)
        captured = captured | (outcome.captured & ~over)
        crashed = crashed | (outcome.terminated & ~outcome.captured & ~over)
        return (following, over | outcome.terminated | outcome.truncated, captured, crashed), (step, over)

    nobody = jnp.zeros(evader_keys.shape, bool)
    start = (states, nobody, nobody, nobody)
    (last, _, captured, crashed), (steps, over) = jax.lax.scan(advance, start, jnp.arange(game.horizon))
    return steps, over, last, captured, crashed


def _assemble(parts: list, starts: GameState, game: Game) -> Recording:
    columns: dict[str, list[np.ndarray]] = {}

    def add(name: str, values: np.ndarray) -> None:
        columns.setdefault(name, []).append(values)

    for steps, over, last, captured, crashed in parts:
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
        add("active", np.moveaxis(np.asarray(steps.active), -1, 0) & ~past[..., None])
        add("outcome", np.select([np.asarray(captured), np.asarray(crashed)], ["capture", "collision"], "timeout"))
    scene = starts.scene
    discs = np.stack([*np.asarray(scene.centre, np.float64), np.asarray(scene.radius, np.float64)], axis=-1)
    discs = np.where(np.asarray(scene.present)[..., None], discs, np.nan)
    return Recording(
        **{name: np.concatenate(pieces) for name, pieces in columns.items()}, discs=np.moveaxis(discs, 1, 0), game=game
    )


def take(recording: Recording, episodes: Sequence[int] | np.ndarray) -> Recording:
    """Some of the episodes, in this order."""
    chosen = np.asarray(episodes, int)
    return replace(recording, **{name: getattr(recording, name)[chosen] for name in _ARRAYS})


def save(recording: Recording, file: Path, scenario: Sequence[int] | np.ndarray | None = None) -> None:
    """Write a recording as .npz: all that is needed to judge it with one's own code (docs/evaluation.md), and to `load`
    it. `scenario` says which of its suite's scenarios the episodes are; without it, the first ones."""
    game = recording.game
    numbers = np.arange(len(recording.length)) if scenario is None else np.asarray(scenario, int)
    partial_file = file.with_name(f".{file.name}.{os.getpid()}.partial")
    with partial_file.open("wb") as stream:  # an open file keeps NumPy from adding a suffix of its own
        np.savez_compressed(
            stream,
            **{name: getattr(recording, name) for name in _ARRAYS},
            half_extents=np.asarray(game.arena.half_extents, np.float64),
            robot_radius=np.float64(game.robot.radius),
            capture_radius=np.float64(game.capture_radius),
            dt=np.float64(game.robot.dt),
            integrator=np.asarray(game.robot.integrator),
            scenario=numbers,
            game=np.asarray(configuration.dump(game)),
        )
    os.replace(partial_file, file)


def load(file: Path) -> tuple[Recording, np.ndarray]:
    """A saved recording, and which of its suite's scenarios the episodes are. Raises ValueError where it is none."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in _ARRAYS}
            game = configuration.parse(Game(), str(stored["game"]), str(file))
            return Recording(**arrays, game=game), stored["scenario"]
    except (OSError, KeyError, BadZipFile) as error:
        raise ValueError(f"{file} is not a recording of this version: {error}.") from None
