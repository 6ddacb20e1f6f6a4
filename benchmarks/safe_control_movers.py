"""Our shield beside safe_control's C3BF and DPCBF among up to 100 movers. Run by `make bench-safe-control-movers`.

Same starts, goals and movers for all. The peers drive the kinematic bicycle of their dynamic_env, stepped by their own
code, with their barriers, gains and nominal controller; their program, which takes Gurobi, is solved exactly here. Ours
drives a robot with inertia of the same radius, top speed and acceleration that turns no faster than the bicycle at 1
m/s. It can stop, which the bicycle, never below 0.2 m/s, cannot. Contacts follow from the straight motions of robot and
movers within each step, in closed form. Writes
docs/benchmarks/safe_control_movers.md and .json; what is there already is kept, so that an interrupted run goes on.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import binomtest

from safepursuit import shield as safety
from safepursuit.benchmark.machine import about, described
from safepursuit.benchmark.tables import Table, grid
from safepursuit.robot import Inertial
from safepursuit.runs.folder import read_json, write_json, write_text
from safepursuit.scene import Movers, Scene

OUT = Path(__file__).resolve().parent.parent / "docs" / "benchmarks"
DT, HORIZON, REACHED = 0.05, 800, 0.3
"""Step [s], steps until time-out, distance [m] at which a goal is reached."""
HALF = np.array([11.0, 7.5])
"""Half the field of its example [m], in which the movers stay."""
BODY, MOVER, SPEED = 0.3, 0.3, 0.5
"""Radii of robot and movers [m], and the highest speed of movers [m/s]."""
NEAREST, ALPHA = 10, 1.5
"""Obstacles in the peers' program, and its gain: theirs."""
TURNS = {"straight on": 0.0, "turning": 0.02}
"""How the movers go, and the probability per step that one takes another direction."""
ROBOT = Inertial(BODY, 3.5, 1.5, DT, acceleration=5.0, braking=5.0, turn_acceleration=30.0)
LAYER = replace(safety.fitting(ROBOT, (14.0, 14.0)), offset=0.2)


class Scenario(NamedTuple):
    start: np.ndarray
    """(3,) x, y, heading; at 1 m/s for the bicycle, as in its example, at rest for ours."""
    goal: np.ndarray
    tracks: np.ndarray
    """(steps + 1, movers, 2)"""


