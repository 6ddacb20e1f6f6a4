"""The falsifier: searches for a game in which the safety layer lets the robot touch a wall or a disc.

Random games, descent along the gradient through game and shield, and CMA-ES take turns in each world; the referee
judges every step. What collides is kept as a recording, and once more in its simplest form.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from safepursuit.agents import Trained
from safepursuit.attack.drive import Driven, Judged, recording
from safepursuit.attack.plans import Plan, pick
from safepursuit.attack.search import SEARCHES, Batch
from safepursuit.attack.shrink import shrink
from safepursuit.attack.worlds import World
from safepursuit.evaluation.metrics import rate
from safepursuit.play import recording as recordings
from safepursuit.runs.folder import slug

GAMES = 2048
"""Games of a batch."""

_DESCENDING = 512
"""Most games of a batch of the gradient, whose memory grows with the length of a game."""

_TURN = 1
"""Batches of one search before the next has its turn."""


@dataclass
class Tally:
    """What a search has found in a world; steps are shielded steps, each judged by the referee."""

    steps: int = 0
    games: int = 0
    infeasible: int = 0
    stopped: int = 0
    contacts: int = 0
    least: float = float("inf")
    """Least clearance [m]."""
    seconds: float = 0.0

    def add(self, batch: Batch) -> None:
        contact = batch.verdict.contact
        self.steps, self.games = self.steps + contact.size, self.games + len(contact)
        self.infeasible += int(contact.size - np.asarray(batch.driven.feasible).sum())
        self.stopped += int(np.asarray(batch.driven.stopped).sum())
        self.contacts += int(contact.sum())
        self.least = min(self.least, float(np.nanmin(batch.verdict.clearance, initial=np.inf)))


class Counterexample(NamedTuple):
    """One game that collides, on an axis of length 1."""

    plan: Plan
    driven: Driven
    verdict: Judged

    @property
    def step(self) -> int:
        """Of the first contact."""
        return int(self.verdict.contact[0].argmax())

    @property
    def depth(self) -> float:
        """[m] at the first contact; NaN where a number was not finite."""
        return -float(self.verdict.clearance[0, self.step])

    def sentence(self, world: World) -> str:
        discs = int(np.asarray(self.plan.present).sum())
        return (
            f"{world.name}: contact in step {self.step} of a game with {discs} disc{'s' * (discs != 1)}, "
            f"{1e3 * self.depth:.3g} mm deep"
        )


@dataclass
class Finding:
    """All about one world."""

    world: World
    tallies: dict[str, Tally] = field(default_factory=dict)
    found_by: str | None = None
    first: Counterexample | None = None
    minimal: Counterexample | None = None

    @property
    def steps(self) -> int:
        return sum(one.steps for one in self.tallies.values())

    def summary(self) -> dict[str, Any]:
        """As plain numbers; rates are per step."""
        contacts = sum(one.contacts for one in self.tallies.values())
        least = min((one.least for one in self.tallies.values()), default=float("inf"))
        found: dict[str, Any] = {
            "world": self.world.name,
            "steps": self.steps,
            "games": sum(one.games for one in self.tallies.values()),
            "contacts": contacts,
            "upper_bound": rate(contacts, self.steps, "exact")["high"] if self.steps else None,
            "infeasible": sum(one.infeasible for one in self.tallies.values()),
            "stopped": sum(one.stopped for one in self.tallies.values()),
            "least_clearance": least if np.isfinite(least) else None,
            "seconds": sum(one.seconds for one in self.tallies.values()),
            "searches": {name: one.steps for name, one in self.tallies.items()},
            "found_by": self.found_by,
        }
        for name, one in (("first", self.first), ("minimal", self.minimal)):
            if one is not None:
                found[name] = {
                    "step": one.step,
                    "depth": one.depth,
                    "discs": int(np.asarray(one.plan.present).sum()),
                    "plan": {key: np.asarray(part)[..., 0].tolist() for key, part in one.plan._asdict().items()},
                }
        return found


def falsify(
    world: World,
    budget: int,
    *,
    seed: int = 0,
    policy: Trained | None = None,
    searches: Sequence[str] = tuple(SEARCHES),
    games: int = GAMES,
    progress: Callable[[Finding], Any] = lambda finding: None,
) -> Finding:
    """Search one world for a collision until `budget` steps are judged, or one is found and shrunk."""
    finding = Finding(world, {name: Tally() for name in searches})
    rng = np.random.default_rng(seed)
    for name, batch, seconds in _in_turns(world, rng, policy, searches, games):
        tally = finding.tallies[name]
        tally.add(batch)
        tally.seconds += seconds
        progress(finding)
        hits = np.flatnonzero(batch.verdict.contact.any(axis=1))
        if len(hits):
            one = hits[:1]
            first = Counterexample(
                pick(batch.plan, one),
                pick(batch.driven, one),
                Judged(batch.verdict.contact[one], batch.verdict.clearance[one]),
            )
            finding.found_by, finding.first = name, first
            alone = Plan(*(part[..., 0] for part in first.plan))
            finding.minimal = Counterexample(*shrink(alone, world, policy))
            return finding
        if finding.steps >= budget:
            return finding
    raise AssertionError  # searches never end


def _in_turns(
    world: World, rng: np.random.Generator, policy: Trained | None, searches: Sequence[str], games: int
) -> Iterator[tuple[str, Batch, float]]:
    """Batches of the searches in turns, with the seconds that each took."""
    running = {
        name: SEARCHES[name](world, rng, min(games, _DESCENDING) if name == "gradient" else games, policy)
        for name in searches
    }
    for _ in count():
        for name, search in running.items():
            for _ in range(_TURN):
                began = time.perf_counter()
                batch = next(search)
                yield name, batch, time.perf_counter() - began


def keep(finding: Finding, folder: Path) -> list[Path]:
    """Write the counterexample and its simplest form as recordings; the files, none without one."""
    files = []
    for name, one in (("found", finding.first), ("minimal", finding.minimal)):
        if one is not None:
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / f"{slug(finding.world.name)}-{name}.npz"
            recordings.save(recording(one.plan, one.driven, one.verdict, finding.world), file)
            files.append(file)
    return files
