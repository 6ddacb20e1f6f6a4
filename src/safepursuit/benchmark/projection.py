"""The projection: alone, and as the safety layer uses it.

    alone       the rows lie ready; solution, or solution and gradient, are handed back
    in context  poses and scenes go in; survey and rows are built, projected and summed up in one program. XLA may fuse
                all of it, so that what a projection costs shows only as the difference from the same program without it

The rows are those of `shield.problem` for robots at close quarters among six discs: the box, then the nearest
boundaries, two rows each, as many as asked for. The nominal control is random, also beyond the actuator limits.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from safepursuit import robot as motion
from safepursuit import shield as safety
from safepursuit.benchmark import situations
from safepursuit.benchmark.clock import Pace, alternate, spread
from safepursuit.benchmark.tables import Table, grouped, ranged
from safepursuit.game import Game
from safepursuit.qp import Halfplanes, project
from safepursuit.robot import Unicycle
from safepursuit.scene import Scene
from safepursuit.shapes import Control, Pose
from safepursuit.shield import Shield

ROWS, BATCHES = (6, 10, 24), (1, 64, 1024, 16384)
QUICK_ROWS, QUICK_BATCHES = (10,), (1, 1024)
KINDS = ("forward", "forward + backward")
_DISCS = 6

ROBOT, SHIELD = Unicycle(), Shield()


class Inputs(NamedTuple):
    nominal: Control
    pose: Pose
    scene: Scene


def inputs(batch: int, discs: int = _DISCS) -> Inputs:
    """The same robots at close quarters every time."""
    key, control_key = jax.random.split(jax.random.key(0))
    state = situations.states(key, Game(), discs, batch)
    control = 1.5 * situations.random_controls(control_key, Game(), batch) - jnp.array([[0.25], [0.0]])
    return Inputs(control, state.pursuer, state.scene)


def problems(given: Inputs, rows: int) -> tuple[Float[Array, "2 batch"], Halfplanes]:
    """The first `rows` rows of each robot's program, and the nominal control in its coordinates."""
    whole = safety.problem(SHIELD, ROBOT, safety.survey(SHIELD, ROBOT, given.pose, given.scene))
    return motion.to_swing(ROBOT, given.nominal), Halfplanes(whole.A[:rows], whole.b[:rows])


def metric() -> Float[Array, "2"]:
    """That of the shield: displacements of the virtual control point."""
    return jnp.asarray([1.0, (SHIELD.offset / ROBOT.dt) ** 2], jnp.float32)


def forward(nominal: Float[Array, "2 batch"], rows: Halfplanes) -> Array:
    """The solutions."""
    return project(nominal, rows, metric()).u


def both(nominal: Float[Array, "2 batch"], rows: Halfplanes) -> tuple[Array, tuple[Array, Array, Array]]:
    """The solutions, and the gradient of their sum with respect to nominal, A and b."""
    u, pull = jax.vjp(lambda nominal, A, b: project(nominal, Halfplanes(A, b), metric()).u, nominal, *rows)
    return u, pull(jnp.ones_like(u))


def nothing(nominal: Float[Array, "2 batch"], rows: Halfplanes) -> tuple[Array, Halfplanes]:
    """The problems themselves."""
    return nominal, rows


def in_context(solve: Callable[..., Any], rows: int, given: Inputs) -> Float[Array, ""]:
    """Survey the scene, build the rows, `solve`, and sum up all there is, so that nothing can be left out."""
    nominal, program = problems(given, rows)
    return sum((jnp.sum(leaf) for leaf in jax.tree.leaves((solve(nominal, program), nominal, program))), jnp.zeros(()))


