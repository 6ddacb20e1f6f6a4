"""Drives that attack theorems 1 and 3, for every robot: `make prove-robots`.

    python tests/prove_robots.py [--steps 10_000_000] [--out docs/benchmarks]

Each row of the page is a robot. Its drives go through all budgets in turn, with errors at the corners of what is
declared, among 0 to 16 discs, until they add up to the steps. The same drives attack variants that lack one part of the
proof; each has to be caught. Rows that have their steps already, in robots.json, are kept: an interrupted run goes on.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import jax
from scipy.stats import binomtest

import inertia
from inertia import Drive, drive
from safepursuit.barriers import stop_sector
from safepursuit.benchmark.machine import about, described
from safepursuit.benchmark.tables import Table, grid, markdown
from safepursuit.experiment import TrainConfig
from safepursuit.robot import ROBOTS, Budget, Inertial, Unicycle
from safepursuit.runs.folder import read_json, write_json, write_text
from safepursuit.shield import Shield
from test_inertia import BUDGET, ROBOT, SLOW, UNSOUND, _without_full_disc, _without_stop_time, _without_turning_point

OUT = Path(__file__).parents[1] / "docs" / "benchmarks"
GAMES, STEPS = 512, 150

BUDGETS = {
    "none": Budget(),
    "errors": Budget(pose=0.02, heading=0.02, speed=0.05, turn_rate=0.1),
    "delay": Budget(delay=3, heading=0.01),
    "all": BUDGET,
    "movers": Budget(mover_speed=0.3),
    "all and movers": replace(BUDGET, mover_speed=0.1),
}

WHIRLING = Inertial(acceleration=0.3, braking=0.3, turn_acceleration=30.0)

REPLACED = {
    "hull without the turning point in the step": ("headings", _without_turning_point, WHIRLING, Budget()),
    "no whole disc beyond π": ("free_way", _without_full_disc, SLOW, Budget()),
    "movers without the time of the stop": ("free_way", _without_stop_time, ROBOT, Budget(mover_speed=0.3)),
}
"""Functions of the certificate, what takes their place, and the drive in which it is caught."""


def robots() -> Iterator[tuple[str, Unicycle, Shield, tuple[str, ...]]]:
    """Name, robot, shield and names of budgets."""
    for integrator in ("euler", "arc"):
        yield f"unicycle, {integrator}", Unicycle(integrator=integrator), Shield(), tuple(BUDGETS)
    for name in ROBOTS:
        config = TrainConfig().with_robot(name)
        if name not in ("unicycle", "inertial"):
            yield name, config.game.robot, config.shield, tuple(BUDGETS)
    # Limits and budgets by turns: a Latin square.
    for row, braking in enumerate((0.3, 1.0, 2.5, 5.0)):
        for column, turning in enumerate((1.0, 10.0, 30.0)):
            robot = Inertial(acceleration=0.8 * braking, braking=braking, turn_acceleration=turning)
            budgets = tuple(BUDGETS)[(row + column) % 3 :: 3]
            yield f"inertial, {braking:g} m/s², {turning:g} rad/s²", robot, Shield(margin=1e-4), budgets


def attacked(name: str, robot: Unicycle, shield: Shield, budgets: tuple[str, ...], steps: int) -> dict[str, Any]:
    """One row of the page."""
    begun, found, seed = time.perf_counter(), [], 0
    least = {}
    while sum(one.steps for one in found) < steps or seed < len(budgets):
        budget = budgets[seed % len(budgets)]
        layer = replace(shield, budget=BUDGETS[budget])
        one = drive(robot, layer, seed=seed, games=GAMES, steps=STEPS, discs=16, fewest=0)
        found.append(one)
        least[budget] = min(one.least, least.get(budget, one.least))
        seed += 1
    done, contacts = sum(one.steps for one in found), sum(one.contacts for one in found)
    row = {
        "robot": name,
        "steps": done,
        "contacts": contacts,
        "upper": binomtest(contacts, done).proportion_ci().high,
        "uncertified": sum(one.uncertified for one in found),
        "infeasible": sum(one.infeasible for one in found) / len(found),
        "moving": sum(one.moving for one in found) / len(found),
        "governed": sum(one.governed for one in found) / len(found),
        "least_mm": {budget: 1e3 * value for budget, value in least.items()},
        "limits": asdict(robot),
        "seconds": time.perf_counter() - begun,
    }
    jax.clear_caches()
    print(
        f"{name}: {done:,} steps, {contacts} contacts, {row['uncertified']} uncertified, {row['seconds']:.0f} s",
        flush=True,
    )
    return row


def caught() -> list[dict[str, Any]]:
    """The unsound variants under the same drives."""
    rows: list[dict[str, Any]] = []
    for name, (believed, budget, truth) in UNSOUND.items():
        found = drive(ROBOT, Shield(budget=budget), truth, believed=believed, games=GAMES, steps=STEPS)
        rows.append(_row(name, [found]))
    for name, (function, variant, robot, budget) in REPLACED.items():
        inertia._roll.clear_cache()
        with patch.object(stop_sector, function, variant):
            found = [drive(robot, Shield(budget=budget), seed=seed, games=GAMES, steps=STEPS) for seed in range(3)]
        inertia._roll.clear_cache()
        rows.append(_row(name, found))
    return rows


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
    rows, budgets = result["robots"], result["budgets"]
    driven = Table(
        "Drives",
        (
            "robot",
            "steps",
            "contacts",
            "of steps, at most",
            "stop not certified",
            "governed",
            "least clearance",
            "time",
        ),
        [
            (
                row["robot"],
                f"{row['steps']:,}",
                str(row["contacts"]),
                f"{row['upper']:.1e}",
                str(row["uncertified"]),
                f"{row['governed']:.1%}",
                f"{min(row['least_mm'].values()):.3f} mm",
                f"{row['seconds']:.0f} s",
            )
            for row in rows
        ],
        "*Contacts* are steps of a moving robot in which its body entered a wall or a disc by more than 10⁻⁹ m, judged "
        "by the referee, which integrates the motion by itself; *at most* is the upper end of the exact 95 % interval "
        "of their share. *Stop not certified* counts states, known exactly, in which the sector of *stop* meets a wall "
        "or a disc. *Governed* is the share of steps that governor or certificate changed.",
    )
    bounds = Table(
        "",
        ("budget", *(name.replace("_", " ") for name in asdict(Budget()))),
        [(name, *(f"{value:g}" for value in one.values())) for name, one in budgets.items()],
    )
    variants = Table(
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
        "longer certified in some state.",
    )
    return f"""# Attacks on the guarantee

