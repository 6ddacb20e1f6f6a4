"""Drives that attack theorems 1 and 3, for every robot: `make prove-robots`.

    python tests/prove_robots.py [--steps 10_000_000] [--minutes 10] [--out docs/benchmarks]

Each row of the page is a robot. Its drives go through its budgets, with errors at the corners of what is declared,
among 0 to 16 discs, until they add up to the steps. The same drives attack variants that lack one part of the proof;
each has to be caught. Every drive is kept in robots.json: an interrupted run goes on, and so does one that its minutes
ended.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import jax
import numpy as np
from scipy.stats import binomtest

import inertia
from inertia import Drive, drive, swing
from safepursuit.barriers import stop_sector
from safepursuit.benchmark.machine import about, described
from safepursuit.benchmark.tables import Table, grid, markdown
from safepursuit.experiment import TrainConfig
from safepursuit.process import keep_compiled_programs, keep_freed_memory
from safepursuit.robot import ROBOTS, Budget, Inertial, Unicycle
from safepursuit.runs.folder import read_json, write_json, write_text
from safepursuit.shield import Shield
from test_inertia import (
    AGILE,
    BUDGET,
    ROBOT,
    SLOW,
    UNSOUND,
    _without_full_disc,
    _without_stop_time,
    _without_turning_point,
)

OUT = Path(__file__).parents[1] / "docs" / "benchmarks"
GAMES, STEPS = 1024, 150

BUDGETS = {
    "none": Budget(),
    "errors": Budget(pose=0.02, heading=0.02, speed=0.05, turn_rate=0.1),
    "delay": Budget(delay=3, heading=0.01),
    "all": BUDGET,
    "movers": Budget(mover_speed=0.3),
    "all and movers": replace(BUDGET, mover_speed=0.1),
}

SWING = "hull without the turning point in the step"
"""Drives find it too seldom; it is attacked from where it counts, at rest beside a wall."""

SUMS = ("steps", "contacts", "uncertified", "moving", "governed", "stopped")
"""What is added up over drives, in steps."""

REPLACED = {
    "no whole disc beyond π": ("free_way", _without_full_disc, SLOW, Budget()),
    "movers without the time of the stop": ("free_way", _without_stop_time, ROBOT, Budget(mover_speed=0.3)),
}
"""Functions of the certificate, what takes their place, and the drive in which it is caught."""


LIMITS = [(braking, turning) for braking in (0.3, 1.0, 2.5, 5.0) for turning in (1.0, 10.0, 30.0)]
"""Braking [m/s²] and turning acceleration [rad/s²] of the robots that share the steps of the ramp."""


class Attack(NamedTuple):
    """One row of the page."""

    robot: Unicycle
    shield: Shield
    budgets: tuple[str, ...]
    share: float = 1.0
    """Of the steps asked for."""


def attacks() -> dict[str, Attack]:
    """By name: the kinematic integrators with all budgets, each preset without and with all errors; the limits share
    the ramp's steps, with budgets by turns."""
    found = {}
    for integrator in ("euler", "arc"):
        found[f"unicycle, {integrator}"] = Attack(Unicycle(integrator=integrator), Shield(), tuple(BUDGETS))
    for name in ROBOTS:
        config = TrainConfig().with_robot(name)
        if name not in ("unicycle", "inertial"):
            found[name] = Attack(config.game.robot, config.shield, ("none", "all", "all and movers"))
    for number, (braking, turning) in enumerate(LIMITS):
        robot = Inertial(acceleration=0.8 * braking, braking=braking, turn_acceleration=turning)
        budget = tuple(BUDGETS)[number % len(BUDGETS)]
        attack = Attack(robot, Shield(margin=1e-4), (budget,), 1 / len(LIMITS))
        found[f"inertial, {braking:g} m/s², {turning:g} rad/s²"] = attack
    return found


