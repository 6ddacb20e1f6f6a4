"""Recordings: every step of episodes, as NumPy arrays and as files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from safepursuit.game import ROLES, Game, GameState, Role
from safepursuit.play.loop import Step
from safepursuit.robot import Inertial, Robot
from safepursuit.runs import configuration
from safepursuit.runs.folder import replacing
from safepursuit.scene import Edges, Movers, Scene

Numbers: TypeAlias = Array | np.ndarray


class Moment(NamedTuple):
    """The record of a step: axes (…, games), or (time, …, games) for many; arrays of JAX or NumPy."""

    pursuer: Float[Numbers, "*time 3 games"]
    """After the step."""
    evader: Float[Numbers, "*time 3 games"]
    pursuer_control: Float[Numbers, "*time 2 games"]
    """Executed."""
    evader_control: Float[Numbers, "*time 2 games"]
    nominal: Float[Numbers, "*time 2 games"]
    correction: Float[Numbers, "*time games"]
    intervened: Bool[Numbers, "*time games"]
    infeasible: Bool[Numbers, "*time games"]
    lost_gradient: Bool[Numbers, "*time games"]
    active: Bool[Numbers, "*time boundaries games"]
    over: Bool[Numbers, "*time games"]
    """Over before this step, whose other entries are then void."""
    captured: Bool[Numbers, "*time games"]
    invalid: Bool[Numbers, "*time games"]
    terminated: Bool[Numbers, "*time games"]
    movers: Float[Numbers, "*time 2 movers games"] | None = None
    """Where they are after the step; None where nothing moves."""


def moment(step: Step, role: Role = "pursuer") -> Moment:
    """The record of a step of the loop, with the safety layer of the robot in this role."""
    own, after = step.done[ROLES.index(role)], step.outcome.state
    return Moment(
        pursuer=after.pursuer,
        evader=after.evader,
        pursuer_control=after.pursuer_control,
        evader_control=after.evader_control,
        nominal=own.nominal,
        correction=own.correction,
        intervened=own.intervened,
        infeasible=~own.feasible,
        lost_gradient=own.lost_gradient,
        active=own.active,
        over=step.over,
        captured=step.outcome.captured,
        invalid=step.outcome.invalid,
        terminated=step.outcome.terminated,
        movers=moving(after.scene),
    )


def moving(scene: Scene) -> Array | None:
    """The centres (2, movers, …) of what moves."""
    return None if scene.movers is None else scene.centre[:, -len(scene.movers.speed) :]


@dataclass(frozen=True)
class Recording:
    """Episodes as NumPy arrays, episode first, float64; NaN (or False) past an episode's `length`. In the last step of
    an invalid one some are not finite."""

    pursuer: np.ndarray
    """(episodes, time + 1, 3) poses [m, m, rad]."""
    evader: np.ndarray
    pursuer_control: np.ndarray
    """(episodes, time, 2) executed controls [m/s, rad/s]."""
    evader_control: np.ndarray
    nominal: np.ndarray
    """(episodes, time, 2) the control of the robot that is judged before its safety layer."""
    intervened: np.ndarray
    """(episodes, time) bool."""
    correction: np.ndarray
    infeasible: np.ndarray
    lost_gradient: np.ndarray
    active: np.ndarray
    """(episodes, time, boundaries) bool: the row of this disc, mover, wall (+x, −x, +y, −y) or edge was active."""
    discs: np.ndarray
    """(episodes, discs, 3) x, y, radius [m] of those that stand; padding NaN."""
    edges: np.ndarray
    """(episodes, edges, 4) straight walls other than the arena's four, x₁ y₁ x₂ y₂ [m]; padding NaN."""
    movers: np.ndarray
    """(episodes, time + 1, movers, 3) x, y, radius [m] of the discs that move, straight and evenly in each step."""
    length: np.ndarray
    """(episodes,) steps played."""
    outcome: np.ndarray
    """(episodes,) "capture", "timeout", "collision" (where the rules end an episode on one) or "invalid" (a pose, a
    control or the scene was not finite)."""
    game: Game
    role: Role = "pursuer"
    """The robot whose safety layer `intervened` to `active` tell of; the one that is judged."""

    @property
    def own(self) -> np.ndarray:
        """The poses of the robot that is judged."""
        return self.poses(self.role)

    @property
    def own_control(self) -> np.ndarray:
        return self.pursuer_control if self.role == "pursuer" else self.evader_control

    @property
    def own_velocity(self) -> np.ndarray:
        return _from_rest(self.own_control)

    def poses(self, role: Role) -> np.ndarray:
        return self.pursuer if role == "pursuer" else self.evader

    def of(self, role: Role) -> "Recording":
        """The same episodes, for the poses and controls of the robot in this role."""
        return replace(self, role=role)

    @property
    def pursuer_velocity(self) -> np.ndarray:
        """(episodes, time + 1, 2) [m/s, rad/s] at the ends of the steps: 0 at the start, then the executed controls."""
        return _from_rest(self.pursuer_control)

    @property
    def evader_velocity(self) -> np.ndarray:
        return _from_rest(self.evader_control)


