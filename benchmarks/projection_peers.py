"""`safepursuit.qp.project` beside general QP solvers: time, wrong answers, gradients. Run by `make bench-peers`.

Writes docs/benchmarks/projection_peers.md and .json. The solvers live in an environment of their own; the package and
its tests never see them.
"""

import os

# One core and one thread for all libraries, set before they start their own.
os.environ["OMP_NUM_THREADS"] = "1"
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import argparse
import json
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import torch

from pages import machine, machine_text, share, table
from peers import SOLVERS, Call, Solver, timed_only
from problems import Problems, as_velocity, as_velocity_jacobian, exact, exact_jacobian, padded, part
from safepursuit.benchmark.tables import number
from shield_programs import PROGRAMS, draw

jax.config.update("jax_enable_x64", True)
torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "docs" / "benchmarks"

COUNT = 1024
"""Problems whose answers are judged."""
BATCHES = {1: 32, 64: 4, 1024: 1, 16384: 1}
"""Batch sizes, and how many different batches a timed run solves."""
JUDGED_ALONE = (10, "close quarters")
"""The problems that are also solved one at a time, and with an empty row."""
LEAST = 0.02
"""A timed run repeats its batches until it has lasted this long [s]."""

PACKAGES = (
    *("safepursuit", "jax", "jaxlib", "numpy", "scipy", "torch", "qpth", "cvxpy", "cvxpylayers", "diffcp", "qpax"),
    *("proxsuite", "osqp"),
)


def judge(solver: Solver, problems: Problems, truth: np.ndarray, alone: bool) -> dict[str, float]:
    """Shares of wrong answers and the largest error [m/s], in one batch and, if asked for, one problem at a time."""
    together = solver.prepare(problems, np.ones_like(problems.nominal))[0]()
    errors = _errors(together - truth)
    found = {
        "wrong_1e-2": float(np.mean(errors > 1e-2)),
        "wrong_1e-6": float(np.mean(errors > 1e-6)),
        "largest_error": float(np.max(errors)),
    }
    if alone:
        single = part(problems, 0, 256)
        answers = [solver.prepare(part(single, i, i + 1), np.ones((1, 2)))[0]()[0] for i in range(len(single.nominal))]
        errors = _errors(np.stack(answers) - truth[: len(answers)])
        found |= {f"alone_wrong_{limit}": float(np.mean(errors > float(limit))) for limit in ("1e-2", "1e-6")}
    return found


def _errors(differences: np.ndarray) -> np.ndarray:
    """The larger component of each error; an answer that is not a number counts as 1e9."""
    return np.nan_to_num(np.max(np.abs(as_velocity(differences)), axis=-1), nan=1e9, posinf=1e9)


def judge_gradient(solver: Solver, problems: Problems, truth: np.ndarray, smooth: np.ndarray) -> dict[str, float]:
    """Errors of du/dū, its two rows from two pull-backs, where it exists."""
    rows = [solver.prepare(problems, np.tile(np.eye(2)[row], (len(truth), 1)))[1]() for row in range(2)]
    difference = np.abs(as_velocity_jacobian(np.stack(rows, axis=1) - truth))[smooth]
    errors = np.max(np.nan_to_num(difference, nan=1e9, posinf=1e9), axis=(1, 2))
    return {"gradient_error": float(np.max(errors)), "gradient_wrong_1e-2": float(np.mean(errors > 1e-2))}


def measure(solvers: list[tuple[str, Solver, Problems]], repeats: int) -> dict[str, dict[str, float]]:
    """Median µs per problem; in every round each solver takes its turn, so that other load affects all of them."""
    runs: list[tuple[str, str, list[Call], int, int]] = []
    for label, solver, problems in solvers:
        for size, batches in BATCHES.items():
            if size > solver.most:
                continue
            pieces = [part(problems, i * size, (i + 1) * size) for i in range(batches)]
            calls = [solver.prepare(piece, np.ones_like(piece.nominal)) for piece in pieces]
            for kind in (0, 1):
                chosen = [pair[kind] for pair in calls]
                _once(chosen, 1)  # compiles
                loops = max(1, round(LEAST / _once(chosen, 1)))
                runs.append((label, f"{('forward', 'forward_backward')[kind]}_{size}", chosen, loops, size * batches))
    samples: dict[tuple[str, str], list[float]] = {(label, what): [] for label, what, *_ in runs}
    for turn in range(repeats):
        for label, what, calls, loops, problems_a_loop in runs if turn % 2 else reversed(runs):
            samples[label, what].append(1e6 * _once(calls, loops) / (loops * problems_a_loop))
        print(f"round {turn + 1} of {repeats} timed", file=sys.stderr)
    medians: dict[str, dict[str, float]] = {}
    for (label, what), values in samples.items():
        low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
        medians.setdefault(label, {})[what] = float(median)
        medians[label][f"{what}_quartiles"] = (float(low), float(high))
    return medians


