"""The program of the safety layer at every step of a recording: half-planes, gains, stop sectors."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from safepursuit.barriers.stop_sector import headings
from safepursuit.game import Game, GameState, RobotState, Role, observe
from safepursuit.play.recording import Recording, scenes
from safepursuit.policy import Policy, situation
from safepursuit.policy.barriernet import ProjectedGaussian
from safepursuit.robot import Inertial, Robot
from safepursuit.shield import Shield, problem

_CHUNK = 8192
"""Steps computed at once, a bound on memory; a shorter recording is padded to a power of two."""

_BOX = 4


@dataclass(frozen=True)
class Layer:
    """The safety layer whose program is shown."""

    shield: Shield
    policy: Policy | None = None
    """Of learned gains; without one, every gain is `gain`."""
    gain: float | None = None
    """None where nothing enforces barriers: then there is no program."""


class Programs(NamedTuple):
    """Of all steps, in the order of the recording's played steps; as JAX computed them."""

    A: np.ndarray
    """(rows in all, 2) of the rows that cut the box."""
    b: np.ndarray
    """(rows in all,)"""
    boundary: np.ndarray
    """(rows in all,) in the order of `scene.boundaries`, then the other robot."""
    rows: np.ndarray
    """(steps,) rows of each step."""
    box: np.ndarray
    """(steps, 4) lowest and highest first, lowest and highest second coordinate."""
    gain: np.ndarray
    """(steps,) γ of the boundary of least h."""
    nominal: np.ndarray
    """(steps, 2) in the coordinates of the program."""
    control: np.ndarray
    sector: np.ndarray | None
    """(steps, 3) way [m] and headings [rad] of the stop sector of the executed control; of a robot with inertia."""


class _Step(NamedTuple):
    """One program; batch on trailing axes."""

    A: Any
    b: Any
    cuts: Any
    boundary: Any
    box: Any
    gain: Any
    nominal: Any
    control: Any
    sector: Any


def programs(recording: Recording, layer: Layer) -> Programs | None:
    """The program of every played step; None where nothing enforces barriers."""
    if layer.gain is None:
        return None
    parts = [_found(*chunk, recording, layer) for chunk in _chunks(recording)]
    joined = jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=-1), *parts)
    cuts = joined.cuts.T  # steps first, rows within
    return Programs(
        A=np.moveaxis(joined.A, -1, 0)[cuts],
        b=joined.b.T[cuts],
        boundary=joined.boundary.T[cuts],
        rows=cuts.sum(axis=1),
        box=joined.box.T,
        gain=joined.gain,
        nominal=joined.nominal.T,
        control=joined.control.T,
        sector=None if joined.sector is None else joined.sector.T,
    )


def _chunks(recording: Recording) -> Iterator[tuple[GameState, Any, Any, int]]:
    """States before the steps, nominal and executed controls, and how many of them are real; batch last."""
    played = np.arange(recording.pursuer_control.shape[1]) < recording.length[:, None]
    episode, time = np.nonzero(played)
    size = min(_CHUNK, 1 << max(len(episode) - 1, 1).bit_length())

    def of(array: np.ndarray, some: tuple[np.ndarray, ...]) -> jax.Array:
        return jnp.asarray(np.moveaxis(array[some], 0, -1), jnp.result_type(float))

    for first in range(0, len(episode), size):
        real = min(size, len(episode) - first)
        which = first + np.minimum(np.arange(size), real - 1)
        some = episode[which], time[which]
        robots = (
            RobotState(of(recording.pursuer, some), of(recording.pursuer_velocity, some)),
            RobotState(of(recording.evader, some), of(recording.evader_velocity, some)),
        )
        state = GameState(robots, scenes(recording, *some), jnp.asarray(some[1]))
        yield state, of(recording.nominal, some), of(recording.own_control, some), real


def _found(state: GameState, nominal: Any, control: Any, real: int, recording: Recording, layer: Layer) -> _Step:
    found = _programs(layer.policy, state, nominal, control, recording.game, recording.role, layer.shield, layer.gain)
    return jax.tree.map(lambda leaf: np.asarray(leaf)[..., :real], found)


@eqx.filter_jit
def _programs(
    policy: Policy | None,
    state: GameState,
    nominal: Any,
    control: Any,
    game: Game,
    role: Role,
    shield: Shield,
    gain: float | None,
) -> _Step:
    robot, velocity = game.limits(role), state.robot(role).control
    where = situation(state, game, shield, role)
    around, gains = where.around, cast(Any, gain)
    if policy is not None:
        distribution = policy.head.distribution(policy.features(observe(state, game, role)), where)
        if isinstance(distribution, ProjectedGaussian):
            gains = distribution.gains
    rows = problem(shield, robot, around, gains)
    low_v, high_v, low_w, high_w = -rows.b[0], rows.b[1], -rows.b[2], rows.b[3]
    A, b = rows.A[_BOX:], rows.b[_BOX:]
    furthest = jnp.maximum(A[:, 0] * low_v, A[:, 0] * high_v) + jnp.maximum(A[:, 1] * low_w, A[:, 1] * high_w)
    boundary = []
    for number, (kind, found) in enumerate(zip(shield.kinds, around.found, strict=False)):
        index = (
            found.boundary if number == 0 else jnp.full_like(found.boundary, len(around.barriers.value) + number - 1)
        )
        boundary.append(jnp.repeat(index, kind.rows_each(robot), axis=0))
    least = jnp.argmin(around.barriers.value, axis=0)
    every = jnp.broadcast_to(jnp.asarray(gains, nominal.dtype), around.barriers.value.shape)
    return _Step(
        A=A,
        b=b,
        cuts=furthest > b,
        boundary=jnp.concatenate(boundary),
        box=jnp.stack([low_v, high_v, low_w, high_w]),
        gain=jnp.take_along_axis(every, least[None], axis=0)[0],
        nominal=robot.to_swing(nominal, velocity),
        control=robot.to_swing(control, velocity),
        sector=_sector(robot, shield, velocity, control),
    )


def _sector(robot: Robot, shield: Shield, velocity: Any, control: Any) -> Any:
    """Way and headings of the step and of the stop after it."""
    if not isinstance(robot, Inertial):
        return None
    budget = shield.budget.at_execution(robot)
    low, high = headings(robot, budget, velocity[1], control[1])
    if not robot.reverses:
        way = (1 + budget.slip) * robot.way_to_stop(velocity[0] + budget.speed, control[0])
        return jnp.stack([way, low, high])
    back = velocity[0] + control[0] < 0
    before, after = (jnp.where(back, -speed, speed) for speed in (velocity[0], control[0]))
    way, turned = (1 + budget.slip) * robot.way_to_stop(before + budget.speed, after), jnp.where(back, jnp.pi, 0)
    return jnp.stack([way, low + turned, high + turned])
