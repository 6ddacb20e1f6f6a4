"""Our shield beside safe_control's gatekeeper and MPC-CBF, on its dynamic unicycle. Run by `make bench-safe-control`.

All drive the peer's own robot, stepped by the peer's own code, from the same starts among the same discs to the same
goals: first with the true pose, then with one that is measured with an error. Contacts are judged by shapely, which is
neither's. Writes docs/benchmarks/safe_control.md and .json; scenarios that are there already are kept, so that an
interrupted run goes on.

The shield takes the robot as it is. Within a step it drives straight with the speed v of its beginning, then takes
speed and heading (v′, θ + ωΔ): between the middles of two such stretches it drives vΔ/2 along the old heading and v′Δ/2
along the new one, which is a sum as theorem 3 wants it (docs/theory.md §5.2). So the shield is told the middle of the
stretch that is under way, a turn rate of 0, and a turning acceleration of ω̄/Δ.
"""

import os

# One core and one thread for all libraries, set before they start their own.
os.environ["OMP_NUM_THREADS"] = "1"
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import shapely
from safe_control.robots.dynamic_unicycle2D import DynamicUnicycle2D
from safe_control.shielding.gatekeeper import Gatekeeper
from safe_control.tracking import LocalTrackingController
from scipy.stats import binomtest

from safepursuit import shield
from safepursuit.benchmark.machine import about, described
from safepursuit.benchmark.tables import Table, grid, number
from safepursuit.players.course import around_discs
from safepursuit.robot import Budget, Inertial
from safepursuit.runs.folder import read_json, write_json, write_text
from safepursuit.scene import Scene
from safepursuit.shield import Shield

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "docs" / "benchmarks"
PINNED = ROOT / "benchmarks" / "requirements-safe-control-no-deps.txt"

DT, HORIZON = 0.05, 800
"""Step [s], and steps until time-out."""
SPEC = {"model": "DynamicUnicycle2D", "radius": 0.25, "v_max": 1.0, "a_max": 1.0, "w_max": 0.5}
"""The robot of its own example (examples/test_tracking.py): metres, seconds, radians."""
STUCK = 100
"""Steps at one place, to the millimetre, after which a robot counts as one that will not reach."""
REACHED = 0.3
"""Distance [m] at which its tracker counts a goal as reached."""
DISCS = 10
"""As many as its MPC-CBF takes into account."""
ROBOT = Inertial(
    *(SPEC["radius"], SPEC["v_max"], SPEC["w_max"], DT),
    acceleration=SPEC["a_max"],
    braking=SPEC["a_max"],
    turn_acceleration=SPEC["w_max"] / DT,
)


class Scenario(NamedTuple):
    start: np.ndarray
    """(4,) x, y, heading towards the goal, speed 0."""
    goal: np.ndarray
    """(2,)"""
    discs: np.ndarray
    """(discs, 3) x, y, radius."""


EXACT, ERROR = Budget(), Budget(pose=0.02, heading=0.02)
"""Of the measured pose [m, rad]."""
WANDER = 0.2
"""By which the direction of an error turns per step [rad], one standard deviation: it keeps for about a second."""

