"""BarrierNet's first example trained twice, with this package's `QPFunction` and with qpth's.

The same network, data, seeds and loss; the solver is the only difference. Run by `make bench-imitation`; writes
docs/benchmarks/imitation.md and .json.
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
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from qpth.qp import QPFunction as QpthFunction

import robot2d
from pages import machine, machine_text, share, table
from problems import ROWS, Problems, exact
from problems import draw as draw_projections
from safepursuit.adapters.torch import QPFunction
from safepursuit.benchmark.tables import number

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "docs" / "benchmarks"

SOLVERS = {"safepursuit": QPFunction, f"qpth {version('qpth')}": QpthFunction}
SETTINGS = {
    "disc": "one row, the disc's, as published",
    "limits": "the actuator limits as four more rows",
    "scaled": "the same, the disc's row divided by its length",
    "padded": "the same, and one more row, 0·u ≤ 10⁶, that excludes nothing",
}
NOTHING = torch.empty(0, dtype=torch.float64)
BATCH, RATE = 128, 3e-3
TRAVELS = 100
TIMED = (1, 64, 1024)
PACKAGES = ("safepursuit", "jax", "jaxlib", "numpy", "torch", "qpth")


class BarrierNet(torch.nn.Module):
    """Features → p and the gains p₁, p₂ ∈ (0, 4) → the program with the rows of `robot2d`; layer sizes as published."""

    def __init__(self, features: torch.Tensor, setting: str, solve: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.mean, self.std = features.mean(0), features.std(0)
        self.setting, self.solve = setting, solve
        self.trunk = torch.nn.Linear(5, 128)
        self.to_control = torch.nn.Sequential(torch.nn.Linear(128, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2))
        self.to_gains = torch.nn.Sequential(torch.nn.Linear(128, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2))
        self.double()

    def program(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """p, G and h; Q is the identity."""
        hidden = torch.relu(self.trunk((features - self.mean) / self.std))
        first, second = (4 * torch.sigmoid(self.to_gains(hidden))).unbind(-1)
        b, along, twice, toward = map(torch.as_tensor, robot2d.barrier(features[:, :4].numpy()))
        G, h = -toward[:, None], (twice + (first + second) * along + first * second * b)[:, None]
        if self.setting in ("scaled", "padded"):
            length = G.norm(dim=-1)
            G, h = G / length[..., None], h / length
        if self.setting != "disc":
            sides, limits = map(torch.as_tensor, robot2d.limit_rows(len(features)))
            G, h = torch.cat([G, sides], 1), torch.cat([h, limits], 1)
        if self.setting == "padded":
            G = torch.cat([G, torch.zeros_like(G[:, :1])], 1)
            h = torch.cat([h, torch.full_like(h[:, :1], 1e6)], 1)
        return self.to_control(hidden), G, h

    def forward(self, features: torch.Tensor, judge: "Judge | None" = None) -> torch.Tensor:
        p, G, h = self.program(features)
        Q = torch.eye(2, dtype=torch.float64).expand(len(p), 2, 2)
        u = self.solve(Q, p, G, h, NOTHING, NOTHING)
        if judge is not None:
            judge.look(*(part.detach().numpy() for part in (p, G, h, u)))
        return u


@dataclass
class Judge:
    """Compares answers with the exact solution by enumeration, wherever there is one."""

    answers: int = 0
    solvable: int = 0
    wrong: dict[str, int] = field(default_factory=lambda: {"1e-2": 0, "1e-6": 0})
    unusable: int = 0
    seconds: float = 0.0
    """What the comparison itself took."""

    def look(self, p: np.ndarray, G: np.ndarray, h: np.ndarray, u: np.ndarray) -> None:
        start = time.process_time()
        real = G.any(axis=-1)[0]
        truth = exact(Problems(-p, G[:, real], h[:, real], np.ones(2)))
        solvable = (np.einsum("nri,ni->nr", G, truth) <= h + 1e-9).all(axis=-1)
        error = np.nan_to_num(np.abs(u - truth), nan=np.inf).max(axis=-1)[solvable]
        self.answers += len(u)
        self.solvable += len(error)
        self.unusable += int(np.sum(~np.isfinite(u).all(axis=-1)))
        for limit in self.wrong:
            self.wrong[limit] += int(np.sum(error > float(limit)))
        self.seconds += time.process_time() - start

    def shares(self) -> dict[str, float]:
        wrong = {f"wrong_{limit}": count / max(self.solvable, 1) for limit, count in self.wrong.items()}
        return {**wrong, "unusable": self.unusable / max(self.answers, 1), "solvable": self.solvable / self.answers}


def learn(solver: str, setting: str, seed: int, data: dict[str, Any], epochs: int) -> dict[str, Any]:
    """Train by imitation, then judge: losses, answers, journeys, time."""
    torch.manual_seed(seed)
    features, controls = data["train"]
    network = BarrierNet(features, setting, SOLVERS[solver](verbose=-1))
    optimiser = torch.optim.Adam(network.parameters(), RATE)
    order = torch.Generator().manual_seed(seed)
    training, steps, loss = Judge(), [], torch.tensor(torch.nan)
    for _ in range(epochs):
        losses = []
        for batch in torch.randperm(len(features), generator=order).split(BATCH):
            if len(batch) < BATCH:
                continue
            start, looked = time.process_time(), training.seconds
            loss = torch.nn.functional.mse_loss(network(features[batch], training), controls[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            steps.append(time.process_time() - start - (training.seconds - looked))
            losses.append(loss.item())
    with torch.no_grad():
        test, deployed = Judge(), Judge()
        held_out = torch.nn.functional.mse_loss(network(data["test"][0], test), data["test"][1])
        journey = robot2d.travel(lambda part: network(torch.as_tensor(part), deployed).numpy(), data["cases"])
    return {
        "solver": solver,
        "setting": setting,
        "seed": seed,
        "train_loss": float(np.mean(losses)),
        "test_loss": float(held_out),
        "training": training.shares(),
        "test": test.shares(),
        "deployed": deployed.shares(),
        "violating": float(np.mean(journey.clearance < 0)),
        "least_clearance": float(journey.clearance.min()),
        "arrived": float(np.mean(journey.miss < 1)),
        "step_ms": 1e3 * float(np.median(steps)),
        "first_step_ms": 1e3 * steps[0],
        "training_s": float(np.sum(steps)),
        "steps": len(steps),
    }


def clock_layers(rounds: int) -> dict[str, dict[str, float]]:
    """Median µs of processor time per problem of both layers on the projections of `problems.draw`, taking turns in
    every round."""
    problems = draw_projections(max(TIMED))
    runs: dict[tuple[str, str], tuple[Callable[[], Any], int, int]] = {}
    precisions = [("safepursuit", torch.float32), *((name, torch.float64) for name in SOLVERS)]
    for name, precision in precisions:
        solve = SOLVERS[name](verbose=-1)
        Q = torch.diag(torch.tensor(problems.weights, dtype=precision))
        for size in TIMED:
            parts = [
                torch.tensor(part[:size], dtype=precision)
                for part in (-problems.weights * problems.nominal, problems.A, problems.b)
            ]
            nothing, metric = NOTHING.to(precision), Q.expand(size, 2, 2)
            learned, ones = [part.clone().requires_grad_() for part in parts], torch.ones(size, 2, dtype=precision)

            def forward(solve=solve, parts=parts, nothing=nothing, metric=metric):
                with torch.no_grad():
                    return solve(metric, *parts, nothing, nothing)

            def backward(solve=solve, learned=learned, nothing=nothing, metric=metric, ones=ones):
                return torch.autograd.grad(solve(metric, *learned, nothing, nothing), learned, ones)

            label = f"{name}, {str(precision).removeprefix('torch.')}"
            for kind, call in (("F", forward), ("F+B", backward)):
                call()  # compiles
                start = time.process_time()
                call()
                runs[label, f"{kind} {size}"] = call, size, max(1, round(0.02 / (time.process_time() - start)))
    samples: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
    for _ in range(rounds):
        for key, (call, size, loops) in runs.items():
            start = time.process_time()
            for _ in range(loops):
                call()
            samples[key].append(1e6 * (time.process_time() - start) / (loops * size))
    medians: dict[str, dict[str, float]] = {}
    for (label, what), values in samples.items():
        medians.setdefault(label, {})[what] = float(np.median(values))
    return medians


def _span(values: list[float], show: Callable[[float], str]) -> str:
    """The mean of the seeds, and their range where they differ visibly."""
    low, mean, high = show(min(values)), show(float(np.mean(values))), show(max(values))
    return mean if low == high else f"{mean} ({low} – {high})"


def page(results: list[dict[str, Any]], layers: dict[str, dict[str, float]], about: dict[str, Any]) -> str:
    """The page that stands in the documentation."""
    seeds, first = sorted({result["seed"] for result in results}), results[0]
    parts = []
    for setting, meaning in SETTINGS.items():
        groups = {s: [r for r in results if (r["solver"], r["setting"]) == (s, setting)] for s in SOLVERS}
        rows = [[f"{setting}: {meaning}", *SOLVERS]]

        def line(name: str, value: Callable[[dict[str, Any]], float], show: Callable[[float], str], groups=groups):
            return [name, *(_span([value(result) for result in group], show) for group in groups.values())]

        rows += [
            line("loss on the data, last epoch", lambda r: r["train_loss"], lambda v: f"{v:.4f}"),
            line("loss on held-out data", lambda r: r["test_loss"], lambda v: f"{v:.4f}"),
            line("wrong by > 1e-2, in training", lambda r: r["training"]["wrong_1e-2"], share),
            line("wrong by > 1e-6, in training", lambda r: r["training"]["wrong_1e-6"], share),
            line("wrong by > 1e-2, deployed", lambda r: r["deployed"]["wrong_1e-2"], share),
            line("wrong by > 1e-6, deployed", lambda r: r["deployed"]["wrong_1e-6"], share),
            line("not finite, deployed", lambda r: r["deployed"]["unusable"], share),
            line("journeys that touch the disc", lambda r: r["violating"], share),
            line("least clearance [m]", lambda r: r["least_clearance"], lambda v: f"{v:.3f}"),
            line("journeys that arrive", lambda r: r["arrived"], share),
            line("a training step [ms]", lambda r: r["step_ms"], lambda v: f"{v:.2f}"),
            line("the training, compilation included [s]", lambda r: r["training_s"], lambda v: f"{v:.1f}"),
        ]
        parts.append(table(rows, names=1))
    heads = [f"{kind} {size}" for size in TIMED for kind in ("F", "F+B")]
    speed = table([["layer", *heads], *([name, *(number(t[h]) for h in heads)] for name, t in layers.items())], 1)
    return f"""# The original BarrierNet's robot, with this package's layer and with qpth's