def _once(calls: list[Call], loops: int) -> float:
    start = time.perf_counter()
    for _ in range(loops):
        for call in calls:
            call()
    return time.perf_counter() - start


def page(
    found: dict[tuple[int, str], list[dict[str, Any]]],
    about: dict[str, Any],
    held: dict[tuple[int, str], list[int]],
    repeats: int,
) -> str:
    """The page that stands in the documentation; `held` counts solutions with 0, 1 and 2 active rows, and kinks."""
    single = [["solver", "settings", "wrong > 1e-2", "wrong > 1e-6", "with the empty row: > 1e-2", "> 1e-6"]]
    for result in found[JUDGED_ALONE]:
        if "padded" in result:
            both = (result["answers"], result["padded"])
            shares = [share(one[name]) for one in both for name in ("alone_wrong_1e-2", "alone_wrong_1e-6")]
            single.append([result["solver"], result["settings"], *shares])
    sections = "\n\n".join(
        f"## {rows} rows, {where}\n\n{held[rows, where][0]} of {COUNT:,} solutions have no active row, "
        f"{held[rows, where][1]} one, {held[rows, where][2]} two; {held[rows, where][3]} problems are at a kink.\n\n"
        f"{_speed_table(found[rows, where])}"
        for rows, where in found
    )
    return f"""# The projection beside general QP solvers

Written by `benchmarks/projection_peers.py` (`make bench-peers`), called with “{" ".join(sys.argv[1:])}”; do not edit by
hand.

The programs of the shield among four walls and six discs (`safepursuit.benchmark`): the actuator box and the nearest
one, three or ten boundaries, two rows each. *In play* are the robots and controls of BarrierNet's first rollout, *close
quarters* robots centimetres from a boundary with random controls. Every solver is given the same problems, in double
precision unless the settings say otherwise.

F is the solution alone, F+B the solution and the gradient with respect to the nominal control, A and b, in **µs a
problem** on one core, for batches of {", ".join(f"{size:,}" for size in BATCHES)}: medians of {repeats} rounds in one
process, in each of which every solver takes its turn. *Limits as a box*: the four rows of the actuator box are given as
a `qp.Box`, as the shield does. *In the shield*, poses and scenes go in: one program surveys
them, builds the rows, projects, and sums up all that comes out; the next line is that program without the projection.
Solvers that take one problem after the other are timed up to a batch of 1,024.

*Wrong* is the share of the first {COUNT:,} answers, solved in one batch, whose larger component differs from the exact
solution (enumeration of all candidates) by more than 1e-2 or 1e-6 m/s; the turn rate counts as the speed of the virtual
control point, 0.1 m ahead. *Gradient* compares du/dū in the same units with finite differences of the exact solution:
the share of the problems with an entry off by more than 1e-2, and the largest error, problems at a kink left out. Near
a kink an approximate solver may rightly take the other side.

{sections}

"+ empty row" adds the row 0·u ≤ 10⁶, which excludes nothing; padding a batch to a fixed number of rows is the usual
reason for such a row. Once its slack in qpth equals the bound, that slack's step is 0, the step length −s/0, and every
later iterate is not a number; the best iterate so far, an early one, is returned, with a printed warning at most.

Default tolerances are chosen for larger problems; the tighter settings show what these solvers can do. qpax smooths its
gradient on purpose (`target_kappa`), by default strongly.

## One problem at a time

The first 256 problems with {JUDGED_ALONE[0]} rows at {JUDGED_ALONE[1]} in batches of one, as a robot would ask. (qpth
decides for a whole batch when to stop, so its answers depend on what else is in the batch.)

{table(single)}

## Machine

{machine_text(about)}
"""


