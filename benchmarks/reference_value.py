"""A pursuit whose value is known: `make bench-reference`.

usage: python benchmarks/reference_value.py [--steps N]

Two kinematic robots far from walls, without discs: the evader is slower, and both turn slowly enough that a pursuer
which runs straight at it loses time, but not so slowly that an evader which circles beside the pursuer is nearly safe:
there (1 rad/s) the value is steeper than any grid. The state reduces to the evader's pose (x, y, θ) in the pursuer's
frame (Isaacs 1965, the game of two cars). The value, the time to capture when both play well, follows by dynamic
programming on a grid, a semi-Lagrangian scheme (Falcone and Ferretti 2014):

    V(x) = Δ + min over the pursuer's controls of max over the evader's of V(x after Δ),    V ≤ 0 where it is captured

Here the evader knows the pursuer's choice, which makes V an upper value; with the two exchanged it is a lower one. The
players `optimal` of both roles look one step ahead with V, and take part in the package's own game. The page says how
much longer than the value lead-intercept, other scripts and a learned pursuer take.

The second game is a chase around one disc. A pursuer that turns at once and keeps to the shortest way g around the
disc shortens it by at least v − u per second, whatever an evader of speed u does, and so captures within
(g − capture radius)/(v − u). The evader that runs straight away from the near end of that way allows no more, but where
the way around the other side is nearly as short.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import shapely
from jax.scipy.ndimage import map_coordinates
from scipy.sparse import csr_array

from safepursuit.agents import Agent, Scripted, Trained
from safepursuit.benchmark.machine import about, described
from safepursuit.benchmark.tables import Table, grid
from safepursuit.compare import trainings
from safepursuit.evaluation.episodes import record
from safepursuit.evaluation.scenarios import Scenarios
from safepursuit.experiment import PPOConfig, TrainConfig, load_run, open_run
from safepursuit.experiment.opponents import find
from safepursuit.game import Game, initial
from safepursuit.geometry import length, wrap_angle
from safepursuit.players import EVADERS, PURSUERS, Sight
from safepursuit.players.course import around_discs, clear_of_boundaries
from safepursuit.players.player import steer
from safepursuit.process import keep_compiled_programs
from safepursuit.robot import Robot, Unicycle
from safepursuit.runs.folder import write_json, write_text
from safepursuit.scene import Arena

ROOT = Path(__file__).resolve().parents[1]
OUT, HOME = ROOT / "docs" / "benchmarks", ROOT / "build" / "reference"

GAME = Game(
    Arena(half_extents=(14.0, 14.0), obstacles=0),
    Unicycle(max_turn_rate=2.0),
    evader_speed_ratio=0.6,
    start_distance=(1.0, 4.0),
)
DISC = Game(Arena(half_extents=(10.0, 10.0), obstacles=1, radius_range=(1.0, 1.0)), evader_speed_ratio=0.6)
EPISODES = 1000
WAIT = 0.2
"""Δ, the step of the dynamic program [s]."""
LONGEST = 30.0
"""The horizon [s], where V is cut off."""


@dataclass(frozen=True)
class Value:
    """V on a grid; trilinear between its points, constant beyond them."""

    table: np.ndarray
    """(x, y, θ) [s]; the last θ repeats the first."""
    reach: float
    """x and y from −reach to reach [m]."""

    def __call__(self, x: Any, y: Any, heading: Any) -> jax.Array:
        """V [s] at poses of the evader in the pursuer's frame, arrays of one shape."""
        across, _, around = self.table.shape
        places = [(one + self.reach) / (2 * self.reach) * (across - 1) for one in (x, y)]
        turns = jnp.mod(heading, 2 * jnp.pi) / (2 * jnp.pi) * (around - 1)
        return map_coordinates(jnp.asarray(self.table), [*places, turns], order=1, mode="nearest")


def controls(robot: Unicycle) -> jax.Array:
    """(6, 2): stand or drive, left, straight or right."""
    return jnp.array(list(product((0.0, robot.max_speed), (-robot.max_turn_rate, 0.0, robot.max_turn_rate))))


def after(value: Callable[..., jax.Array], state: Any, pursuers: jax.Array, evaders: jax.Array) -> jax.Array:
    """`value` one step later, (pursuer's controls, evader's controls, …)."""
    worth = lambda one, two: value(*moved(state, one, two, WAIT))  # noqa: E731
    return jax.vmap(jax.vmap(worth, (None, 0)), (0, None))(pursuers, evaders)


