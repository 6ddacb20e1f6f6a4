"""`selfplay`."""

import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import reduce
from itertools import chain
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from safepursuit.cli.train import shared_by_all_cores
from safepursuit.cli.usage import Debug, UsageError, say
from safepursuit.compare import LocalCrew
from safepursuit.compare.cluster import RayCrew
from safepursuit.compare.population import Folder, Settings, stored_base
from safepursuit.compare.selfplay import REPORT, SelfPlay
from safepursuit.compare.trainings import Observer
from safepursuit.experiment import TrainConfig
from safepursuit.players import EVADERS, PURSUERS
from safepursuit.process import use_all_cores
from safepursuit.runs import configuration
from safepursuit.runs.console import TrainingDisplay


@dataclass(frozen=True)
class Selfplay:
    """Grow a population of pursuers and evaders that respond to each other (PSRO); goes on where it stopped."""

    out: Path
    """Folder of the population; an existing one is gone on with."""
    pursuers: str = ",".join(Settings.pursuers)
    """Pursuers of the start: scripts, run folders, zoo:NAME; “all” stands for all scripts."""
    evaders: str = "all"
    """Evaders of the start, likewise."""
    rounds: int = 3
    """Rounds in all; either side trains one response in each."""
    until: float | None = None
    """Stop earlier, once the responses of a round gain together at most this rate of captures (NashConv)."""
    timesteps: int = Settings.timesteps
    """Environment steps of each response."""
    final_timesteps: int | None = None
    """Of the two policies that are trained against the final mixtures (default: as of a response)."""
    method: str = Settings.method
    """Safety architecture of responses from random weights."""
    warm: bool = Settings.warm
    """Begin a response with the weights of its side's latest trained member; --no-warm: with random ones."""
    explore: float = Settings.explore
    """Share of a response's games that all members of the other side play, the stronger ones more often."""
    episodes: int = Settings.episodes
    """Of each pair of members."""
    seed: int = Settings.seed
    """Chooses their scenarios."""
    workers: int | None = None
    """Processes in which pairs play (default: one per usable core)."""
    ray: str | None = None
    """Let pairs play on the Ray cluster at this address instead (“auto”, “local”)."""
    config: tyro.conf.UseAppendAction[tuple[Path, ...]] = ()
    """YAML file with the game and the trainings; of several, the later override the earlier."""
    debug: Debug = False

    def run(self, console: Console) -> None:
        for name in ("rounds", "timesteps", "final_timesteps", "workers"):
            if (number := getattr(self, name)) is not None and number < 1:
                raise UsageError(f"--{name.replace('_', '-')} must be at least 1, not {number}.")
        stored = stored_base(self.out)
        use_all_cores(stored.shares if stored else 1)
        settings = self._settings(stored)
        words = ["safepursuit", *sys.argv[1:]]
        play = SelfPlay(
            Folder(self.out),
            settings,
            words,
            lambda: RayCrew(self.ray) if self.ray else LocalCrew(self.workers, self.out / "logs"),
            lambda line: say(console, line),
            lambda config: _shown(config, console),
        )
        say(console, f"population of {self.rounds} rounds, {self.timesteps:,} steps for each response → {self.out}")
        try:
            population = play.grow(self.rounds, self.until)
            found = play.finish(population, self.final_timesteps or self.timesteps)
        except KeyboardInterrupt:
            say(console, f"go on with the same command and --out {shlex.quote(str(self.out))}")
            raise
        _conclude(found, console)
        from safepursuit.report.crossplay import write_page  # late, for a faster start

        say(console, f"figures: {self.out / REPORT}, {write_page(found, self.out)}")

    def _settings(self, stored: TrainConfig | None) -> Settings:
        base = reduce(configuration.load, self.config, TrainConfig())
        if base.devices is None:  # an existing population keeps its number, on which its bits depend
            base = replace(base, devices=stored.devices) if stored else shared_by_all_cores(base)
        return Settings(
            _members(self.pursuers, PURSUERS),
            _members(self.evaders, EVADERS),
            self.timesteps,
            self.method,
            self.warm,
            self.explore,
            self.episodes,
            self.seed,
            base,
        )


def _members(text: str, scripts: Iterable[str]) -> tuple[str, ...]:
    named = (scripts if part.strip() == "all" else [part.strip()] for part in text.split(","))
    return tuple(chain.from_iterable(named))


@contextmanager
def _shown(config: TrainConfig, console: Console) -> Iterator[Observer]:
    with TrainingDisplay(config.iterations, config.steps_per_iteration, console, config.role) as display:
        yield display


def _conclude(found: dict[str, Any], console: Console) -> None:
    """What the population has become, in lines that can be pasted into other commands."""
    for number, one in enumerate(found["rounds"], 1):
        last = " (the final equilibrium against the final responses)" if number == len(found["rounds"]) else ""
        say(
            console,
            f"round {number}: value {one['value']:.1%} of captures, NashConv at least {one['nash_conv']:.1%}{last}",
        )
    for role in ("pursuer", "evader"):
        say(console, f"the population's {role}, a mixture: --{role} {shlex.quote(found['mixtures'][role])}")
        say(console, f"its single {role}, trained against the other side's mixture: {found['policies'][role]}")
