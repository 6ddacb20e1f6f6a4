"""States for the comparison of a file with the package: ordinary ones, and every kind that is difficult."""

from typing import NamedTuple

import numpy as np

from safepursuit.game import Game


class States(NamedTuple):
    """As the file takes them: float64, samples first."""

    inputs: dict[str, np.ndarray]
    kind: np.ndarray
    """Names from `KINDS`."""


KINDS = ("open", "near", "contact", "overlapping", "crowded", "empty", "extreme")
"""Anywhere; within centimetres of a disc, a wall or an edge; touching one to within rounding; inside one, or beyond a
wall, where no motion is safe; all discs close around; no discs; numbers that are huge, tiny or not finite. Movers and
edges as discs."""


def draw(
    game: Game,
    discs: int,
    count: int,
    seed: int,
    *,
    delay: int = 0,
    edges: int = 0,
    movers: int = 0,
    ways: bool = False,
) -> States:
    """So many states of all kinds by turns, the same for the same seed; with a delay, commands on their way; with
    edges, movers and shortest ways for a file that takes them."""
    random = np.random.default_rng(seed)
    kind = np.arange(count) % len(KINDS)
    half = np.asarray(game.arena.half_extents)
    robot, widest = game.robot, game.arena.radius_range[1]

    def uniform(low: float | int, high: float | int, *shape: int) -> np.ndarray:
        return random.uniform(low, high, (count, *shape))

    discs += movers
    radius = uniform(0.1, 1.2 * widest, discs)
    centre = uniform(-1, 1, discs, 2) * half
    pose = np.concatenate([uniform(-1, 1, 2) * (half - robot.radius), uniform(-np.pi, np.pi, 1)], axis=1)
    opponent = np.concatenate([uniform(-1, 1, 2) * (half - robot.radius), uniform(-np.pi, np.pi, 1)], axis=1)
    slowest, fastest = robot.min_speed, robot.max_speed
    controls = [np.stack([uniform(slowest, fastest), uniform(-1, 1) * robot.max_turn_rate], axis=1) for _ in range(2)]

    # A disc or a wall is moved to where its surface has this clearance from the body.
    clearance = np.select(
        [kind == 1, kind == 2, kind == 3],
        [uniform(0, 0.05), random.choice([0, 1e-12, -1e-12], count), -uniform(0, 0.5)],
        2,
    )
    bearing = uniform(-np.pi, np.pi)
    away = (radius[:, 0] + robot.radius + clearance)[:, None] * np.stack([np.cos(bearing), np.sin(bearing)], axis=1)
    at_disc = np.isin(kind, (1, 2, 3)) & (random.random(count) < 0.6)
    centre[:, 0] = np.where(at_disc[:, None], pose[:, :2] + away, centre[:, 0])
    at_wall = np.isin(kind, (1, 2, 3)) & ~at_disc
    side, axis = random.choice([-1, 1], count), random.integers(0, 2, count)
    there = side * (half[axis] - robot.radius - clearance)
    pose[np.arange(count), axis] = np.where(at_wall, there, pose[np.arange(count), axis])

    spoke = uniform(-np.pi, np.pi, discs)
    reach = radius + robot.radius + uniform(0, 0.2, discs)
    around = pose[:, None, :2] + reach[..., None] * np.stack([np.cos(spoke), np.sin(spoke)], axis=-1)
    centre = np.where((kind == 4)[:, None, None], around, centre)
    absent = (kind == 5)[:, None] | ((kind != 4)[:, None] & (random.random((count, discs)) < 0.3))
    absent[:, 0] &= ~at_disc
    table = np.concatenate([centre, radius[..., None]], axis=-1)
    table[absent] = np.where(random.random(absent.sum()) < 0.5, np.nan, 0)[:, None]

    inputs = {
        "pose": pose,
        "control": controls[0],
        "opponent_pose": opponent,
        "opponent_control": controls[1],
        "discs": table,
        "half_extents": np.broadcast_to(half, (count, 2)).copy(),
    }
    if delay:
        sent = [uniform(slowest, fastest, delay), uniform(-1, 1, delay) * robot.max_turn_rate]
        inputs["pending"] = np.stack(sent, axis=-1)
    if movers:
        bound = uniform(0, 1.5 * robot.max_speed, movers)
        course, share = uniform(-np.pi, np.pi, movers), uniform(0, 1, movers)
        moving = np.stack([share * bound * np.cos(course), share * bound * np.sin(course), bound], axis=-1)
        inputs["discs"], rows = table[:, :-movers], table[:, -movers:]
        # What is padding stays so: NaN with anything is NaN, and a row of zeros is taken whole.
        inputs["movers"] = np.concatenate([rows, np.where(rows[..., 2:] > 0, moving, rows[..., 2:])], axis=-1)
    if edges:
        inputs["edges"] = _edges(random, pose, half, robot.radius, clearance, kind, edges)
    if ways:
        met = opponent[:, :2] + uniform(-1, 1, 2)
        inputs["ways"] = np.stack([_way(random, pose, end, half) for end in (opponent[:, :2], met)], axis=1)
    _spoil(inputs, np.flatnonzero(kind == 6), random)
    return States(inputs, np.asarray(KINDS)[kind])