def moved(state: Any, pursuer: jax.Array, evader: jax.Array, time: float) -> tuple[jax.Array, ...]:
    """The evader's pose in the pursuer's frame after both have driven exact arcs."""
    x, y, heading = state
    (v, turn), (u, other) = pursuer, evader
    x, y = x + _arc(u, other, heading, time)[0], y + _arc(u, other, heading, time)[1]
    back = _arc(v, turn, jnp.zeros_like(heading), time)
    x, y, angle = x - back[0], y - back[1], turn * time
    return (
        jnp.cos(angle) * x + jnp.sin(angle) * y,
        jnp.cos(angle) * y - jnp.sin(angle) * x,
        heading + (other - turn) * time,
    )


def _arc(speed: float, turn: float, heading: Any, time: float) -> tuple[Any, Any]:
    chord = speed * time * jnp.sinc(turn * time / 2 / jnp.pi)
    return chord * jnp.cos(heading + turn * time / 2), chord * jnp.sin(heading + turn * time / 2)


def solve(game: Game = GAME, reach: float = 7.0, across: int = 57, around: int = 25) -> tuple[Value, Value]:
    """The upper and the lower value, by iteration until nothing changes by more than a millisecond."""
    axis, turns = np.linspace(-reach, reach, across), np.linspace(0, 2 * np.pi, around)[:-1]
    state = np.meshgrid(axis, axis, turns, indexing="ij")
    pursuers, evaders = (controls(robot) for robot in game.robots)
    ahead = _interpolation(after(lambda *pose: jnp.stack(pose), state, pursuers, evaders), reach, state[0].shape)
    gap = (np.hypot(state[0], state[1]) - game.capture_radius).ravel()
    # Below 0 inside, so that interpolation is right at the edge for an evader that runs away.
    start = np.where(gap <= 0, gap / (game.robot.max_speed - game.evader.max_speed), LONGEST)
    values = []
    for informed in (lambda found: found.max(axis=1).min(axis=0), lambda found: found.min(axis=0).max(axis=0)):
        value, before = start, start + 1
        while np.abs(value - before).max() > 1e-3:
            best = informed((ahead @ value).reshape(len(pursuers), len(evaders), -1))
            value, before = np.where(gap <= 0, start, np.minimum(best + WAIT, LONGEST)), value
        table = value.reshape(state[0].shape)
        values.append(Value(np.concatenate([table, table[..., :1]], axis=2), reach))
    return values[0], values[1]


def _interpolation(poses: jax.Array, reach: float, shape: tuple[int, ...]) -> csr_array:
    """From V at the points of the grid to V at poses (pursuer's controls, evader's, 3, …), as a sparse matrix."""
    across, _, around = shape
    x, y, heading = np.moveaxis(np.asarray(poses, float), 2, 0).reshape(3, -1)
    places = [np.clip((one + reach) / (2 * reach) * (across - 1), 0, across - 1) for one in (x, y)]
    places.append(np.mod(heading, 2 * np.pi) / (2 * np.pi) * around)
    low = [
        np.minimum(np.floor(one).astype(int), most)
        for one, most in zip(places, (across - 2, across - 2, around), strict=True)
    ]
    points, weights = [], []
    for corner in product((0, 1), repeat=3):
        index = [first + step for first, step in zip(low, corner, strict=True)]
        points.append((index[0] * across + index[1]) * around + index[2] % around)
        parts = [np.abs(1 - step - (one - first)) for one, first, step in zip(places, low, corner, strict=True)]
        weights.append(np.prod(parts, axis=0))
    values, columns = (np.stack(one, axis=1).ravel() for one in (weights, points))
    rows = np.arange(0, values.size + 1, 8)
    return csr_array((values, columns, rows), shape=(x.size, int(np.prod(shape))))


def player(value: Value, game: Game, role: str) -> Callable[[Any, Sight, Robot], jax.Array]:
    """The player of a role that looks one step ahead with the value."""
    options = {"pursuer": controls(game.robot), "evader": controls(game.evader)}

    def optimal(key: Any, sight: Sight, robot: Robot) -> jax.Array:
        """Plays the value of the game without walls and discs, by dynamic programming."""
        pursuer, evader = (sight.own, sight.opponent) if role == "pursuer" else (sight.opponent, sight.own)
        gap, angle = evader[:2] - pursuer[:2], pursuer[2]
        x = jnp.cos(angle) * gap[0] + jnp.sin(angle) * gap[1]
        y = jnp.cos(angle) * gap[1] - jnp.sin(angle) * gap[0]
        state = x, y, wrap_angle(evader[2] - angle)
        worth = after(value, state, options["pursuer"], options["evader"])
        pursues = role == "pursuer"
        chosen = jnp.argmin(worth.max(axis=1), axis=0) if pursues else jnp.argmax(worth.min(axis=0), axis=0)
        return jnp.moveaxis(options[role][chosen], -1, 0)

    return optimal


