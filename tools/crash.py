"""Kills trainings, comparisons and populations at random moments, and lets them go on: `make test-crash`.

usage: python tools/crash.py [KILLS] [--seed SEED] [--page FILE]

Every victim is a process of its own that runs one command; it is killed (SIGKILL) at a random moment or while a
checkpoint is being written, or works on a disk that fills up or turns read-only (a small tmpfs, which takes root).
Then `resume`, or the same command again, goes on by itself, perhaps to be killed again. In the end parameters,
optimiser, games, keys, the best checkpoint and the log of every training, and the payoffs of a population, must be
those of one that was never interrupted, bit for bit. Exit status 1 where one is not.
"""

import argparse
import collections
import contextlib
import csv
import hashlib
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from safepursuit.benchmark.machine import about, described, package_digest
from safepursuit.benchmark.tables import Table, grid
from safepursuit.compare.population import FILE
from safepursuit.runs import checkpoint
from safepursuit.runs.folder import RunFolder, read_json, write_json, write_text

ROOT = Path(__file__).resolve().parents[1]

SETTINGS = shlex.split(
    "--num-envs 8 --rollout-length 8 --timesteps 768 --checkpoint-every 2 --obstacles 1 --policy.hidden 8 "
    "--policy.disc-width 4 --ppo.minibatches 2 --ppo.epochs 2 --devices 1"
)
COMPARED = shlex.split(
    "--methods barriernet --seeds 0 --pursuers pure-pursuit --suite standard --evaders flee --episodes 4 --workers 1"
)
GROWN = shlex.split("--pursuers pure-pursuit --evaders random,flee --rounds 1 --episodes 5 --timesteps 768 --workers 1")
_QUICK = (
    *("train", "train", "save", "resume", "train", "save", "compare"),
    *("full disk", "nearly full disk", "read-only"),
)
KINDS = ("population", *_QUICK, *_QUICK)
"""In turns; a population takes longest."""

_LIMIT = 600.0
"""Seconds after which a command counts as hung."""


class LostError(Exception):
    """A victim that did not recover; the message says how."""


class Victim:
    """A command in a process, and a process group, of its own."""

    def __init__(self, words: list, log: Path) -> None:
        self.words, self.log, self.began = list(map(str, words)), log, time.monotonic()
        with log.open("a") as stream:
            command = [sys.executable, "-m", "safepursuit", *self.words]
            self.pid = subprocess.Popen(command, stdout=stream, stderr=stream, start_new_session=True).pid

    def wait(self, until: Callable[[], bool] = lambda: False) -> int | None:
        """Its exit status; None as soon as `until` is true. Raises LostError for a process that hangs."""
        while time.monotonic() - self.began < _LIMIT:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if until():
                return None
            time.sleep(0.0005)
        self.kill()
        raise LostError(f"{' '.join(self.words)} hangs")

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def bits(run: Path) -> dict[str, str]:
    """Digests of everything that decides how a training goes on, and of what it has told."""
    folder = RunFolder.open(run)
    latest = (folder.checkpoints / "latest").read_text().split()[0]
    best = (folder.checkpoints / "best").read_text().split()[0]
    found = {"latest": latest, "best": best}
    for name, array in checkpoint._read(folder.checkpoints / latest, {"policy", "training"}).items():
        if "seconds" not in name:
            found[name] = hashlib.sha256(array.tobytes()).hexdigest()
    with folder.metrics.open(newline="") as file:
        rows = [
            [value for name, value in row.items() if not re.match("time/|qp/time", name)]
            for row in csv.DictReader(file)
        ]
    found["metrics"] = hashlib.sha256(repr(rows).encode()).hexdigest()
    return found


def members(population: Path) -> dict[str, str]:
    """Digests of every trained member, and of the payoffs of all."""
    found = {"payoffs": hashlib.sha256((population / FILE).read_bytes()).hexdigest()}
    for config in population.glob("*/*/config.yaml"):
        run = config.parent
        found |= {f"{run.relative_to(population)} {name}": one for name, one in bits(run).items()}
    return found