def go_on(name: str, attack: Attack, row: dict[str, Any], steps: int) -> Iterator[None]:
    """Add drives to a row until each of its budgets has its part of the steps; yields after each drive."""
    for budget in attack.budgets:
        tally = row["budgets"].setdefault(budget, dict.fromkeys((*SUMS, "drives", "seconds"), 0) | {"least_mm": None})
        while tally["steps"] < attack.share * steps / len(attack.budgets):
            begun = time.perf_counter()
            layer = replace(attack.shield, budget=BUDGETS[budget])
            one = drive(attack.robot, layer, seed=tally["drives"], games=GAMES, steps=STEPS, discs=16, fewest=0)
            for field in SUMS:
                # Shares of steps are kept as numbers of steps.
                value = getattr(one, field)
                tally[field] += value if isinstance(value, int) else round(value * one.steps)
            least = [] if np.isinf(one.least) else [1e3 * one.least]
            tally["least_mm"] = min([*least, *([] if tally["least_mm"] is None else [tally["least_mm"]])], default=None)
            tally["drives"] += 1
            tally["seconds"] += time.perf_counter() - begun
            yield
        rate = tally["steps"] / tally["seconds"]
        print(f"{name}, {budget}: {tally['steps']:,} steps, {tally['contacts']} contacts, {rate:,.0f}/s", flush=True)
    jax.clear_caches()


def variants(done: list[dict[str, Any]]) -> Iterator[None]:
    """Add the unsound variants, under the same drives, that are not there yet; yields after each."""
    known = {row["variant"] for row in done}
    for name, (believed, budget, truth) in UNSOUND.items():
        if name not in known:
            found = drive(ROBOT, Shield(budget=budget), truth, believed=believed, games=GAMES, steps=STEPS)
            done.append(_row(name, [found]))
            yield
    for name, (function, variant, robot, budget) in REPLACED.items():
        if name not in known:
            inertia._roll.clear_cache()
            with patch.object(stop_sector, function, variant):
                found = [drive(robot, Shield(budget=budget), seed=seed, games=GAMES, steps=STEPS) for seed in range(3)]
            inertia._roll.clear_cache()
            done.append(_row(name, found))
            yield
    if SWING not in known:
        with patch.object(stop_sector, "headings", _without_turning_point):
            contacts, least = swing(AGILE, Shield())
        done.append({"variant": SWING, "steps": 4096, "contacts": contacts, "uncertified": 0, "least_mm": 1e3 * least})
        yield


def _row(name: str, found: list[Drive]) -> dict[str, Any]:
    contacts, uncertified = (sum(getattr(one, field) for one in found) for field in ("contacts", "uncertified"))
    print(f"without “{name}”: {contacts} contacts, {uncertified} uncertified", flush=True)
    return {
        "variant": name,
        "steps": sum(one.steps for one in found),
        "contacts": contacts,
        "uncertified": uncertified,
        "least_mm": 1e3 * min(one.least for one in found),
    }