def starts(game: Game, episodes: int) -> Scenarios:
    """The pursuer in the middle, the evader up to 4 m away, any headings."""
    distance, bearing, *headings = jax.random.uniform(jax.random.key(8), (4, episodes))
    turned = [2 * jnp.pi * one for one in (bearing, *headings)]
    low, high = game.start_distance
    away = low + (high - low) * distance
    here = jnp.stack([0 * away, 0 * away, turned[1]])
    return placed(game, here, jnp.stack([away * jnp.cos(turned[0]), away * jnp.sin(turned[0]), turned[2]]))


def placed(game: Game, *poses: jax.Array) -> Scenarios:
    """The robots at these poses (3, episodes), the pursuer's first; a disc, where there is one, in the middle."""
    episodes = poses[0].shape[1]
    states = initial(jax.random.key(7), game, episodes)
    robots = tuple(one._replace(pose=pose) for one, pose in zip(states.robots, poses, strict=True))
    scene = states.scene._replace(centre=0 * states.scene.centre)
    states = states._replace(robots=robots, scene=scene)
    return Scenarios(game, states, jax.random.split(jax.random.key(9), episodes))


def known(value: Value, scenarios: Scenarios) -> np.ndarray:
    """V [s] at the starts (episodes,)."""
    pursuer, evader = (one.pose for one in scenarios.states.robots)
    bearing = jnp.arctan2(evader[1], evader[0]) - pursuer[2]
    away = jnp.hypot(evader[0], evader[1])
    return np.asarray(value(away * jnp.cos(bearing), away * jnp.sin(bearing), evader[2] - pursuer[2]))


def away_along_the_way(key: Any, sight: Sight, robot: Robot) -> jax.Array:
    """Away from where the shortest way to the pursuer leads, around a disc in between."""
    course = -around_discs(sight.own[:2], sight.opponent[:2], sight.scene, robot)
    return steer(robot, sight.own, clear_of_boundaries(sight.own[:2], course, sight.scene, robot))


def starts_at_the_disc(game: Game, episodes: int) -> Scenarios:
    """The disc in the middle, both robots near it and out of reach of each other, any headings."""
    drawn = jax.random.uniform(jax.random.key(8), (6, 4 * episodes))
    near = game.arena.radius_range[1] + game.robot.radius + game.start_clearance
    poses = []
    for away, bearing, heading in (drawn[:3], drawn[3:]):
        r, angle = near + 1.2 * away, 2 * jnp.pi * bearing
        poses.append(jnp.stack([r * jnp.cos(angle), r * jnp.sin(angle), 2 * jnp.pi * heading]))
    apart = jnp.flatnonzero(length(poses[1][:2] - poses[0][:2]) > 2 * game.capture_radius)[:episodes]
    return placed(game, *(pose[:, apart] for pose in poses))


def within(scenarios: Scenarios) -> np.ndarray:
    """The time [s] within which a pursuer that turns at once captures around the disc (episodes,)."""
    game = scenarios.game
    here, there = (np.asarray(one.pose[:2], float) for one in scenarios.states.robots)
    rim = game.arena.radius_range[1] + game.robot.radius
    way = np.linalg.norm(here - there, axis=0)
    across = shapely.distance(shapely.linestrings(np.stack([here.T, there.T], axis=1)), shapely.Point(0, 0)) < rim
    distances = np.linalg.norm(here, axis=0), np.linalg.norm(there, axis=0)
    bearings = [np.arctan2(place[1], place[0]) for place in (here, there)]
    angle = np.abs(np.asarray(wrap_angle(jnp.asarray(bearings[0] - bearings[1]))))
    bent = angle - sum(np.arccos(rim / one) for one in distances)
    around = rim * bent + sum(np.sqrt(one**2 - rim**2) for one in distances)
    shortest = np.where(across, around, way)
    return (shortest - game.capture_radius) / (game.robot.max_speed - game.evader.max_speed)


Times = dict[str, dict[str, np.ndarray]]
"""Of each pursuer against each evader: seconds until capture (episodes,), the horizon where there was none."""


def times(pursuers: dict[str, Agent], evaders: tuple[str, ...], scenarios: Scenarios) -> Times:
    found: Times = {}
    for name, own in pursuers.items():
        for evader in evaders:
            played = record(own, find(evader, "evader", scenarios.game, shield=None), scenarios)
            seconds = (
                np.where(played.outcome == "capture", played.length, scenarios.game.horizon) * played.game.robot.dt
            )
            found.setdefault(name, {})[evader] = seconds
            print(f"{name} against {evader}: {seconds.mean():.2f} s", flush=True)
    return found


def learned(steps: int) -> Trained:
    """A BarrierNet, trained against the optimal evader and flight, or gone on with."""
    config = TrainConfig(game=GAME, evader="optimal:3,flee:1", timesteps=steps, seed=0, ppo=PPOConfig(discount=0.99))
    run = trainings.begin(HOME / f"learned-{steps}", config, ["python", "benchmarks/reference_value.py"])
    if not trainings.finished(run.path, config):
        trainings.go_on(run, [lambda row: print(f"{row['steps']:,.0f} steps, {row['pursuit/capture_time']:.2f} s")])
    return load_run(run).agent