Written by `make bench-imitation` (`benchmarks/imitation.py`); do not edit by hand.

The first example of Xiao et al. (BarrierNet, T-RO 2023): a unicycle with speed as a state, turn rate and acceleration
as controls, one disc in the way; a network imitates a controller through a quadratic program with a high-order barrier
row and two learned class-K gains. Network sizes, disc and row are those of the code published with the paper; data,
controller and script are written anew (`benchmarks/robot2d.py`). The columns differ by one import:

```python
from qpth.qp import QPFunction
from safepursuit.adapters.torch import QPFunction
```

{first["steps"]:,} steps of Adam on batches of {BATCH} in double precision, seeds {", ".join(map(str, seeds))}: the same
data, initial weights and order for both. Mean over the seeds, in brackets their range.

* *Wrong* is the share of answers off the exact solution (enumeration) in a component by more than 1e-2 or 1e-6 (rad/s,
  m/s²), among the problems that have a solution.
* *Deployed* are {TRAVELS} journeys from unseen starts in closed loop, in steps of {robot2d.STEP} s; whether they touch
  the disc is seen {robot2d.PARTS} times per step by geometry of its own. The row is one for continuous time and
  promises nothing between samples. The demonstrator's own least clearance is {about["demonstrator_clearance"]:.3f} m.