def _speed_table(results: list[dict[str, Any]]) -> str:
    times = [f"{kind}_{size}" for kind in ("forward", "forward_backward") for size in BATCHES]
    head = ["solver", "settings", *(f"{'F+B' if 'back' in one else 'F'} {one.rsplit('_', 1)[1]}" for one in times)]
    lines = [[*head, "wrong > 1e-2", "wrong > 1e-6", "largest error", "gradient > 1e-2", "largest"]]
    for result in results:
        clock = [number(result["time_us"][one]) if one in result["time_us"] else "" for one in times]
        judged = [""] * 5
        if "answers" in result:
            answer, gradient = result["answers"], result["gradient"]
            judged = [share(answer["wrong_1e-2"]), share(answer["wrong_1e-6"]), f"{answer['largest_error']:.1e}"]
            judged += [share(gradient["gradient_wrong_1e-2"]), f"{gradient['gradient_error']:.1e}"]
        lines.append([result["solver"], result["settings"], *clock, *judged])
    return table(lines)


def compare(rows: int, where: str, repeats: int) -> tuple[list[dict[str, Any]], list[int]]:
    """Times and errors of all solvers on programs with so many rows, and how the solutions are held."""
    every = draw(max(BATCHES), rows, where)
    problems = part(every, 0, COUNT)
    truth = exact(problems)
    jacobian, smooth = exact_jacobian(problems)
    rank = np.linalg.matrix_rank(as_velocity_jacobian(jacobian)[smooth], tol=1e-3)
    held = [*(int(np.sum(rank == 2 - active)) for active in range(3)), int(np.sum(~smooth))]

    lines = [(solver, every, problems) for solver in SOLVERS]
    alone = (rows, where) == JUDGED_ALONE
    if alone:
        extra = [solver for solver in SOLVERS if solver.name.startswith(("safepursuit", "qpth"))]
        lines += [(replace(one, name=f"{one.name} + empty row"), padded(every), padded(problems)) for one in extra]
    timed = [(f"{one.name} ({one.settings})", one, given) for one, given, _ in lines]
    timed += [(f"{one.name} ({one.settings})", one, every) for one in timed_only(where)]
    times = measure(timed, repeats)
    results = [
        {"solver": one.name, "settings": one.settings, "time_us": times[f"{one.name} ({one.settings})"]}
        for one in timed_only(where)
    ]
    for solver, _, given in lines:
        label = f"{solver.name} ({solver.settings})"
        print(f"judging {label}, {rows} rows, {where}", file=sys.stderr)
        result: dict[str, Any] = {
            "solver": solver.name,
            "settings": solver.settings,
            "time_us": times[label],
            "answers": judge(solver, given, truth, alone=alone),
            "gradient": judge_gradient(solver, given, jacobian, smooth),
        }
        if alone and given is problems:
            result["padded"] = judge(solver, padded(problems), truth, alone=True)
        results.append(result)
    return results, held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="rounds of timing")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the results")
    parser.add_argument("--quick", action="store_true", help="10 rows in batches of 1,024 alone")
    options = parser.parse_args()
    programs = [one for one in PROGRAMS if one[0] == 10 or not options.quick]
    if options.quick:
        for size in set(BATCHES) - {COUNT}:
            del BATCHES[size]
    warnings.filterwarnings("ignore")  # the peers' own
    about = machine(threads={"ProxQP": 1, "OSQP": 1}, packages=PACKAGES)
    found, held = {}, {}
    for rows, where in programs:
        found[rows, where], held[rows, where] = compare(rows, where, options.repeats)
    text = page(found, about, held, options.repeats)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "projection_peers.md").write_text(text, encoding="utf-8")
    record = {
        "machine": about,
        "programs": [
            {"rows": rows, "where": where, "held": held[rows, where], "results": results}
            for (rows, where), results in found.items()
        ],
    }
    (options.out / "projection_peers.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    print(text)


if __name__ == "__main__":
    main()