Controller: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""From the state (4,) to acceleration and turn rate (2,), before they are cut off at the limits."""


def scenario(seed: int) -> Scenario:
    """A goal 9 m ahead, and between it and the start discs of 0.2 to 0.6 m with gaps of 0.7 m or more."""
    rng = np.random.default_rng(seed)
    start, goal = (np.array([x, rng.uniform(-1.5, 1.5)]) for x in (-4.5, 4.5))
    placed: list[np.ndarray] = []
    tries = 0
    while len(placed) < DISCS:
        tries += 1
        disc = np.array([*rng.uniform((-4.0, -3.0), (4.0, 3.0)), rng.uniform(0.2, 0.6)])
        ends = [np.hypot(*(disc[:2] - end)) - disc[2] - SPEC["radius"] for end in (start, goal)]
        gaps = [np.hypot(*(disc[:2] - one[:2])) - disc[2] - one[2] for one in placed]
        if min(ends) > 0.6 and min(gaps, default=1.0) > 0.7:
            placed.append(disc)
        elif tries % 1000 == 0:
            placed = []
    return Scenario(np.array([*start, np.arctan2(*(goal - start)[::-1]), 0.0]), goal, np.array(placed))


def errors(seed: int, budget: Budget) -> np.ndarray:
    """(HORIZON, 4) errors of a measured state: that of the position has its full size in a direction that wanders, as a
    localisation drifts, and so has that of the heading; the speed is exact."""
    turned = np.cumsum(np.random.default_rng([seed, 1]).normal(0, WANDER, (HORIZON, 2)), axis=0)
    first, second = (turned + np.random.default_rng([seed, 2]).uniform(0, 2 * np.pi, 2)).T
    none = np.zeros(HORIZON)
    return np.stack(
        [budget.pose * np.cos(first), budget.pose * np.sin(first), budget.heading * np.cos(second), none], axis=1
    )


def limited(state: np.ndarray, control: np.ndarray) -> np.ndarray:
    """Cut off at the limits of acceleration, turn rate and speed."""
    rate = np.clip(control[0], -SPEC["a_max"], SPEC["a_max"])
    rate = np.clip(state[3] + rate * DT, -SPEC["v_max"], SPEC["v_max"]) - state[3]
    return np.array([rate / DT, np.clip(control[1], -SPEC["w_max"], SPEC["w_max"])])


def to_goal(robot: DynamicUnicycle2D, goal: np.ndarray) -> Controller:
    """Its own nominal controller, which knows no discs."""
    return lambda state: robot.nominal_input(state[:, None], goal).ravel()


def nominal(game: Scenario) -> Controller:
    return to_goal(DynamicUnicycle2D(DT, dict(SPEC)), game.goal)


def mpc_cbf(game: Scenario, budget: Budget) -> Controller:
    """Its MPC-CBF with its gains, horizon and choice of obstacles."""
    discs = np.hstack([game.discs, np.zeros((len(game.discs), 4))])
    tracker = LocalTrackingController(
        game.start[:, None], dict(SPEC), {"pos": "mpc_cbf"}, DT, env=SimpleNamespace(obs_circle=discs)
    )

    def act(state: np.ndarray) -> np.ndarray:
        tracker.robot.X, tracker.robot.yaw = state[:, None], state[2]
        near = tracker.get_nearest_unpassed_obs([], obs_num=tracker.num_constraints)
        asked = {"state_machine": "track", "u_ref": None, "goal": game.goal}
        return np.asarray(tracker.pos_controller.solve_control_problem(tracker.robot.X, asked, near)).ravel()

    return act


class _Backup:
    """Full braking, straight on: the shortest stop of this robot."""

    def compute_control(self, state: np.ndarray, target: Any = None) -> np.ndarray:
        return np.array([-np.clip(state[3, 0] / DT, -SPEC["a_max"], SPEC["a_max"]), 0.0])


class _Discs:
    """What its gatekeeper asks of an environment."""

    def __init__(self, discs: np.ndarray) -> None:
        self.discs = discs

    def check_obstacle_collision(self, position: np.ndarray, radius: float) -> tuple[bool, None]:
        apart = np.hypot(position[0] - self.discs[:, 0], position[1] - self.discs[:, 1])
        return bool((apart < self.discs[:, 2] + radius).any()), None


def gatekeeper(game: Scenario, budget: Budget) -> Controller:
    """Its gatekeeper around the nominal controller, asked at every step, as in both of its examples."""
    robot = DynamicUnicycle2D(DT, dict(SPEC))
    wanted = to_goal(robot, game.goal)
    keeper = Gatekeeper(robot, dict(SPEC), DT, backup_horizon=2.0, event_offset=DT)
    keeper.n_states, keeper.n_controls = 4, 2  # it takes every robot that it does not know for its car
    keeper.set_nominal_controller(lambda state: limited(state.ravel(), wanted(state.ravel())))
    keeper.set_backup_controller(_Backup())
    keeper.set_environment(_Discs(game.discs))
    return lambda state: keeper.solve_control_problem(state).ravel()


def _scene(discs: jax.Array) -> Scene:
    discs = discs.reshape(3, -1)
    return Scene(jnp.full(2, 10.0), discs[:2], discs[2], jnp.ones(discs.shape[1], bool))


@jax.jit
def _course(numbers: jax.Array) -> jax.Array:
    """From position, goal and discs the direction to head in."""
    return around_discs(numbers[:2], numbers[2:4], _scene(numbers[4:]), ROBOT)


@partial(jax.jit, static_argnames="budget")
def _shielded(numbers: jax.Array, budget: Budget) -> jax.Array:
    """Packed, because each argument of a compiled call costs microseconds: nominal, pose, velocity, discs."""
    wanted, pose, now = numbers[:2], numbers[2:5], numbers[5:7]
    scene = _scene(numbers[7:])
    return shield.filter(wanted, pose, scene, robot=ROBOT, shield=Shield(budget=budget), velocity=now).control


def ours(game: Scenario, budget: Budget) -> Controller:
    """Our shield, with its defaults and the errors declared, around the nominal controller."""
    return shielded(game, nominal(game), budget)


def around(game: Scenario, budget: Budget) -> Controller:
    """The same shield around the same controller, which heads along the tangent of the first disc in the way, by the
    rule of the scripted pursuers."""
    robot, discs = DynamicUnicycle2D(DT, dict(SPEC)), game.discs.T.ravel()

    def wanted(state: np.ndarray) -> np.ndarray:
        course = np.asarray(_course(np.concatenate([state[:2], game.goal, discs]).astype(np.float32)), float)
        return to_goal(robot, state[:2] + np.hypot(*(game.goal - state[:2])) * course)(state)

    return shielded(game, wanted, budget)


def shielded(game: Scenario, wanted: Controller, budget: Budget) -> Controller:
    discs = game.discs.T.ravel()
    # The middle of a stretch is told along the measured heading.
    budget = replace(budget, pose=budget.pose + 0.5 * SPEC["v_max"] * DT * budget.heading)

    def act(state: np.ndarray) -> np.ndarray:
        x, y, heading, v = state
        rate, turn_rate = limited(state, wanted(state))
        middle = 0.5 * v * DT
        pose = x + middle * np.cos(heading), y + middle * np.sin(heading), heading
        numbers = np.concatenate([(v + rate * DT, turn_rate, *pose, v, 0.0), discs])
        safe = np.asarray(_shielded(numbers.astype(np.float32), budget), float)
        return np.array([(safe[0] - v) / DT, safe[1]])

    return act


System: TypeAlias = Callable[[Scenario, Budget], Controller]


def larger(system: System) -> System:
    """A system that is told of discs larger by the error of the position: what a user of the peer can declare."""
    margin = np.array([0.0, 0.0, ERROR.pose])
    return lambda game, budget: system(game._replace(discs=game.discs + margin), budget)


SYSTEMS: dict[str, System] = {
    "safepursuit, shield": ours,
    "safepursuit, shield, tangents": around,
    "safe_control, gatekeeper": gatekeeper,
    "safe_control, MPC-CBF": mpc_cbf,
}
"""The shield and the gatekeeper stand around the same nominal controller; with tangents, and by MPC, a way is found."""
WITH_ERROR = SYSTEMS | {
    "safe_control, gatekeeper, larger discs": larger(gatekeeper),
    "safe_control, MPC-CBF, larger discs": larger(mpc_cbf),
}


def driven(game: Scenario, prepare: System, budget: Budget = EXACT, seed: int = 0) -> dict[str, Any]:
    """One scenario, measured with errors within the budget: contacts are counted, but nothing is solid, so that who
    touches goes on."""
    plant, state = DynamicUnicycle2D(DT, dict(SPEC)), game.start
    way, times = [state[:2]], []
    with redirect_stdout(StringIO()):
        act = prepare(game, budget)
        for error in errors(seed, budget):
            measured = state + error
            begun = time.perf_counter()
            control = act(measured)
            times.append(time.perf_counter() - begun)
            state = plant.step(state[:, None], limited(state, control)[:, None]).ravel()
            way.append(state[:2])
            still = len(way) > STUCK and np.hypot(*(way[-1 - STUCK] - state[:2])) < 1e-3
            if still or np.hypot(*(state[:2] - game.goal)) < REACHED:
                break
    room = clearances(np.array(way), game.discs)
    return {
        "reached": bool(np.hypot(*(state[:2] - game.goal)) < REACHED),
        "seconds": len(times) * DT,
        "clearance": float(room.min()),
        "steps": len(times),
        "contacts": int((room < -1e-9).sum()),
        # Without the first one, in which something may be compiled.
        "milliseconds": [1e3 * float(np.quantile(times[1:], share)) for share in (0.5, 0.99)],
    }


def clearances(way: np.ndarray, discs: np.ndarray) -> np.ndarray:
    """Least distance [m] of the body from the discs in each step, along the straight line that it drives."""
    stretches = shapely.linestrings(np.stack([way[:-1], way[1:]], axis=1))
    if not len(discs):
        return np.full(len(stretches), np.inf)
    apart = shapely.distance(stretches[:, None], shapely.points(discs[:, :2])[None])
    return (apart - discs[:, 2] - SPEC["radius"]).min(axis=1)


def row(name: str, found: list[dict[str, Any]], free: list[float]) -> tuple[str, ...]:
    """A line of the table; `free` are the times of the nominal controller without discs."""
    touched = sum(one["contacts"] > 0 for one in found)
    reached = sum(one["reached"] for one in found)
    bound = binomtest(touched, len(found)).proportion_ci(method="exact")
    share = binomtest(reached, len(found)).proportion_ci(method="wilson")
    took = [one["seconds"] if one["reached"] else HORIZON * DT for one in found]
    lost = np.mean(np.array(took) - np.array(free))
    median, slow = (float(np.median([one["milliseconds"][part] for one in found])) for part in (0, 1))
    clean = sum(one["reached"] and not one["contacts"] for one in found)
    return (
        name,
        f"{touched} ({bound.low:.1%}–{bound.high:.1%})",
        f"{1e3 * min(one['clearance'] for one in found):.2f} mm".replace("-", "−"),
        f"{reached / len(found):.1%} ({share.low:.1%}–{share.high:.1%})",
        f"{clean / len(found):.1%}",
        f"{lost:.1f} s",
        f"{number(median)} ({number(slow)})",
    )


def table(systems: Iterable[str], done: list[dict[str, Any]], *, timed: bool) -> str:
    """A line for each system, with the time of a step where asked for."""
    head = ("system", "touched (95 %)", "least clearance", "reached (95 %)", "reached untouched", "lost", "ms a step")
    free = [one["free"] for one in done]
    columns = len(head) if timed else -1
    return grid(Table("", head[:columns], [row(name, [one[name] for one in done], free)[:columns] for name in systems]))


def page(result: dict[str, Any]) -> str:
    done, with_error = result["scenarios"], result["with_error"]
    peers = ", ".join(f"{name} {version(name)}" for name in ("safe_control", "do-mpc", "casadi", "numpy"))
    return f"""# The shield beside safe_control

