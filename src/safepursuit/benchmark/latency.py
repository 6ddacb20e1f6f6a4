"""Latency of one deterministic action: from the state of one game in NumPy to the safe control in NumPy."""

import contextlib
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from safepursuit.agents import Agent, Pilot, Trained, View
from safepursuit.benchmark import situations
from safepursuit.benchmark.clock import Pace, Report
from safepursuit.benchmark.tables import Table
from safepursuit.experiment import TrainConfig
from safepursuit.game import GameState
from safepursuit.learn import BarrierNetTrainer

CALLS, QUICK_CALLS, STATES = 100_000, 2_000, 256
_WARM_UP = 500

Act = Callable[[GameState], np.ndarray]


def measure(pace: Pace, report: Report) -> dict[str, Any]:
    """Microseconds per call: median, 99th percentile, maximum."""
    calls = QUICK_CALLS if pace.quick else CALLS
    found = {}
    for robot, after in (("unicycle", ""), ("inertial", ", inertial robot")):
        config = TrainConfig().with_robot(robot)
        policy = BarrierNetTrainer(config).policy
        agent = Trained(policy, config.shield)
        states = close_states(config)
        ways: dict[str, Act] = {
            "`Pilot`": Pilot(agent, config.game),
            "jitted `Agent.act`": _plain(agent, config),
        }
        for name, way in ways.items():
            report(name + after)
            found[name + after] = percentiles(way, states, calls)
        with contextlib.suppress(ModuleNotFoundError):  # needs the extra [export]
            report(f"exported file{after}")
            found[f"exported file{after}"] = _exported(policy, config, calls)
    return {"calls": calls, "discs": config.game.arena.obstacles, "ways": found}


def percentiles(way: Callable[[Any], Any], states: Sequence[Any], calls: int) -> dict[str, float]:
    """Median, 99th percentile and maximum [µs] over `calls` calls, with the states in turn."""
    for i in range(_WARM_UP):
        way(states[i % len(states)])
    taken = np.empty(calls)
    for i in range(calls):
        state = states[i % len(states)]
        start = time.perf_counter_ns()
        way(state)
        taken[i] = time.perf_counter_ns() - start
    p50, p99 = (float(value) for value in np.quantile(taken, [0.5, 0.99]))
    return {"p50_us": 1e-3 * p50, "p99_us": 1e-3 * p99, "max_us": 1e-3 * float(taken.max())}


def close_states(config: TrainConfig) -> list[GameState]:
    """Single games in NumPy, both robots near a boundary."""
    many = situations.states(jax.random.key(0), config.game, config.game.arena.obstacles, STATES)
    arrays = jax.tree.map(np.asarray, many)
    return [jax.tree.map(lambda leaf, i=i: np.ascontiguousarray(leaf[..., i]), arrays) for i in range(STATES)]


def tables(found: dict[str, Any]) -> list[Table]:
    lines = [
        (name, *(f"{row[one]:,.0f}" for one in ("p50_us", "p99_us", "max_us"))) for name, row in found["ways"].items()
    ]
    text = (
        f"Microseconds from the state of one game with {found['discs']} discs to the control, network and safety layer "
        f"included, both in NumPy: {found['calls']:,} single calls from Python, robots at close quarters. `Pilot` is "
        "the policy compiled ahead, behind one packed array; the next line calls the function that evaluations use. "
        "*Exported file*: the ONNX model of `safepursuit export` in onnxruntime on one thread, in double precision, "
        "one state again and again (only with the extra `[export]`)."
    )
    return [Table("Latency of one action", ("call", "median", "p99", "longest"), lines, text)]


def _plain(agent: Agent, config: TrainConfig) -> Act:
    compiled = jax.jit(lambda agent, key, state: agent.act(None, key, View(state, config.game, "pursuer"))[0].control)
    key = jax.random.key(0)
    return lambda state: np.asarray(compiled(agent, key, state))


def _exported(policy: Any, config: TrainConfig, calls: int) -> dict[str, float]:
    from safepursuit.adapters import onnx

    with tempfile.TemporaryDirectory(prefix="safepursuit-") as folder:
        file = Path(folder) / "pursuer.onnx"
        onnx.write(onnx.export(policy, config), file)
        times = onnx.latency(file, calls)
    return {name: float(times[name]) for name in ("p50_us", "p99_us", "max_us")}