def _way(random: np.random.Generator, pose: np.ndarray, end: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Straight, or by any place."""
    straight = random.random(len(pose)) < 0.3
    first = np.where(straight[:, None], end, random.uniform(-1, 1, (len(pose), 2)) * half)
    least = np.linalg.norm(first - pose[:, :2], axis=1) + np.linalg.norm(end - first, axis=1)
    return np.concatenate([first, (least * np.where(straight, 1, random.uniform(1, 2, len(pose))))[:, None]], axis=1)


def _edges(
    random: np.random.Generator,
    pose: np.ndarray,
    half: np.ndarray,
    radius: float,
    clearance: np.ndarray,
    kind: np.ndarray,
    edges: int,
) -> np.ndarray:
    """(samples, edges, 4): segments, of which many begin where another one ends, as the sides of a polygon do."""
    count = len(pose)
    start = random.uniform(-1, 1, (count, edges, 2)) * half
    for row in range(1, edges):
        goes_on = random.random(count) < 0.5
        start[goes_on, row] = start[goes_on, row - 1] + random.normal(0, 0.2 * half, (count, 2))[goes_on]
    end = start + random.normal(0, 0.2 * half, (count, edges, 2))
    linked = random.random((count, edges - 1)) < 0.5
    end[:, :-1] = np.where(linked[..., None], start[:, 1:], end[:, :-1])

    # The first edge at this clearance from the body, and where the body is among a crowd all of them: the nearest point
    # is an end of the edge, or between its ends.
    near = np.isin(kind, (1, 2, 3))[:, None] & (np.arange(edges) == 0) | (kind == 4)[:, None]
    gap = np.where((kind == 4)[:, None], random.uniform(0, 0.2, (count, edges)), clearance[:, None])
    bearing = random.uniform(-np.pi, np.pi, (count, edges))
    out = np.stack([np.cos(bearing), np.sin(bearing)], axis=-1)
    foot = pose[:, None, :2] + (radius + gap)[..., None] * out
    along = np.stack([-out[..., 1], out[..., 0]], axis=-1)
    before, after = random.uniform(0, 1, (2, count, edges, 1)) * (random.random((2, count, edges, 1)) < 0.7)
    start, end = (
        np.where(near[..., None], close, one)
        for one, close in ((start, foot - before * along), (end, foot + after * along))
    )
    rows = np.concatenate([start, end], axis=-1)
    absent = (kind == 5)[:, None] | (~near & (random.random((count, edges)) < 0.2))
    rows[absent] = np.where(random.random(absent.sum()) < 0.5, np.nan, 0)[:, None]
    return rows


def _spoil(inputs: dict[str, np.ndarray], rows: np.ndarray, random: np.random.Generator) -> None:
    """Put one strange number into each of these samples."""
    strange = [np.nan, np.inf, -np.inf, 1e300, -1e300, 1e30, 1e7, -1e7, 1e5, -1e5, 1e3, 1e-300, -1e-30, -0.0]
    for row in rows:
        array = inputs[random.choice(list(inputs))][row]
        array[tuple(random.integers(0, length) for length in array.shape)] = random.choice(strange)