Written by `make prove-robots` (`tests/prove_robots.py`); do not edit by hand.

Commands head for the nearest boundary, turn at their limits or are random, behind a shield with the widest gains
([theory §5.5](../theory.md#55-how-it-is-attacked)). Drives go through these budgets in turn [m, rad, m/s, rad/s, steps,
share, m/s]; errors of measurement stay at the corners of the budget, slip at its bound, movers head for the robot, in
layouts of 0 to 16 discs. Everything is in double precision.

{grid(bounds)}

{markdown(driven)}

{markdown(variants)}

{described(result["machine"])}
"""


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--steps", type=int, default=10_000_000, help="steps of each robot")
    words.add_argument("--out", type=Path, default=OUT)
    options = words.parse_args()
    jax.config.update("jax_enable_x64", True)
    file = options.out / "robots.json"
    result: dict[str, Any] = read_json(file) if file.is_file() else {"robots": [], "variants": []}
    result |= {"machine": about(), "budgets": {name: asdict(one) for name, one in BUDGETS.items()}}
    done = {row["robot"]: row for row in result["robots"] if row["steps"] >= options.steps}
    result["robots"] = list(done.values())
    for name, *one in robots():
        if name not in done:
            result["robots"].append(attacked(name, *one, options.steps))
            write_json(file, result)
            write_text(options.out / "robots.md", page(result))
    result["variants"] = result["variants"] or caught()
    write_json(file, result)
    write_text(options.out / "robots.md", page(result))


if __name__ == "__main__":
    main()