def compared(found: Times, least: np.ndarray, against: str, last: str) -> str:
    """A table; its last column says how much longer than `least` each takes, start by start."""

    def cell(seconds: np.ndarray) -> str:
        half = 1.96 * seconds.std() / np.sqrt(seconds.size)
        return f"{seconds.mean():.2f} ± {half:.2f} s".replace("-", "−")

    rows = [(name, *map(cell, each.values()), cell(each[against] - least)) for name, each in found.items()]
    return grid(Table("", ("pursuer", *next(iter(found.values())), last), rows, left=1))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=2_000_000)
    steps = parser.parse_args().steps
    keep_compiled_programs()
    (upper, below), (coarse, _) = solve(), solve(across=29, around=13)
    PURSUERS.add("optimal")(player(upper, GAME, "pursuer"))
    EVADERS.add("optimal")(player(upper, GAME, "evader"))
    EVADERS.add("away along the way")(away_along_the_way)

    def scripted(*names: str) -> dict[str, Agent]:
        return {name: Scripted(name, None) for name in names}

    two_cars, disc = starts(GAME, EPISODES), starts_at_the_disc(DISC, EPISODES)
    value, least, rough = (known(one, two_cars) for one in (upper, below, coarse))
    pursuers = scripted("optimal", "lead-intercept", "constant-bearing", "pure-pursuit")
    pursuers[f"barriernet, {steps / 1e6:g} M steps"] = learned(steps)
    open_field = times(pursuers, ("optimal", "flee", "run"), two_cars)
    pursuers = scripted("tangent-pursuit", "lead-intercept")
    pursuers["zoo:pursuer"] = load_run(open_run("zoo:pursuer")).agent
    around = times(pursuers, ("away along the way", "flee", "orbit", "hide"), disc)
    facts = about()
    figures = {
        "value": float(value.mean()),
        "lower_value": float(least.mean()),
        "coarse_value": float(rough.mean()),
        "at_the_disc_within": float(within(disc).mean()),
        "times": {
            name: {evader: float(one.mean()) for evader, one in each.items()}
            for name, each in (open_field | {f"{name}, one disc": each for name, each in around.items()}).items()
        },
        "episodes": EPISODES,
        "machine": facts,
    }
    write_json(OUT / "reference_value.json", figures)
    tables = (
        compared(open_field, value, "optimal", "longer than the value"),
        compared(around, within(disc), "away along the way", "longer than the bound"),
    )
    write_text(OUT / "reference_value.md", page(*tables, figures, described(facts)))


def page(open_field: str, around: str, figures: dict[str, Any], machine: str) -> str:
    robot = GAME.robot
    return f"""# How far from optimal: pursuits whose value is known

Written by `make bench-reference` (`benchmarks/reference_value.py`); do not edit by hand. Seconds to capture, means of
{EPISODES:,} episodes with 95 % intervals, the same starts for all; an episode without capture counts as {LONGEST:g} s.
The columns between are evaders.

## Two cars in the open

Without walls in reach and without discs, the state of the game is the evader's pose in the pursuer's frame, and dynamic
programming gives the time to capture when both play well. Both robots turn at up to {robot.max_turn_rate:g} rad/s, the
pursuer drives up to {robot.max_speed:g} m/s, the evader {GAME.evader.max_speed:g} m/s; capture at
{GAME.capture_radius:g} m, starts {GAME.start_distance[0]:g} to {GAME.start_distance[1]:g} m apart in all directions.

Value at these starts, in the mean: {figures["value"]:.2f} s (evader informed), {figures["lower_value"]:.2f} s (pursuer
informed), {figures["coarse_value"]:.2f} s on a grid half as fine. What the pair of optimal players takes in the
package's own game beyond the value is the error of grid and step.

{open_field}

The last column is against the optimal evader, start by start. That evader expects an optimal pursuer, and another one
may do worse against another evader: the column is a lower bound of how far a pursuer is from optimal.

## Around one disc

A disc of radius {DISC.arena.radius_range[1]:g} m, the evader at {DISC.evader_speed_ratio:g} times the pursuer's speed,
both near the disc. A pursuer that turns at once and keeps to the shortest way around the disc captures any evader
within (way − capture radius)/(difference of the speeds), here {figures["at_the_disc_within"]:.2f} s in the mean. The
evader *away along the way* runs straight away from the near end of that way, and allows no more but where the way
around the other side is nearly as short. What a pursuer takes longer is turning, distance kept from the disc, and what
it does wrong.

{around}

{machine}
"""


if __name__ == "__main__":
    main()