def scenario(seed: int, movers: int, turns: float) -> Scenario:
    """From one side of the field to the other; movers of constant speed, clear of the start, reflected at the edges."""
    rng = np.random.default_rng(seed)
    start, goal = np.array([-10.0, rng.uniform(-4, 4)]), np.array([10.0, rng.uniform(-4, 4)])
    place = rng.uniform(-HALF, HALF, (movers, 2))
    while (near := np.hypot(*(place - start).T) < 2.0).any():
        place[near] = rng.uniform(-HALF, HALF, (near.sum(), 2))
    angle, pace = rng.uniform(-np.pi, np.pi, movers), DT * SPEED * rng.uniform(0.4, 1.0, movers)
    tracks = [place]
    for _ in range(HORIZON):
        angle = np.where(rng.random(movers) < turns, rng.uniform(-np.pi, np.pi, movers), angle)
        step = pace[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        out = np.abs(tracks[-1] + step) > HALF
        step = np.where(out, -step, step)
        angle = np.arctan2(step[:, 1], step[:, 0])
        tracks.append(tracks[-1] + step)
    return Scenario(np.array([*start, np.arctan2(*(goal - start)[::-1])]), goal, np.array(tracks))


def least_distance(before: np.ndarray, after: np.ndarray, movers: np.ndarray, later: np.ndarray) -> float:
    """Clearance [m] of the robot from the movers in a step, all motions straight and even."""
    gap, change = before - movers, (after - before) - (later - movers)
    square = np.sum(change**2, axis=-1)
    share = np.clip(-np.sum(gap * change, axis=-1) / np.where(square > 0, square, 1), 0, 1)
    return float(np.hypot(*(gap + share[:, None] * change).T).min()) - BODY - MOVER


def nearest_control(wanted: np.ndarray, rows: np.ndarray, limits: np.ndarray) -> np.ndarray | None:
    """argmin ‖u − wanted‖² subject to rows (n, 3) a·u + b ≥ 0 and |u| ≤ limits; None where there is none.

    All candidates: the wanted point, its foot on each line, each corner of two lines.
    """
    box = np.array([[1, 0, limits[0]], [-1, 0, limits[0]], [0, 1, limits[1]], [0, -1, limits[1]]])
    lines = np.concatenate([rows, box])
    normal, offset = lines[:, :2], lines[:, 2]
    size = np.hypot(*normal.T)
    lines = lines[size > 1e-12] / size[size > 1e-12, None]
    normal, offset = lines[:, :2], lines[:, 2]
    feet = wanted - (normal @ wanted + offset)[:, None] * normal
    one, two = np.triu_indices(len(lines), 1)
    cross = normal[one, 0] * normal[two, 1] - normal[one, 1] * normal[two, 0]
    usable = np.abs(cross) > 1e-12
    one, two, cross = one[usable], two[usable], cross[usable]
    corners = (
        np.stack(
            [
                offset[two] * normal[one, 1] - offset[one] * normal[two, 1],
                offset[one] * normal[two, 0] - offset[two] * normal[one, 0],
            ],
            axis=-1,
        )
        / cross[:, None]
    )
    points = np.concatenate([wanted[None], feet, corners])
    inside = (points @ normal.T + offset >= -1e-7).all(axis=1)
    if not inside.any():
        return None
    points = points[inside]
    return points[np.argmin(np.sum((points - wanted) ** 2, axis=1))]


def peer(kind: Callable[..., Any], model: str, game: Scenario) -> dict[str, Any]:
    """One run: it ends at the goal, at the first contact or where the program has no solution, as theirs does."""
    spec = {"model": model, "a_max": 5.0, "radius": BODY}
    robot = kind(DT, spec)
    limits = np.array([spec["a_max"], spec["beta_max"]])
    state = np.array([*game.start, 1.0])[:, None]
    for step in range(HORIZON):
        movers, later = game.tracks[step], game.tracks[step + 1]
        velocity = (later - movers) / DT
        close = np.argsort(np.hypot(*(movers - state[:2, 0]).T))[:NEAREST]
        rows = []
        for index in close:
            h, slope = robot.agent_barrier(state, np.array([*movers[index], MOVER, *velocity[index]]), BODY)
            rows.append([*(slope @ robot.g(state))[0], float((slope @ robot.f(state))[0, 0] + ALPHA * h)])
        control = nearest_control(robot.nominal_input(state, game.goal).ravel(), np.array(rows), limits)
        if control is None:
            return {"end": "infeasible", "steps": step}
        after = robot.step(state.copy(), control[:, None])
        if least_distance(state[:2, 0], after[:2, 0], movers, later) < 0:
            return {"end": "contact", "steps": step}
        state = after
        if np.hypot(*(state[:2, 0] - game.goal)) < REACHED:
            return {"end": "goal", "steps": step + 1}
    return {"end": "time-out", "steps": HORIZON}


@partial(jax.jit, static_argnames="bound")
def _ours(start: jax.Array, goal: jax.Array, tracks: jax.Array, bound: float) -> tuple[jax.Array, jax.Array]:
    """Poses and velocities after each step; games on the trailing axis."""
    count = tracks.shape[2]
    radius, there = jnp.full(tracks.shape[2:], MOVER), jnp.ones(tracks.shape[2:], bool)
    speed, half = jnp.full(count, bound), jnp.full(2, 14.0)

    def step(carry: Any, now: Any) -> Any:
        pose, velocity = carry
        place, moved = now
        scene = Scene(half, place, radius, there, None, Movers(moved / DT, speed))
        gap = goal - pose[:2]
        error = jnp.mod(jnp.arctan2(gap[1], gap[0]) - pose[2] + jnp.pi, 2 * jnp.pi) - jnp.pi
        far = jnp.hypot(*gap)
        wanted = jnp.stack([jnp.clip(0.5 * far * jnp.maximum(jnp.cos(error), 0), 0.2, 3.5), 2.0 * error])
        done = safety.filter(wanted, pose, scene, robot=ROBOT, shield=LAYER, velocity=velocity)
        reached = ROBOT.reach(done.control, velocity)
        after = ROBOT.step(pose, reached, velocity)
        return (after, reached), (after, reached)

    moved = jnp.diff(tracks, axis=0, prepend=tracks[:1])
    return jax.lax.scan(step, (start, jnp.zeros_like(goal)), (tracks[:-1], moved[:-1]))[1]


def ours(games: list[Scenario]) -> list[dict[str, Any]]:
    start, goal = (np.stack([getattr(game, part) for game in games], axis=-1) for part in ("start", "goal"))
    tracks = np.stack([game.tracks for game in games], axis=-1).transpose(0, 2, 1, 3)
    poses, velocities = (np.asarray(part, float) for part in _ours(*map(jnp.asarray, (start, goal, tracks)), SPEED))
    poses = np.concatenate([start[None], poses])
    velocities = np.concatenate([np.zeros((1, *velocities.shape[1:])), velocities])
    return [_judged(game, poses[..., one], velocities[..., one]) for one, game in enumerate(games)]


def _judged(game: Scenario, poses: np.ndarray, velocities: np.ndarray) -> dict[str, Any]:
    """Of a way on 16 chords per step; contact at rest does not end the run."""
    touched, moment = 0, (np.arange(16) + 0.5) / 16
    for step in range(HORIZON):
        before, after = velocities[step], velocities[step + 1]
        clearance = np.inf
        place, heading = poses[step, :2], poses[step, 2]
        share = np.arange(17) / 16
        turned = heading + DT * (before[1] * moment + 0.5 * (after[1] - before[1]) * moment**2)
        pace = DT / 16 * (before[0] + (after[0] - before[0]) * moment)
        way = place + np.concatenate(
            [np.zeros((1, 2)), np.cumsum(pace[:, None] * np.stack([np.cos(turned), np.sin(turned)], axis=-1), axis=0)]
        )
        movers, change = game.tracks[step], game.tracks[step + 1] - game.tracks[step]
        near = np.hypot(*(movers - place).T) < 1.5
        if near.any():
            for piece in range(16):
                here, later = (movers[near] + share[piece + part] * change[near] for part in (0, 1))
                clearance = min(clearance, least_distance(way[piece], way[piece + 1], here, later))
        if clearance < 0:
            if max(before[0], after[0]) > 0:
                return {"end": "contact", "steps": step, "touched": touched}
            touched += 1
        if np.hypot(*(poses[step + 1, :2] - game.goal)) < REACHED:
            return {"end": "goal", "steps": step + 1, "touched": touched}
    return {"end": "time-out", "steps": HORIZON, "touched": touched}


def row(name: str, found: list[dict[str, Any]]) -> tuple[str, ...]:
    ends = [one["end"] for one in found]
    goals, contacts = ends.count("goal"), ends.count("contact")
    interval = binomtest(goals, len(found)).proportion_ci(method="wilson")
    times = [DT * one["steps"] for one in found if one["end"] == "goal"]
    return (
        name,
        f"{goals / len(found):.0%} ({interval.low:.0%}–{interval.high:.0%})",
        f"{contacts}",
        f"{ends.count('infeasible')}",
        f"{ends.count('time-out')}",
        f"{np.median(times):.1f} s" if times else "–",
        f"{sum(one.get('touched', 0) > 0 for one in found)}",
    )


def peers(source: Path) -> dict[str, Callable[..., Any]]:
    """Its bicycles with their barriers; their folder is not among what pip installs."""
    sys.path.insert(0, str(source / "dynamic_env"))
    from kinematic_bicycle2D_c3bf import KinematicBicycle2D_C3BF
    from kinematic_bicycle2D_dpcbf import KinematicBicycle2D_DPCBF

    return {"safe_control, C3BF": KinematicBicycle2D_C3BF, "safe_control, DPCBF": KinematicBicycle2D_DPCBF}


COLUMNS = ("", "goal reached (95 %)", "contacts", "no solution", "time-outs", "median time", "touched at rest")


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--runs", type=int, default=20, help="of each system, number of movers and kind")
    words.add_argument("--source", type=Path, required=True, help="a clone of safe_control")
    words.add_argument("--out", type=Path, default=OUT)
    options = words.parse_args()
    parts, systems = [], peers(options.source)
    file = options.out / "safe_control_movers.json"
    done: dict[str, list[dict[str, Any]]] = read_json(file) if file.is_file() else {}
    for kind, turns in TURNS.items():
        for movers in (20, 50, 100):
            rows = []
            for name in ("safepursuit, shield", *systems):
                cell = f"{movers} movers, {kind}, {name}"
                if len(done.get(cell, ())) < options.runs:
                    begun = time.monotonic()
                    games = [scenario(seed, movers, turns) for seed in range(options.runs)]
                    robot = systems.get(name)
                    done[cell] = [peer(robot, robot.__name__, one) for one in games] if robot else ours(games)
                    write_json(file, done)
                    print(f"{time.monotonic() - begun:.0f} s", row(cell, done[cell]), flush=True)
                rows.append(row(name, done[cell][: options.runs]))
            parts.append(f"## {movers} movers, {kind}\n\n{grid(Table('', COLUMNS, rows))}\n")
    text = f"""# Among movers: our shield beside C3BF and DPCBF

Written by `make bench-safe-control-movers` (`benchmarks/safe_control_movers.py`, {options.runs} runs each); do not edit
by hand.

A robot crosses a field of 22 m × 15 m, the one of safe_control's `dynamic_env`, among discs of {MOVER:g} m that move at
{0.4 * SPEED:g} to {SPEED:g} m/s and give way to nobody; *turning* ones take another direction every 2.5 s in the mean.
Starts, goals and movers are the same for all. The peers drive their bicycle with their barriers, gains and nominal
controller, and know the movers' present velocities. Ours drives a robot with inertia of the same radius (0.3 m), top
speed (3.5 m/s) and acceleration (5 m/s²), and uses only that no mover is faster than {SPEED:g} m/s. A run ends at the
goal, at the first contact while the robot moves, where a program has no solution, or after {HORIZON * DT:g} s. *Touched
at rest*: runs in which a mover ran into our robot while it stood; the bicycle never stands.

{chr(10).join(parts)}
{described(about())}
"""
    write_text(options.out / "safe_control_movers.md", text)


if __name__ == "__main__":
    main()