class Ledger:
    """What has been counted, in a file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.package = package_digest()
        found = read_json(file) if file.is_file() else {}
        if found.get("package") != self.package:
            found = {}
        self.kills = collections.Counter(found.get("kills", {}))
        self.trials = collections.Counter(found.get("trials", {}))
        self.failures: list[str] = found.get("failures", [])
        self.tracebacks, self.seconds = found.get("tracebacks", 0), found.get("seconds", 0.0)

    @property
    def struck(self) -> int:
        return sum(self.kills.values())

    def write(self) -> None:
        self.file.parent.mkdir(exist_ok=True)
        write_json(self.file, vars(self) | {"file": self.file.name})


class Harness:
    def __init__(self, home: Path, ledger: Ledger) -> None:
        self.home, self.ledger, self.rng = home, ledger, random.Random(0)
        self.log = home / "victims.txt"
        run = home / "reference"
        began = time.monotonic()
        for _ in range(2):  # the second time everything is compiled
            shutil.rmtree(run, ignore_errors=True)
            began = time.monotonic()
            self.must(["train", *SETTINGS, "--run-dir", run], run)
        self.seconds = time.monotonic() - began
        self.expected = bits(run)
        self.settings = home / "settings.yaml"
        shutil.copy(run / "config.yaml", self.settings)
        began = time.monotonic()
        self.must(self.comparison(home / "compared"))
        self.comparing = time.monotonic() - began
        for _ in range(2):
            shutil.rmtree(home / "grown", ignore_errors=True)
            began = time.monotonic()
            self.must(self.growing(home / "grown"))
        self.grown_in, self.grown = time.monotonic() - began, members(home / "grown")

    def comparison(self, out: Path) -> list:
        return ["compare", *COMPARED, "--config", self.settings, "--out", out]

    def growing(self, out: Path) -> list:
        return ["selfplay", *GROWN, "--config", self.settings, "--out", out]

    def must(self, words: list, run: Path | None = None) -> None:
        """Run to the end, of a training (in `run`) before its figures. Raises LostError for a status other than 0."""
        victim = Victim(words, self.log)
        status = victim.wait((lambda: finished(run)) if run else lambda: False)
        if status is None:
            victim.kill()
        elif status != 0:
            raise LostError(f"{' '.join(map(str, words))} ended with status {status}")

    def onward(self, run: Path) -> list:
        """What a user, or a script, types next."""
        return ["resume", run] if (run / "config.yaml").is_file() else ["train", *SETTINGS, "--run-dir", run]

    def strike(self, words: list, kind: str, until: Callable[[], bool]) -> bool:
        """Kill the command once `until` is true; False if it ended before."""
        victim = Victim(words, self.log)
        if victim.wait(until) is not None:
            return False
        victim.kill()
        self.ledger.kills[kind] += 1
        return True

    def moment(self, seconds: float) -> Callable[[], bool]:
        end = time.monotonic() + self.rng.uniform(0.02, 1.0) * seconds
        return lambda: time.monotonic() > end

    def saving(self, run: Path) -> Callable[[], bool]:
        """A little after a checkpoint has begun, the first one or a later one."""
        number, seen, after = self.rng.randrange(4), set(), self.rng.choice((0.0, 0.001, 0.005, 0.02, 0.05))

        def begun() -> bool:
            with contextlib.suppress(OSError):
                seen.update(one.name for one in (run / "checkpoints").glob(".*.partial"))
            if len(seen) > number:
                time.sleep(after)
                return True
            return False

        return begun

    def finish(self, run: Path) -> None:
        """Go on to the end, and compare."""
        if not finished(run):
            self.must(self.onward(run), run)
        differ = [name for name, one in bits(run).items() if self.expected.get(name) != one]
        if differ or len(self.expected) != len(bits(run)):
            raise LostError(f"{run} differs in {', '.join(differ[:4])}")

    def trial(self, kind: str, number: int) -> None:
        run = self.home / f"{number:04d}-{kind.replace(' ', '-')}"
        self.ledger.trials[kind] += 1
        if kind == "compare":
            return self.compare(run)
        if kind == "population":
            return self.grow(run)
        if kind in ("full disk", "nearly full disk", "read-only"):
            return self.on_a_small_disk(run, kind)
        for _ in range(3 if kind == "resume" else 1):
            until = self.saving(run) if kind == "save" else self.moment(self.seconds)
            if finished(run) or not self.strike(self.onward(run), kind, until):
                break
        self.finish(run)
        shutil.rmtree(run)
        return None

    def compare(self, out: Path) -> None:
        for _ in range(2):
            if not self.strike(self.comparison(out), "compare", self.moment(self.comparing)):
                break
        self.must(self.comparison(out))
        run = next((out / "runs").rglob("config.yaml")).parent
        differ = [name for name, one in bits(run).items() if self.expected.get(name) != one]
        if differ:
            raise LostError(f"{run} differs in {', '.join(differ[:4])}")
        shutil.rmtree(out)

    def grow(self, out: Path) -> None:
        for _ in range(3):
            if not self.strike(self.growing(out), "population", self.moment(self.grown_in)):
                break
        self.must(self.growing(out))
        differ = sorted({name for name, _ in self.grown.items() ^ members(out).items()})
        if differ:
            raise LostError(f"{out} differs in {', '.join(differ[:4])}")
        shutil.rmtree(out)

    def on_a_small_disk(self, run: Path, kind: str) -> None:
        """The disk is full, becomes full, or read-only; once there is room again, training goes on."""
        disk = self.home / "disk"
        disk.mkdir(exist_ok=True)
        size = {"full disk": 48, "nearly full disk": self.rng.randrange(150, 1500), "read-only": 8000}[kind]
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(disk)], check=True)
        try:
            where = disk / run.name
            if kind == "read-only":
                self.strike(self.onward(where), kind, self.moment(self.seconds))
                subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
                expected = {1, 2}
            else:
                expected = {0, 1, 2}
            victim = Victim(self.onward(where), self.log)
            status = victim.wait()
            self.ledger.kills[kind] += kind != "read-only"
            done = kind == "read-only" and status == 0 and finished(where)
            if status not in expected and not done:
                raise LostError(f"on a {kind} the command ended with status {status}")
            subprocess.run(["mount", "-o", "remount,rw,size=64m", str(disk)], check=True)
            self.finish(where)
        finally:
            subprocess.run(["umount", "-l", str(disk)], check=True)


def finished(run: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return (run / "summary.json").is_file() and int((run / "checkpoints" / "latest").read_text().split()[0]) >= 768
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kills", nargs="?", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--page", type=Path)
    asked = parser.parse_args()
    can_mount = os.geteuid() == 0 and shutil.which("mount")
    kinds = [kind for kind in KINDS if can_mount or ("disk" not in kind and kind != "read-only")]
    ledger = Ledger(ROOT / "build" / "crashes.json")
    with tempfile.TemporaryDirectory(prefix="crash-") as folder:
        harness = Harness(Path(folder), ledger)
        while ledger.struck < asked.kills:
            number, began = sum(ledger.trials.values()), time.monotonic()
            kind, harness.rng = kinds[number % len(kinds)], random.Random(f"{asked.seed} {number}")
            try:
                harness.trial(kind, number)
            except LostError as failure:
                ledger.failures.append(f"{kind}: {failure}")
            said = harness.log.read_text(errors="replace")
            if "Traceback (most recent call last)" in said:
                ledger.tracebacks += said.count("Traceback (most recent call last)")
                with Path("crash-log.txt").open("a") as log:
                    log.write(said)
            harness.log.write_text("")
            ledger.seconds += time.monotonic() - began
            ledger.write()
            lost = len(ledger.failures)
            print(f"{ledger.struck} of {asked.kills} strikes, {lost} lost, {ledger.seconds:.0f} s, {kind}", flush=True)
    for failure in ledger.failures:
        print(failure)
    print(f"{ledger.struck} kills, {len(ledger.failures)} failures, {ledger.tracebacks} tracebacks")
    if asked.page:
        write_text(asked.page, page(ledger, asked.kills))
    if ledger.tracebacks:
        print("what the victims printed: crash-log.txt")
    return int(bool(ledger.failures or ledger.tracebacks))


def page(ledger: Ledger, kills: int) -> str:
    failed = collections.Counter(one.partition(":")[0] for one in ledger.failures)
    rows = [
        (kind, str(ledger.trials[kind]), str(ledger.kills[kind]), str(failed[kind]))
        for kind in dict.fromkeys(KINDS)
        if ledger.trials[kind]
    ]
    table = grid(Table("", ("victim", "trials", "struck", "not recovered"), rows))
    trials, lost = sum(ledger.trials.values()), len(ledger.failures)
    return f"""\
# Crashes

`make test-crash KILLS={kills}` wrote this page. Trainings, comparisons and populations are killed (SIGKILL) at random
moments, some while a checkpoint is being written and some again while they go on, or run out of disk; then `resume`, or
the same command, goes on without a manual step. Parameters, optimiser, games, keys, the best checkpoint and the log of
every training, and the payoffs of a population, must be those of the uninterrupted one, bit for bit.

**{trials - lost} of {trials} recovered, struck {ledger.struck} times (of {kills} asked), with {ledger.tracebacks}
tracebacks,** in {ledger.seconds:,.0f} s.

{table}

{described(about())}
"""


if __name__ == "__main__":
    sys.exit(main())
