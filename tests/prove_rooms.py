"""Long adversarial drives among edges, with both robots, over the gallery and over random polygons → a page.

    python tests/prove_rooms.py STEPS [--rooms NAME …] [--page FILE]

STEPS are those of each room and robot, in single precision as in training. Exit status 1 if a moving robot touched
anything.
"""

import argparse
import time
from pathlib import Path

from rooms import ROOMS, drive
from safepursuit.process import keep_freed_memory
from safepursuit.robot import Inertial, Unicycle
from safepursuit.scene import gallery
from safepursuit.shield import fitting

GAMES, STEPS = 512, 200
LARGEST = (14.0, 14.0)
"""Half-extents [m] for which the margin covers rounding: those of the largest room."""
ROBOTS = {
    "kinematic, Euler": Unicycle(),
    "kinematic, arc": Unicycle(integrator="arc"),
    "with inertia": Inertial(acceleration=2.0, braking=1.7, turn_acceleration=7.0),
}
HEAD = """# Drives among walls of any shape

Written by `python tests/prove_rooms.py {steps} --rooms {rooms}`;
`make prove-rooms` drives longer.
A nominal control that heads for the nearest boundary, circles at its limits or is random, behind the shield with gains
of 1 and margins for single precision; the referee judges every step along its
whole way. *Contacts* are steps in which a moving body entered anything.

| room | robot | steps | moving | contacts | least clearance [µm] |
| --- | --- | ---: | ---: | ---: | ---: |
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("steps", type=int)
    parser.add_argument("--rooms", nargs="+", default=["random", *gallery()])
    parser.add_argument("--page", type=Path)
    wanted = parser.parse_args()
    keep_freed_memory()
    lines, total, contacts, begin = [], 0, 0, time.monotonic()
    for room in wanted.rooms:
        for name, robot in ROBOTS.items():
            runs = []
            while sum(run.steps for run in runs) < wanted.steps:
                where, shield = ROOMS.get(room, room), fitting(robot, LARGEST)
                runs.append(drive(robot, shield, where, seed=len(runs), games=GAMES, steps=STEPS))
            steps, hits = sum(run.steps for run in runs), sum(run.contacts for run in runs)
            moving = sum(run.moving * run.steps for run in runs) / steps
            least = min(run.least for run in runs)
            lines.append(f"| {room} | {name} | {steps:,} | {moving:.0%} | {hits} | {1e6 * least:.1f} |")
            print(lines[-1], flush=True)
            total, contacts = total + steps, contacts + hits
            if wanted.page:
                foot = f"\nTogether {total:,} steps and {contacts} contacts.\n"
                head = HEAD.format(steps=wanted.steps, rooms=" ".join(wanted.rooms))
                wanted.page.write_text(head + "\n".join(lines) + "\n" + foot, encoding="utf-8")
    print(f"{total:,} steps, {contacts} contacts, {time.monotonic() - begin:.0f} s")
    raise SystemExit(contacts > 0)


if __name__ == "__main__":
    main()