def _from_rest(control: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros_like(control[:, :1]), control], axis=1)


_LONGEST = 200
"""Characters of a reader's complaint, which may quote the damaged file."""

_ARRAYS = tuple(field.name for field in fields(Recording) if field.name not in ("game", "role"))


def assemble(start: GameState, moments: Moment, game: Game, role: Role = "pursuer") -> Recording:
    """The recording of episodes from their starts (games on the trailing axis) and moments."""
    played = ~np.asarray(moments.over).T
    recorded = {name: value for name, value in moments._asdict().items() if name != "movers"}
    values = {name: np.moveaxis(np.asarray(value), -1, 0) for name, value in recorded.items()}
    arrays = {}
    for name in _ARRAYS[: _ARRAYS.index("discs")]:
        value = values[name]
        mask = played.reshape(*played.shape, *(1,) * (value.ndim - 2))
        arrays[name] = value & mask if value.dtype == bool else np.where(mask, value.astype(np.float64), np.nan)
    for name in ("pursuer", "evader"):
        first = np.asarray(getattr(start, name), np.float64).T[:, None]
        arrays[name] = np.concatenate([first, arrays[name]], axis=1)
    ends = {"captured": "capture", "invalid": "invalid", "terminated": "collision"}
    outcome = np.select([(values[name] & played).any(axis=1) for name in ends], list(ends.values()), "timeout")
    scene, discs = start.scene, discs_of(start.scene.standing)
    edges = np.empty((len(discs), 0, 4))
    if scene.edges is not None:
        walls = np.concatenate([np.asarray(part, np.float64) for part in (scene.edges.start, scene.edges.end)])
        edges = np.where(np.asarray(scene.edges.present), walls, np.nan).transpose(2, 1, 0)
    movers = _movers(start, moments, played)
    length = played.sum(axis=1)
    return Recording(
        **arrays, discs=discs, edges=edges, movers=movers, length=length, outcome=outcome, game=game, role=role
    )


def _movers(start: GameState, moments: Moment, played: np.ndarray) -> np.ndarray:
    """(episodes, time + 1, movers, 3); `played` is (episodes, time)."""
    first = moving(start.scene)
    if first is None or moments.movers is None:
        return np.empty((len(played), played.shape[1] + 1, 0, 3))
    after = np.where(played.T[:, None, None], np.asarray(moments.movers, np.float64), np.nan)
    centres = np.concatenate([np.asarray(first, np.float64)[None], after])
    radius = np.asarray(start.scene.radius, np.float64)[-centres.shape[2] :]
    radii = np.where(np.isnan(centres[:, :1]), np.nan, radius)
    return np.concatenate([centres, radii], axis=1).transpose(3, 0, 2, 1)


def discs_of(scene: Scene) -> np.ndarray:
    """The discs of scenes (games on the trailing axis) as a recording has them: (games, discs, 3), padding NaN."""
    discs = np.stack([*np.asarray(scene.centre, np.float64), np.asarray(scene.radius, np.float64)], axis=-1)
    return np.moveaxis(np.where(np.asarray(scene.present)[..., None], discs, np.nan), 1, 0)


def joined(parts: Sequence[Recording]) -> Recording:
    """The episodes of several recordings of one game, in order."""
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS}
    return Recording(**arrays, game=parts[0].game, role=parts[0].role)


def take(recording: Recording, episodes: Sequence[int] | np.ndarray) -> Recording:
    """Some of the episodes, in this order."""
    chosen = np.asarray(episodes, int)
    return replace(recording, **{name: getattr(recording, name)[chosen] for name in _ARRAYS})


def scenes(
    recording: Recording, episodes: Sequence[int] | np.ndarray, steps: Sequence[int] | np.ndarray | None = None
) -> Scene:
    """The scenes of these episodes, which may repeat, with the games on the trailing axis; with their movers as they
    are before these steps, without `steps` what stands.

    A disc or edge that is not finite is padding. A recording does not tell free-standing walls from outlines: every
    edge counts as part of one.
    """
    chosen, kind = np.asarray(episodes, int), jnp.result_type(float)
    standing, walls = (np.moveaxis(part[chosen], 0, -1) for part in (recording.discs, recording.edges))
    discs, movers = standing, None
    if steps is not None and recording.movers.shape[2]:
        when = np.asarray(steps, int)
        now = np.moveaxis(recording.movers[chosen, when], 0, -1)
        before = np.moveaxis(recording.movers[chosen, np.maximum(when - 1, 0)], 0, -1)
        velocity = np.nan_to_num(now[:, :2] - before[:, :2]) / recording.game.robot.dt
        discs, movers = np.concatenate([standing, now]), _bounded(recording.game, velocity)
    (present, placed), (there, ends) = _finite(discs), _finite(walls)
    half = jnp.asarray(recording.game.arena.half_extents, kind)
    edges = None
    if len(there):
        start, end = (jnp.asarray(np.moveaxis(part, 1, 0), kind) for part in (ends[:, :2], ends[:, 2:]))
        edges = Edges(start, end, jnp.asarray(there), jnp.asarray(there))
    centre, radius = jnp.asarray(np.moveaxis(placed[:, :2], 1, 0), kind), jnp.asarray(placed[:, 2], kind)
    return Scene(half, centre, radius, jnp.asarray(present), edges, movers)


