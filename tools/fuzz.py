"""Random inputs for every surface, counted: `make fuzz`.

usage: python tools/fuzz.py [CASES] [--only SURFACE …] [--page FILE]

Each surface is a test, or some, in processes of their own, one after the other; what has been tried is not tried again,
as long as package and tests are the same. Ends with status 1 where a case failed; what failed stands in
build/fuzz-SURFACE.txt.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

from safepursuit.benchmark.machine import about, described, package_digest
from safepursuit.benchmark.tables import Table, grid
from safepursuit.runs.folder import read_json, write_json, write_text

ROOT = Path(__file__).resolve().parents[1]
LEDGER = ROOT / "build" / "fuzz.json"

SURFACES = {
    "exported controller": ["test_onnx.py::test_any_numbers_at_all_give_a_control_within_the_limits"],
    "comparison": ["test_fuzz.py::test_any_json_as_a_cell_of_a_comparison"],
    "shield": ["test_fuzz.py::test_the_shield_on_any_numbers"],
    "scene": ["test_fuzz.py::test_any_scene_file", "test_fuzz.py::test_any_plan", "test_fuzz.py::test_any_drawing"],
    "recording": ["test_fuzz.py::test_a_recording_with_bytes_replaced"],
    "environment": ["test_fuzz.py::test_any_action_in_an_environment"],
    "command line": ["test_fuzz.py::test_any_words_on_the_command_line"],
    "configuration": [
        "test_fuzz.py::test_any_text_as_a_configuration",
        "test_fuzz.py::test_a_configuration_with_characters_replaced",
        "test_fuzz.py::test_a_configuration_with_anything_in_the_place_of_a_value",
    ],
    "run folder": ["test_fuzz.py::test_a_run_with_bytes_replaced"],
}
"""The tests of each; they share its cases."""

PART = 10_000
"""Examples that one process tries: what an interruption loses at most."""

_COUNTED = re.compile(r"(\d+) passing, (\d+) failing, and (\d+) invalid test cases")


def together(test: str) -> int:
    """Cases of one example of a test."""
    return 32 if "test_onnx" in test else 1


def tried(surface: str, cases: int) -> dict[str, Any]:
    """Run the tests of a surface, each with its share of the cases."""
    tests, began = SURFACES[surface], time.monotonic()
    share = -(-cases // len(tests))
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not heavy", "-p", "no:cacheprovider"]
    command += ["--hypothesis-show-statistics", *(str(ROOT / "tests" / test) for test in tests)]
    done = subprocess.run(
        command, env=os.environ | {"FUZZ": str(share)}, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said = done.stdout.decode(errors="replace")
    LEDGER.parent.mkdir(exist_ok=True)
    (LEDGER.parent / f"fuzz-{surface.replace(' ', '-')}.txt").write_text(said, encoding="utf-8")
    counts = [tuple(map(int, found)) for found in _COUNTED.findall(said)]
    size = together(tests[0])
    return {
        "cases": size * sum(passing for passing, *_ in counts),
        "failing": max(int(done.returncode != 0), sum(failing for _, failing, _ in counts)),
        "seconds": time.monotonic() - began,
    }


def state(surface: str) -> str:
    """A digest of the package and of the tests of a surface."""
    files = sorted({test.partition("::")[0] for test in SURFACES[surface]})
    texts = [package_digest(), *((ROOT / "tests" / name).read_text(encoding="utf-8") for name in files)]
    return sha256("".join(texts).encode()).hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="?", type=int, default=100_000)
    parser.add_argument("--only", nargs="+", choices=SURFACES, default=list(SURFACES))
    parser.add_argument("--page", type=Path)
    asked = parser.parse_args()
    ledger = read_json(LEDGER) if LEDGER.is_file() else {}
    for surface in asked.only:
        found = ledger.get(surface)
        if not found or found["of"] != state(surface) or found["failing"]:
            found = {"of": state(surface), "on": described(about()), "cases": 0, "failing": 0, "seconds": 0.0}
        ledger[surface] = found
        while found["cases"] < asked.cases and not found["failing"]:
            print(f"{surface}: {found['cases']:,} of {asked.cases:,} cases …", flush=True)
            part = tried(surface, min(PART, asked.cases - found["cases"]))
            if not (part["cases"] or part["failing"]):
                sys.exit(f"{surface}: no case was counted; see build/fuzz-{surface.replace(' ', '-')}.txt")
            found |= {name: found[name] + part[name] for name in part}
            write_json(LEDGER, ledger)
        print(f"{surface}: {found['cases']:,} cases, {found['failing']} failing, {found['seconds']:,.0f} s", flush=True)
    if asked.page:
        write_text(asked.page, page(ledger, asked.cases))
    return int(any(ledger[surface]["failing"] for surface in asked.only))


def page(surfaces: dict[str, Any], cases: int) -> str:
    rows = [
        (name, f"{found['cases']:,}", str(found["failing"]), f"{found['seconds']:,.0f} s")
        for name in SURFACES
        if (found := surfaces.get(name))
    ]
    table = grid(Table("", ("surface", "cases", "failing", "time"), rows))
    counts = [found["cases"] for found in surfaces.values()]
    failing = sum(found["failing"] for found in surfaces.values())
    machines: dict[str, list[str]] = {}
    for name, found in surfaces.items():
        machines.setdefault(found["on"], []).append(name)
    where = "\n\n".join(f"{', '.join(names).capitalize()}: {machine}" for machine, names in machines.items())
    return f"""\
# Fuzzing

`make fuzz FUZZ={cases}` wrote this page. Each case ends in a result or in one sentence: no traceback, no hang, nothing
silently wrong (`tests/test_fuzz.py`, and `tests/test_onnx.py` for the exported controller; Hypothesis).

**{sum(counts):,} cases over {len(counts)} of {len(SURFACES)} surfaces, at least {min(counts, default=0):,} each:
{failing} failing.**

{table}

The worst that fuzzing has found, and what became of it; each is an example in the tests now:

* A configuration that asks for two billion games was drawn up game by game before anything else was looked at, for
  minutes. Who plays is known without that now, and more than 4,194,304 games are refused.
* A room 16 km wide was searched for starts every 40 cm, until the memory was gone. Rooms too wide for that are refused.
  It was found late: a scene file that had been read was not read again, so most cases were one and the same. Files are
  read each time now, and the cases of this surface were tried anew.
* A list in the place of a robot's name ended in a traceback. Plain values of a file are read before the parts whose
  defaults depend on them.
* An exported controller called a state feasible in which a mover overlaps the robot, which stood still, against its
  own words. The words were wrong: a mover may touch a robot at rest, and they say so.

{where}
"""


if __name__ == "__main__":
    sys.exit(main())