def measure(pace: Pace) -> dict[str, Any]:
    """µs a problem, and how many rows hold the solutions."""
    row_counts, batches = (QUICK_ROWS, QUICK_BATCHES) if pace.quick else (ROWS, BATCHES)
    calls: dict[tuple[str, int, int, str], Callable[[], Any]] = {}
    held = {}
    for batch in batches:
        given = inputs(batch)
        for rows in row_counts:
            ready = jax.jit(partial(problems, rows=rows))(given)
            for kind, solve in zip(KINDS, (forward, both), strict=True):
                calls[kind, rows, batch, "alone"] = partial(jax.jit(solve), *ready)
                calls[kind, rows, batch, "in context"] = partial(jax.jit(partial(in_context, solve, rows)), given)
            calls["", rows, batch, "context"] = partial(jax.jit(partial(in_context, nothing, rows)), given)
            if batch == max(batches):
                held[rows] = _held(*ready)
        for kind, run in zip(KINDS, (_guard, _guard_both), strict=True):
            surroundings = jax.jit(partial(safety.survey, SHIELD, ROBOT))(given.pose, given.scene)
            calls[kind, 0, batch, "guard"] = partial(jax.jit(run), given.nominal, surroundings)
    times = alternate(calls, pace)
    found = []
    for kind in KINDS:
        for rows in row_counts:
            for batch in batches:
                micro = 1e6 / batch
                whole, rest = times[kind, rows, batch, "in context"], times["", rows, batch, "context"]
                found.append(
                    {
                        "kind": kind,
                        "rows": rows,
                        "batch": batch,
                        "alone_us": spread(times[kind, rows, batch, "alone"], micro)._asdict(),
                        "in_context_us": spread([a - b for a, b in zip(whole, rest, strict=True)], micro)._asdict(),
                        "context_us": spread(rest, micro)._asdict(),
                    }
                )
    guards = [
        {"kind": kind, "batch": batch, "us": spread(times[kind, 0, batch, "guard"], 1e6 / batch)._asdict()}
        for kind in KINDS
        for batch in batches
    ]
    return {"problems": found, "active_rows": {str(rows): counts for rows, counts in held.items()}, "guard": guards}


def tables(found: dict[str, Any]) -> list[Table]:
    rows = [
        (row["kind"], *(f"{row[name]:,}" for name in ("rows", "batch")), *(ranged(row[name]) for name in _COLUMNS))
        for row in found["problems"]
    ]
    counts = "; ".join(
        f"{rows} rows: {', '.join(f'{share:.0%}' for share in shares)}" for rows, shares in found["active_rows"].items()
    )
    guards = grouped(found["guard"], "kind", "batch")
    batches = sorted({row["batch"] for row in found["guard"]})
    return [
        Table(
            "The projection",
            ("kind", "rows", "batch", "alone", "in context", "context alone"),
            rows,
            "µs a problem: `qp.project` in float32, its solution, or solution and gradient with respect to nominal "
            "control, A and b. *Alone*, the rows lie ready and the call's dispatch counts. *In context*, one program "
            "surveys the scene from the pose, builds the rows, projects and sums up; its time less that of the same "
            "program without the projection, round by round. Robots at close quarters among six discs; no, one or two "
            f"rows hold the solutions of these shares: {counts}.",
        ),
        Table(
            "The safety layer",
            ("kind", *(f"batch {batch:,}" for batch in batches)),
            [(kind, *(ranged(guards[kind, batch]["us"]) for batch in batches)) for kind in KINDS],
            f"µs a control: `shield.guard` on surroundings that lie ready, all {2 * (_DISCS + 4) + 4} rows, everything "
            "it reports included; backward with respect to nominal control and gains.",
        ),
    ]


_COLUMNS = ("alone_us", "in_context_us", "context_us")


def _guard(nominal, surroundings):
    return safety.guard(nominal, surroundings, robot=ROBOT, shield=SHIELD)


def _guard_both(nominal, surroundings):
    def summed(nominal, gains):
        done = safety.guard(nominal, surroundings, robot=ROBOT, shield=SHIELD, gains=gains)
        return jnp.sum(done.control), done

    gains = jnp.full_like(surroundings.barriers.value, SHIELD.gain)
    return jax.value_and_grad(summed, argnums=(0, 1), has_aux=True)(nominal, gains)


def _held(nominal, rows) -> list[float]:
    """Shares of the solutions that no, one and two rows hold."""
    active = jnp.sum(project(nominal, rows, metric()).active, axis=0)
    return [float(jnp.mean(active == count)) for count in range(3)]
