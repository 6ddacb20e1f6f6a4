"""Long drives among up to 100 movers that do their worst, with every kind of robot → a page.

    python tests/prove_movers.py STEPS [--page FILE] [--progress FILE]

STEPS are those of a moving robot, for each robot, in single precision as in training. Drives that are done are kept in
the progress file, so that an interrupted run goes on. Exit status 1 if anything touched a moving robot.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from movers import drive
from safepursuit.process import keep_freed_memory
from safepursuit.robot import ROBOTS, Inertial, Robot, Unicycle
from safepursuit.runs.folder import read_json, write_json
from safepursuit.shield import fitting

GAMES, STEPS = 512, 250
SPEED = 0.5
MOVERS = 100
"""At most; each game has a random number of them."""
DRIVEN: dict[str, Robot] = {
    "kinematic, Euler": Unicycle(),
    "kinematic, arc": Unicycle(integrator="arc"),
    "with inertia, 2.5 m/s²": Inertial(),
    "with inertia, 0.8 m/s²": Inertial(acceleration=0.8, braking=0.8, turn_acceleration=7.0),
    "turtlebot3-burger": ROBOTS.find("turtlebot3-burger")(),
}
HEAD = """# Drives among movers

Written by `python tests/prove_movers.py {steps}`; `make prove-movers` drives further.
1 to 100 discs move at up to {speed:g} m/s, each below a bound of its own that the shield knows. They head for the
robot, for where it will stand if it brakes, away until it is fast and near and then for it, or anywhere, change their
mind at random, and leave once they have reached it. The robot asks to head for the nearest of them, to circle at its
limits or for anything at random; behind the shield with gains of 1 and margins for single precision. The referee judges
every step along its whole way, with the movers on theirs.
*Contacts* are steps in which anything touched a moving robot, *at most* the upper end of the exact 95 % interval of
their share. *Touched* are steps in which a mover ran into the robot at rest.

| robot | steps | moving | contacts | at most | touched | least clearance [µm] | steps/s |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
"""


def line(name: str, found: dict[str, Any]) -> str:
    moving, contacts = found["moving"], found["contacts"]
    high = binomtest(contacts, moving).proportion_ci().high
    return (
        f"| {name} | {found['steps']:,} | {moving:,} | {contacts} | {high:.1e} | {found['touched']:,} | "
        f"{1e6 * found['least']:.1f} | {found['steps'] / found['seconds']:,.0f} |"
    )


def further(robot: Robot, found: dict[str, Any]) -> dict[str, Any]:
    """The sums with one more drive."""
    begun, seed = time.monotonic(), found.get("drives", 0)
    shield = fitting(robot, (80 * robot.radius, 60 * robot.radius))
    one = drive(robot, shield, movers=MOVERS, speed=SPEED, seed=seed, games=GAMES, steps=STEPS)
    sums = {key: getattr(one, key) + found.get(key, 0) for key in ("steps", "moving", "contacts", "touched")}
    least = min(one.least, found.get("least", one.least))
    return {
        **sums,
        "least": least,
        "infeasible": one.infeasible + found.get("infeasible", 0),
        "seconds": found.get("seconds", 0.0) + time.monotonic() - begun,
        "drives": seed + 1,
    }


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("steps", type=int)
    words.add_argument("--page", type=Path)
    words.add_argument("--progress", type=Path, default=Path("build/movers_proof.json"))
    wanted = words.parse_args()
    keep_freed_memory()
    file = wanted.progress
    file.parent.mkdir(parents=True, exist_ok=True)
    done: dict[str, dict[str, Any]] = read_json(file) if file.is_file() else {}
    while behind := [name for name in DRIVEN if done.get(name, {}).get("moving", 0) < wanted.steps]:
        name = min(behind, key=lambda one: done.get(one, {}).get("moving", 0))
        done[name] = further(DRIVEN[name], done.get(name, {}))
        write_json(file, done)
        print(line(name, done[name]), flush=True)
        if wanted.page:
            rows = [line(one, done[one]) for one in DRIVEN if one in done]
            total, contacts = (sum(one[key] for one in done.values()) for key in ("moving", "contacts"))
            foot = f"\nTogether {total:,} steps of a moving robot and {contacts} contacts.\n"
            head = HEAD.format(steps=wanted.steps, speed=SPEED)
            wanted.page.write_text(head + "\n".join(rows) + "\n" + foot, encoding="utf-8")
    contacts = sum(one["contacts"] for one in done.values())
    print(f"{sum(one['moving'] for one in done.values()):,} steps of a moving robot, {contacts} contacts")
    raise SystemExit(contacts > 0)


if __name__ == "__main__":
    main()
