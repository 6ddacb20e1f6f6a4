"""The projection: alone, and as the safety layer uses it.

    alone       from given rows to the solution, or the solution and its gradient
    in context  from poses and scenes to a sum over survey, rows and solution, in one program. XLA may fuse all of it,
                so that the cost of the projection is the difference from the same program without it

The rows are those of `shield.problem` among six discs: the actuator box, then the nearest boundaries, two rows each, as
many as asked for. Robots are met in two ways:

    in play            as BarrierNet meets them in its first rollout, with the controls it samples: few touch anything
    close quarters     a few centimetres from a boundary, with random controls, also beyond the limits: the worst case
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from parts import grouped
from playing import random_controls
from safepursuit import shield as safety
from safepursuit.benchmark import situations
from safepursuit.benchmark.clock import Pace, Report, spread
from safepursuit.benchmark.tables import Table, ranged
from safepursuit.experiment import TrainConfig
from safepursuit.game import Game
from safepursuit.learn import BarrierNetTrainer
from safepursuit.qp import Box, Halfplanes, project
from safepursuit.robot import Unicycle
from safepursuit.scene import Arena, Scene
from safepursuit.shapes import Control, Pose
from safepursuit.shield import Shield
from turns import alternate

ROWS, BATCHES = (6, 10, 24), (1, 64, 1024, 16384)
QUICK_ROWS, QUICK_BATCHES = (10,), (1, 1024)
KINDS = ("forward", "forward + backward")
PLACES = ("in play", "close quarters")
_DISCS = 6

ROBOT, SHIELD = Unicycle(), Shield()


class Inputs(NamedTuple):
    nominal: Control
    pose: Pose
    scene: Scene


def inputs(batch: int, where: str = "close quarters") -> Inputs:
    """So many robots, the same ones every time; `where` is one of `PLACES`."""
    draw: dict[str, Callable[[int], Inputs]] = {"close quarters": _close_quarters, "in play": _in_play}
    return draw[where](batch)


@cache
def _in_play(batch: int) -> Inputs:
    config = TrainConfig(num_envs=256, rollout_length=64, game=Game(arena=Arena(obstacles=_DISCS)))
    with jax.enable_x64(False):  # trainings are in single precision
        rollout = BarrierNetTrainer(config).collect_rollout()
    met = Inputs(rollout.action, rollout.situation.pose, rollout.situation.scene)
    chosen = np.random.default_rng(0).permutation(config.steps_per_iteration)[:batch]

    def choose(leaf):  # (time, …, games) → (…, batch)
        steps = np.moveaxis(np.asarray(leaf), 0, -2)
        return jnp.asarray(steps.reshape(*steps.shape[:-2], -1)[..., chosen])

    found = jax.tree.map(choose, met)
    return found._replace(nominal=ROBOT.from_unit_box(found.nominal))


def _close_quarters(batch: int) -> Inputs:
    key, control_key = jax.random.split(jax.random.key(0))
    state = situations.states(key, Game(), _DISCS, batch)
    control = 1.5 * random_controls(control_key, Game(), batch) - jnp.array([[0.25], [0.0]])
    return Inputs(control, state.pursuer, state.scene)


def problems(given: Inputs, rows: int) -> tuple[Float[Array, "2 batch"], Halfplanes]:
    """The first `rows` rows of each robot's program, and the nominal control in its coordinates."""
    whole = safety.problem(SHIELD, ROBOT, safety.survey(SHIELD, ROBOT, given.pose, given.scene))
    return ROBOT.to_swing(given.nominal), Halfplanes(whole.A[:rows], whole.b[:rows])


def metric() -> Float[Array, "2"]:
    """That of the shield: displacements of the virtual control point."""
    return jnp.asarray([1.0, (SHIELD.offset / ROBOT.dt) ** 2], jnp.float32)


def boxed(rows: Halfplanes) -> tuple[Halfplanes, Box]:
    """The rows behind the actuator box, and the box, whose sides are the first four."""
    b = rows.b
    return Halfplanes(rows.A[4:], b[4:]), Box(jnp.stack([-b[0], -b[2]]), jnp.stack([b[1], b[3]]))


def forward(nominal: Float[Array, "2 batch"], rows: Halfplanes) -> Array:
    """The solutions."""
    behind, box = boxed(rows)
    return project(nominal, behind, metric(), box).u


def both(nominal: Float[Array, "2 batch"], rows: Halfplanes) -> tuple[Array, tuple[Array, Halfplanes]]:
    """The solutions, and the gradient of their sum with respect to nominal, A and b."""
    u, pull = jax.vjp(forward, nominal, rows)
    return u, pull(jnp.ones_like(u))


def nothing(nominal: Float[Array, "2 batch"], rows: Halfplanes) -> tuple[Array, Halfplanes]:
    """The problems themselves."""
    return nominal, rows