Written by `make bench-safe-control` (`benchmarks/safe_control_peers.py`); do not edit by hand.

[safe_control](https://github.com/tkkim-robot/safe_control) has safety filters for a robot with limits of acceleration.
All drive its dynamic unicycle, stepped by its own code: {SPEC["v_max"]:g} m/s, {SPEC["a_max"]:g} m/s²,
{SPEC["w_max"]:g} rad/s, radius {SPEC["radius"]:g} m, as in its example, in steps of {DT:g} s. There are {len(done)}
scenarios, the same for all: {DISCS} discs of 0.2 to 0.6 m with gaps of 0.7 m or more between a start and a
goal 9 m ahead, and {HORIZON * DT:g} s. The shield and the gatekeeper stand around the same controller, safe_control's
own drive to the goal, which knows no discs, and stands still where a disc is squarely in the way. Two find a way:
*tangents* is the shield around the same drive, aimed along the tangent of the first disc in the way, as the scripted
pursuers head; MPC-CBF plans by itself. Each has its defaults; the gatekeeper's backup is full braking, and it decides
at every step.

{table(SYSTEMS, done, timed=True)}

## With an error of the pose

The first {len(with_error)} of these scenarios again; but the position is measured with an error of {100 * ERROR.pose:g}
cm in a direction that wanders, as a localisation drifts, and the heading with one of up to {ERROR.heading:g} rad, the
same for all. The shield has this budget declared. The peers have none to declare; *larger discs* are told to them
larger by {100 * ERROR.pose:g} cm, as their user would do by hand.

{table(WITH_ERROR, with_error, timed=False)}

*Touched* counts scenarios in which the body entered a disc by more than 10⁻⁹ m on the straight line between two
positions, by shapely. Nothing is solid: who touches goes on, and may still reach. *Lost* is the mean time to the goal
beyond that of the same controller without discs; who does not reach it, or stands still for {STUCK * DT:g} s, counts
{HORIZON * DT:g} s. *ms a step* is the
time of a call for one robot, on one core: median (99th percentile), medians over scenarios. The shield is compiled by
JAX, the gatekeeper is NumPy, and MPC-CBF is CasADi with IPOPT.

{described(result["machines"]["scenarios"])}

With an error of the pose: {described(result["machines"]["with_error"])} Peers: {peers}, at {result["pinned"]}.
"""


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--scenarios", type=int, default=100)
    words.add_argument("--with-error", type=int, default=50, help="scenarios with an error of the pose")
    words.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many; another run goes on")
    words.add_argument("--out", type=Path, default=OUT)
    options = words.parse_args()
    file, until = options.out / "safe_control.json", time.monotonic() + 60 * options.minutes
    result: dict[str, Any] = read_json(file) if file.is_file() else {}
    result = {"scenarios": [], "with_error": [], "machines": {}} | result
    pinned = next(line for line in PINNED.read_text(encoding="utf-8").splitlines() if "@" in line)
    result |= {"robot": SPEC, "pinned": pinned.rsplit("@", 1)[1][:12]}
    warnings.filterwarnings("ignore")  # the peers' own
    facts = about()
    parts = ("scenarios", options.scenarios, EXACT, SYSTEMS), ("with_error", options.with_error, ERROR, WITH_ERROR)
    for part, count, budget, systems in parts:
        done = result[part]
        for seed in range(count):
            if seed and time.monotonic() > until:
                break
            if seed == len(done):
                done.append({"seed": seed})
            game, one = scenario(seed), done[seed]
            left = {name: prepare for name, prepare in systems.items() if name not in one}
            if not left:
                continue
            result["machines"][part] = facts
            one["free"] = driven(game._replace(discs=game.discs[:0]), lambda game, _: nominal(game))["seconds"]
            one |= {name: driven(game, prepare, budget, seed) for name, prepare in left.items()}
            told = [f"{one[name]['contacts']} contacts, {one[name]['seconds']:.1f} s" for name in left]
            print(f"{part} {seed}: {' | '.join(told)}", file=sys.stderr, flush=True)
            write_json(file, result)
    write_text(options.out / "safe_control.md", page(result))


if __name__ == "__main__":
    main()
