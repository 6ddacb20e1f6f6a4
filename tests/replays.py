"""Recordings made up for the pages: long, crowded, and with every kind of event; nothing is compiled for them."""

from dataclasses import replace

import numpy as np

from safepursuit.game import Game
from safepursuit.play.recording import Recording
from safepursuit.scene import Arena, Edges

STEPS, DISCS = 600, 16

CROWD = replace(Game(), arena=replace(Arena(), obstacles=DISCS), horizon=STEPS)


def crowded(episodes=3, steps=STEPS, seed=0):
    """Robots that wander through 16 discs, right through some of them; episode 0 lasts `steps` steps, the others less.

    Numbers are those of single precision, as played ones are."""
    random = np.random.default_rng(seed)
    half, dt = np.asarray(CROWD.arena.half_extents), CROWD.robot.dt
    length = np.concatenate([[steps], random.integers(steps // 3, steps, episodes - 1)])

    def control():
        speed = 0.5 + 0.5 * np.sin(np.arange(steps) / random.uniform(5, 40, (episodes, 1)))
        turn = 2.5 * np.sin(np.arange(steps) / random.uniform(3, 30, (episodes, 1)))
        return _single(np.stack([speed, turn], axis=-1))

    def poses(controls):
        heading = random.uniform(-3, 3, (episodes, 1)) + dt * np.cumsum(controls[..., 1], axis=1)
        way = np.cumsum(dt * controls[..., :1] * np.stack([np.cos(heading), np.sin(heading)], axis=-1), axis=1)
        place = random.uniform(-0.5, 0.5, (episodes, 1, 2)) * half + np.concatenate([0 * way[:, :1], way], axis=1)
        place = np.clip(place, 0.01 - half, half - 0.01)
        turned = np.concatenate([heading[:, :1], heading], axis=1)
        return _single(np.concatenate([place, np.angle(np.exp(1j * turned))[..., None]], axis=-1))

    controls = control(), control()
    pursuer, evader = map(poses, controls)
    played = np.arange(steps) < length[:, None]
    stood = np.arange(steps + 1) <= length[:, None]
    intervened = played & (random.random(played.shape) < 0.2)
    active = (random.random((*played.shape, DISCS + 4)) < 0.1) & intervened[..., None]
    return Recording(
        pursuer=np.where(stood[..., None], pursuer, np.nan),
        evader=np.where(stood[..., None], evader, np.nan),
        pursuer_control=np.where(played[..., None], controls[0], np.nan),
        evader_control=np.where(played[..., None], controls[1], np.nan),
        nominal=np.where(played[..., None], _single(controls[0] + 0.1), np.nan),
        intervened=intervened,
        correction=np.where(played, random.random(played.shape), np.nan),
        infeasible=np.zeros_like(intervened),
        lost_gradient=intervened,
        active=active,
        discs=_single(
            np.concatenate(
                [random.uniform(-9, 9, (episodes, DISCS, 2)), random.uniform(0.3, 0.9, (episodes, DISCS, 1))], -1
            )
        ),
        edges=np.empty((episodes, 0, 4)),
        movers=np.empty((episodes, steps + 1, 0, 3)),
        length=length,
        outcome=np.resize(["timeout", "capture", "collision", "invalid"], episodes),
        game=CROWD,
    )


def roomy(scene="lab", steps=60):
    """An evader's run in a room of the gallery: what `crowded` makes, moved into it, walls or not."""
    one = crowded(1, steps)
    game = replace(Game(), arena=Arena(scene=scene), horizon=steps)
    room = game.arena.layout
    edges = Edges.of(room.segments, (room.outline, *room.polygons))
    walls = _single(np.concatenate([np.asarray(edges.start), np.asarray(edges.end)]).T[None])
    left, right, low, high = game.arena.bounds

    def within(poses):
        place = [left, low] + (poses[..., :2] / CROWD.arena.half_extents + 1) / 2 * [right - left, high - low]
        return _single(np.concatenate([place, poses[..., 2:]], axis=-1))

    return replace(
        one,
        pursuer=within(one.pursuer),
        evader=within(one.evader),
        active=np.zeros((1, steps, len(room.discs) + 4 + walls.shape[1]), bool),
        discs=_single(room.discs[None]),
        edges=walls,
        game=game,
        role="evader",
    )


def _single(array):
    return array.astype(np.float32).astype(np.float64)