def _bounded(game: Game, velocity: np.ndarray) -> Movers:
    """Movers with these velocities (movers, 2, games), and the bounds of the game's room."""
    scripts = game.arena.layout.movers if game.arena.layout else ()
    speed = np.concatenate([np.full(one.count, one.speed) for one in scripts])
    kind = jnp.result_type(float)
    return Movers(jnp.asarray(np.moveaxis(velocity, 1, 0), kind), jnp.asarray(speed, kind))


def _finite(parts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which parts, along the first axis, are finite; and the parts with 0 for those that are not."""
    present = np.isfinite(parts).all(axis=1)
    return present, np.where(present[:, None], parts, 0)


def save(recording: Recording, file: Path, scenario: Sequence[int] | np.ndarray | None = None) -> None:
    """Write a recording as .npz (docs/evaluation.md); `scenario` holds the episodes' numbers in their suite, by default
    0, 1, 2, …"""
    game = recording.game
    numbers = np.arange(len(recording.length)) if scenario is None else np.asarray(scenario, int)
    with replacing(file) as stream:  # an open file keeps NumPy from adding a suffix of its own
        np.savez_compressed(
            stream,
            **{_stored(name, recording.role): getattr(recording, name) for name in _ARRAYS if name != "edges"},
            pursuer_velocity=recording.pursuer_velocity,
            evader_velocity=recording.evader_velocity,
            pursuer_limits=_limits(game.robot),
            evader_limits=_limits(game.evader),
            edges=_walls(recording),
            half_extents=np.asarray(game.arena.half_extents, np.float64),
            robot_radius=np.float64(game.robot.radius),
            capture_radius=np.float64(game.capture_radius),
            dt=np.float64(game.robot.dt),
            integrator=np.asarray(game.robot.integrator),
            scenario=numbers,
            role=np.asarray(recording.role),
            game=np.asarray(configuration.dump(game)),
        )


def _limits(robot: Robot) -> np.ndarray:
    """Lowest and highest speed, highest turn rate, forward and braking acceleration, turning acceleration, wheel base
    and radius [m, s, rad]: infinite where a change is at once, NaN where the wheels set no limit of their own."""
    wheel_base = np.nan if robot.wheel_base is None else robot.wheel_base
    rates = [np.inf] * 3
    if isinstance(robot, Inertial):
        rates = [robot.acceleration, robot.braking, robot.turn_acceleration]
    return np.array([robot.min_speed, robot.max_speed, robot.max_turn_rate, *rates, wheel_base, robot.radius])


def _walls(recording: Recording) -> np.ndarray:
    """Every straight wall of each episode (episodes, walls, 4), the arena's own four, where it has them, at the end."""
    if recording.game.arena.room:
        return recording.edges
    x, y = recording.game.arena.half_extents
    box = np.array([[x, -y, x, y], [-x, -y, -x, y], [-x, y, x, y], [-x, -y, x, -y]], float)
    return np.concatenate([recording.edges, np.broadcast_to(box, (len(recording.edges), 4, 4))], axis=1)


def _without_box(stored: Mapping[str, np.ndarray], game: Game, episodes: int) -> np.ndarray:
    """The edges of a file that are not the arena's four walls; older files have none."""
    if "edges" not in stored:
        return np.empty((episodes, 0, 4))
    return stored["edges"] if game.arena.room else stored["edges"][:, :-4]


def _stored(name: str, role: Role) -> str:
    """The name of an array in the file."""
    return f"{role}_nominal" if name == "nominal" else name


def load(file: Path) -> tuple[Recording, np.ndarray]:
    """A saved recording, and its episodes' numbers in their suite. Raises ValueError where the file is none."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            role: Role = "evader" if str(stored.get("role", "pursuer")) == "evader" else "pursuer"
            game = configuration.parse(Game(), str(stored["game"]), str(file))
            arrays = {name: stored[_stored(name, role)] for name in _ARRAYS if name not in ("edges", "movers")}
            arrays["edges"] = _without_box(stored, game, len(arrays["discs"]))
            none = np.empty((*arrays["pursuer"].shape[:2], 0, 3))
            arrays["movers"] = stored.get("movers", none)  # older files have none
            recording, scenario = Recording(**arrays, game=game, role=role), stored["scenario"]
        if len({len(one) for one in (*arrays.values(), scenario)}) > 1:
            raise ValueError("its arrays differ in the number of episodes")
    except Exception as error:  # whatever damage does to the readers of ZIP, zlib and NumPy
        reason = " ".join(str(error).split()).rstrip(".")[:_LONGEST] or type(error).__name__
        raise ValueError(f"{file} is not a recording of this version: {reason}.") from None
    return recording, scenario