* *Times* are processor time of the process, which had one core, so that other load on the machine does not count.

{parts[0]}

{parts[1]}

{parts[2]}

{parts[3]}

With one row, as published, both solve every problem of the training. In closed loop, qpth misses a few moments at which
the row is far from active for all: its answers are then tens of rad/s, for all journeys at once, since they are
solved in one batch, and without limits one such answer ends a journey. With several rows it also errs in training, the
more the more their lengths differ (the disc's is about a hundred times as long as a limit's), and most of all beside an
empty row. It returns an early iterate then, without saying so, and the network learns to make up for it where it can.

## What a call costs

The {max(TIMED)} projections with {ROWS} rows of [the other comparison](projection_peers.md), through `QPFunction`: F
the solution, F+B with the gradient for p, G and h; **µs per problem**, processor time, in batches of
{", ".join(map(str, TIMED))}; medians of {about["rounds"]} rounds in which the layers take turns. A call of ours crosses
from PyTorch to JAX and back, which costs a fixed time whatever the batch.

{speed}

## Machine

{machine_text(about)}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=15, help="of timing the layers alone")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the results")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")  # qpth's own
    torch.set_num_threads(1)
    about = machine(threads={}, packages=PACKAGES)
    cases = robot2d.draw(TRAVELS, seed=2)
    data: dict[str, Any] = {"cases": cases}
    for name, count, seed in (("train", 100, 0), ("test", 20, 1)):
        data[name] = tuple(map(torch.as_tensor, robot2d.demonstrations(count, seed)))
    master = robot2d.travel(lambda part: robot2d.demonstrate(part[:, :4], part[:, 4]), cases)
    about |= {"demonstrator_clearance": float(master.clearance.min()), "rounds": options.rounds}

    layers = clock_layers(options.rounds)
    results = []
    for setting in SETTINGS:
        for seed in range(options.seeds):
            for solver in SOLVERS:  # in turns, so that a neighbour's load falls on both
                results.append(learn(solver, setting, seed, data, options.epochs))
                print(json.dumps(results[-1], ensure_ascii=False), file=sys.stderr)
    text = page(results, layers, about)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "imitation.md").write_text(text, encoding="utf-8")
    record = {"machine": about, "layers_us": layers, "results": results}
    (options.out / "imitation.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    print(text)


if __name__ == "__main__":
    main()
