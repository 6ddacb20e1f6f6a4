"""Adversarial drives behind the safety layer among edges of any shape, judged by the referee."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import shapely

import inertia
from safepursuit.evaluation.referee import judge_alone
from safepursuit.game import Game, initial
from safepursuit.scene import Arena, Edges, RoomError, Scene
from safepursuit.shield import Shield


def refusal(file: Any, sentence: str) -> str:
    """What a room of this file is refused with: one line that names the file and holds the sentence."""
    with pytest.raises(RoomError, match=re.escape(sentence)) as caught:
        Game(Arena(scene=str(file)))
    message = str(caught.value)
    assert str(file) in message
    assert "\n" not in message
    return message


class Drive(NamedTuple):
    contacts: int
    """Steps in which the body entered anything while the robot moved."""
    least: float
    """Least clearance [m] of a moving robot."""
    moving: float
    """Share of steps in which the robot moves."""
    steps: int


def random_room(rng: np.random.Generator) -> tuple[list, list, float]:
    """Segments and polygons, concave ones too, in either direction, and half the side of the room [m]."""
    polygons = []
    for _ in range(rng.integers(1, 4)):
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 8)))[:: rng.choice([-1, 1])]
        centre, reach = rng.uniform(-2, 2, 2), rng.uniform(0.15, 0.8, (len(angles), 1))
        polygons.append(centre + reach * np.stack([np.cos(angles), np.sin(angles)], axis=-1))
    segments = [(at, at + rng.uniform(-1.2, 1.2, 2)) for at in rng.uniform(-2.2, 2.2, (rng.integers(1, 5), 2))]
    return segments, polygons, 2.5


ROOMS: dict[str, Callable[[np.random.Generator], tuple[list, list, float]]] = {"random": random_room}


def batch(rooms: list[tuple[list, list, float]]) -> Scene:
    """Rooms as one scene with the games on the trailing axis, padded to the largest."""
    edges = [Edges.of(segments, polygons) for segments, polygons, _ in rooms]
    most = max(len(one.present) for one in edges if one is not None)

    def padded(part: Any) -> np.ndarray:
        part = np.asarray(part)
        return np.concatenate([part, np.zeros((*part.shape[:-1], most - part.shape[-1]), part.dtype)], axis=-1)

    parts = [np.stack([padded(part) for part in column], axis=-1) for column in zip(*edges, strict=True)]
    half = np.broadcast_to(np.array([room[2] for room in rooms]), (2, len(rooms)))
    return Scene(
        half, np.zeros((2, 1, len(rooms))), np.zeros((1, len(rooms))), np.zeros((1, len(rooms)), bool), Edges(*parts)
    )


def starts(rng: np.random.Generator, rooms: list[tuple[list, list, float]], clearance: float) -> np.ndarray:
    """A pose (3, games) per room, its centre so far [m] from everything and within nothing solid."""
    found = np.full((2, len(rooms)), np.nan)
    for game, (segments, polygons, half) in enumerate(rooms):
        walls = np.array([*map(shapely.LineString, segments), *map(shapely.Polygon, polygons)])
        while np.isnan(found[0, game]) or shapely.distance(walls, shapely.Point(found[:, game])).min() < clearance:
            found[:, game] = rng.uniform(-1, 1, 2) * (half - clearance)
    return np.concatenate([found, rng.uniform(-np.pi, np.pi, (1, len(rooms)))])


def drive(
    robot: Any,
    shield: Shield,
    room: Callable | str,
    *,
    seed: int = 0,
    games: int = 128,
    steps: int = 120,
    fresh: bool = False,
) -> Drive:
    """Drive from rest in rooms drawn by `room`, or in one of the gallery; `fresh` compiles anew, for what was changed
    under the program."""
    rng = np.random.default_rng(seed)
    if isinstance(room, str):
        model = "inertial" if robot.has_inertia else "unicycle"
        start = initial(jax.random.key(seed), Game(Arena(scene=room), robot, robot_model=model), games)
        scene, pose = start.scene, np.asarray(start.pursuer)
    else:
        rooms = [room(rng) for _ in range(games)]
        scene, pose = batch(rooms), starts(rng, rooms, robot.radius + shield.budget.pose + 2 * shield.margin + 0.02)
    roll = (
        jax.jit(lambda *given: inertia._roll.__wrapped__(*given), static_argnums=(3, 4, 5, 6, 7))
        if fresh
        else inertia._roll
    )
    key = jax.random.fold_in(jax.random.key(seed), 1)
    end, (poses, velocities, _, moving, _, _) = roll(
        key, jnp.asarray(pose), jax.tree.map(jnp.asarray, scene), robot, robot, shield, shield.budget, steps
    )
    own = inertia._episodes(jnp.concatenate([poses, end[None]]))
    control, before = inertia._episodes(velocities[1]), inertia._episodes(velocities[0])
    velocity = np.concatenate([before, control[:, -1:]], axis=1) if robot.has_inertia else None
    edges = np.concatenate([np.asarray(part, float) for part in scene.edges[:2]])
    edges = np.where(np.asarray(scene.edges.present), edges, np.nan).transpose(2, 1, 0)
    discs = np.stack([*np.asarray(scene.centre, float), np.asarray(scene.radius, float)], axis=-1)
    discs = np.moveaxis(np.where(np.asarray(scene.present)[..., None], discs, np.nan), 1, 0)
    verdict = judge_alone(
        own=own,
        own_control=control,
        discs=discs,
        edges=edges,
        half_extents=np.asarray(scene.half_extents)[:, 0],
        own_radius=robot.radius,
        length=np.full(games, steps),
        dt=robot.dt,
        integrator=robot.integrator,
        own_velocity=velocity,
    )
    assert not verdict.invalid.any()
    moves = np.asarray(moving).T
    least = np.where(moves, verdict.clearance, np.inf)
    return Drive(int((least < -1e-9).sum()), float(least.min()), float(moves.mean()), least.size)