def in_context(solve: Callable[..., Any], rows: int, given: Inputs) -> Float[Array, ""]:
    """Survey the scene, build the rows, `solve`, and sum up all there is, so that nothing can be left out."""
    nominal, program = problems(given, rows)
    return sum((jnp.sum(leaf) for leaf in jax.tree.leaves((solve(nominal, program), nominal, program))), jnp.zeros(()))


def measure(pace: Pace, report: Report) -> dict[str, Any]:
    """µs per problem, and how many rows hold the solutions."""
    row_counts, batches = (QUICK_ROWS, QUICK_BATCHES) if pace.quick else (ROWS, BATCHES)
    calls: dict[tuple[str, str, int, int, str], Callable[[], Any]] = {}
    held: dict[str, dict[str, list[float]]] = {where: {} for where in PLACES}
    for where in PLACES:
        every = inputs(max(batches), where)
        for batch in batches:
            given = jax.tree.map(lambda leaf, batch=batch: leaf[..., :batch], every)
            for rows in row_counts:
                ready = jax.jit(partial(problems, rows=rows))(given)
                for kind, solve in zip(KINDS, (forward, both), strict=True):
                    calls[where, kind, rows, batch, "alone"] = partial(jax.jit(solve), *ready)
                    calls[where, kind, rows, batch, "in context"] = partial(
                        jax.jit(partial(in_context, solve, rows)), given
                    )
                calls[where, "", rows, batch, "context"] = partial(jax.jit(partial(in_context, nothing, rows)), given)
                if batch == max(batches):
                    held[where][str(rows)] = _held(*ready)
            surroundings = jax.jit(partial(safety.survey, SHIELD, ROBOT))(given.pose, given.scene)
            for kind, run in zip(KINDS, (_guard, _guard_both), strict=True):
                calls[where, kind, 0, batch, "guard"] = partial(jax.jit(run), given.nominal, surroundings)
    times = alternate(calls, pace, report)
    found, guards = [], []
    for where in PLACES:
        for kind in KINDS:
            for batch in batches:
                micro = 1e6 / batch
                guard = spread(times[where, kind, 0, batch, "guard"], micro)._asdict()
                guards.append({"where": where, "kind": kind, "batch": batch, "us": guard})
                for rows in row_counts:
                    whole, rest = (
                        times[where, kind, rows, batch, "in context"],
                        times[where, "", rows, batch, "context"],
                    )
                    found.append(
                        {
                            "where": where,
                            "kind": kind,
                            "rows": rows,
                            "batch": batch,
                            "alone_us": spread(times[where, kind, rows, batch, "alone"], micro)._asdict(),
                            "in_context_us": spread([a - b for a, b in zip(whole, rest, strict=True)], micro)._asdict(),
                            "context_us": spread(rest, micro)._asdict(),
                        }
                    )
    return {"problems": found, "active_rows": held, "guard": guards}


def tables(found: dict[str, Any]) -> list[Table]:
    rows = [
        (
            row["where"],
            row["kind"],
            *(f"{row[name]:,}" for name in ("rows", "batch")),
            *(ranged(row[name]) for name in _COLUMNS),
        )
        for row in found["problems"]
    ]
    counts = "; ".join(
        f"{where}, {rows} rows: {', '.join(f'{share:.0%}' for share in shares)}"
        for where, every in found["active_rows"].items()
        for rows, shares in every.items()
    )
    guards = grouped(found["guard"], "where", "kind", "batch")
    batches = sorted({row["batch"] for row in found["guard"]})
    return [
        Table(
            "The projection",
            ("robots", "kind", "rows", "batch", "alone", "in context", "context alone"),
            rows,
            "µs per problem: `qp.project` in float32, its solution, or solution and gradient with respect to nominal "
            "control, A and b. *Alone*, the rows are given and the call's dispatch counts. *In context*, one program "
            "surveys the scene from the pose, builds the rows, projects and sums up; its time less that of the same "
            "program without the projection, round by round. Six discs. *In play*: robots as BarrierNet's first "
            "rollout meets them, and the controls it samples. *Close quarters*: robots centimetres from a boundary, "
            "random controls. No, one or two rows, actuator limits among them, hold the solutions of these shares: "
            f"{counts}.",
        ),
        Table(
            "The safety layer",
            ("robots", "kind", *(f"batch {batch:,}" for batch in batches)),
            [
                (where, kind, *(ranged(guards[where, kind, batch]["us"]) for batch in batches))
                for where in PLACES
                for kind in KINDS
            ],
            f"µs per control: `shield.guard` on given surroundings, all {2 * (_DISCS + 4) + 4} rows, everything "
            "reported; backward with respect to nominal control and gains.",
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
    behind, box = boxed(rows)
    active = jnp.sum(project(nominal, behind, metric(), box).active, axis=0)
    return [float(jnp.mean(active == count)) for count in range(3)]