def page(result: dict[str, Any]) -> str:
    rows = {name: _sum(list(row["budgets"].values())) for name, row in result["robots"].items() if row["budgets"]}
    total, budgets = _sum(list(rows.values())), result["budgets"]
    by_budget = {
        budget: _sum([row["budgets"][budget] for row in result["robots"].values() if budget in row["budgets"]])
        for budget in budgets
    }
    ramp = sum(row["steps"] for name, row in rows.items() if name.startswith("inertial"))
    head = (
        *("steps", "contacts", "of steps, at most", "stop not certified"),
        *("moving", "governed", "stopped", "least clearance"),
    )
    asked = attacks()
    driven = Table(
        "Drives",
        ("robot", *head),
        [(name, *_figures(row)) for name, row in rows.items()],
        "*Contacts* are steps of a moving robot in which its body entered a wall or a disc by more than 10⁻⁹ m, judged "
        "by the referee, which integrates the motion by itself; *at most* is the upper end of the exact 95 % interval "
        "of their share. *Stop not certified* counts states, known exactly, in which the sector of *stop* meets a wall "
        "or a disc. *Governed* is the share of steps that governor or certificate changed, *stopped* that in which no "
        f"command but *stop* could be certified. The robots named by limits share the steps of the ramp, {ramp:,} so "
        "far.",
    )
    budgeted = Table("By budget", ("budget", *head), [(name, *_figures(row)) for name, row in by_budget.items()])
    full = [one for name, one in asked.items() if name in rows and rows[name]["steps"] >= one.share * result["asked"]]
    missing = ", ".join(name for name in asked if name not in rows)
    state = f"{len(full)} of {len(asked)} robots have them" + (f", and not yet driven are {missing}" if missing else "")
    bounds = Table(
        "",
        ("budget", *(name.replace("_", " ") for name in asdict(Budget()))),
        [(name, *(f"{value:g}" for value in one.values())) for name, one in budgets.items()],
    )
    weakened = Table(
        "Variants that lack a part of the proof",
        ("variant", "steps", "contacts", "stop not certified", "deepest"),
        [
            (
                row["variant"],
                f"{row['steps']:,}",
                f"{row['contacts']:,}",
                f"{row['uncertified']:,}",
                f"{max(-row['least_mm'], 0):.2f} mm",
            )
            for row in result["variants"]
        ],
        "The same drives behind a shield that lacks one part. Each is caught: by contacts, or because *stop* is no "
        "longer certified in some state. That of the turning point shows within micrometres of a wall, where drives "
        "seldom are: it is attacked in single steps of robots at rest beside a wall, turning towards it, that are told "
        "to drive off and turn away.",
    )
    return f"""# Attacks on the guarantee

Written by `make prove-robots` (`tests/prove_robots.py`); do not edit by hand.

Commands head for the nearest boundary, turn at their limits or are random, behind a shield with the widest gains
([theory §5.5](../theory.md#55-how-it-is-attacked)). Drives go through these budgets in turn [m, rad, m/s, rad/s, steps,
share, m/s]; errors of measurement stay at the corners of the budget, slip at its bound, movers head for the robot, in
layouts of 0 to 16 discs. Everything is in double precision.

{grid(bounds)}

**{total["contacts"]} contacts in {total["steps"]:,} steps, at most {_upper(total):.1e} per step (95 %)**, in
{total["seconds"] / 60:.0f} minutes. Asked for are {result["asked"]:,} steps of each integrator and each preset:
{state}.

{markdown(driven)}

{markdown(budgeted)}

{markdown(weakened)}

{described(result["machine"])}
"""


def _sum(tallies: list[dict[str, Any]]) -> dict[str, Any]:
    least = [one["least_mm"] for one in tallies if one["least_mm"] is not None]
    sums = {field: sum(one[field] for one in tallies) for field in (*SUMS, "seconds")}
    return sums | {"least_mm": min(least, default=None)}


def _upper(tally: dict[str, Any]) -> float:
    return float(binomtest(tally["contacts"], max(tally["steps"], 1)).proportion_ci().high)


def _figures(tally: dict[str, Any]) -> tuple[str, ...]:
    shares = (f"{tally[field] / max(tally['steps'], 1):.1%}" for field in ("moving", "governed", "stopped"))
    least = tally["least_mm"]
    return (
        *(f"{tally['steps']:,}", f"{tally['contacts']:,}", f"{_upper(tally):.1e}"),
        *(f"{tally['uncertified']:,}", *shares),
        "" if least is None else f"{1e3 * least:.2f} µm",
    )


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--steps", type=int, default=10_000_000, help="steps of each integrator and each preset")
    words.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many; another run goes on")
    words.add_argument("--out", type=Path, default=OUT)
    options = words.parse_args()
    jax.config.update("jax_enable_x64", True)
    keep_compiled_programs()
    keep_freed_memory()
    file, until = options.out / "robots.json", time.monotonic() + 60 * options.minutes
    result: dict[str, Any] = read_json(file) if file.is_file() else {"robots": {}, "variants": []}
    result |= {"machine": about(), "budgets": {name: asdict(one) for name, one in BUDGETS.items()}}
    result["asked"] = options.steps

    def parts() -> Iterator[None]:
        yield from variants(result["variants"])
        for name, attack in attacks().items():
            row = result["robots"].setdefault(name, {"limits": asdict(attack.robot), "budgets": {}})
            yield from go_on(name, attack, row, options.steps)

    for _ in parts():
        write_json(file, result)
        if time.monotonic() > until:
            break
    write_text(options.out / "robots.md", page(result))


if __name__ == "__main__":
    main()
