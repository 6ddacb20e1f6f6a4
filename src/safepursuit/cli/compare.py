"""`compare`."""

import shlex
import sys
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from safepursuit.cli.usage import Debug, UsageError, listed, parsed_seeds, say
from safepursuit.compare import (
    Contender,
    LocalCrew,
    Settings,
    carry_out,
    evaders_among,
    from_methods,
    from_pursuers,
    from_runs,
    named,
    prepare,
    robot_of,
    undone,
)
from safepursuit.compare.cluster import RayCrew
from safepursuit.compare.display import ComparisonDisplay
from safepursuit.compare.work import Crew
from safepursuit.evaluation.scenarios import SUITES
from safepursuit.experiment import TrainConfig
from safepursuit.players import EVADERS, PURSUERS
from safepursuit.policy import HEADS
from safepursuit.runs import configuration


@dataclass(frozen=True)
class Compare:
    """Judge many contenders on the same scenarios, after training the missing ones; resumes where it stopped."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Run folders, or folders of several seeds: pursuers are compared, evaders are chased besides --evaders."""
    methods: str | None = None
    """Train these methods, such as barriernet,ppo or all."""
    seeds: str = "0..4"
    """Seeds of the trainings, such as 0..4 or 0,3,7."""
    pursuers: str | None = None
    """Scripted pursuers to compare with, such as lead-intercept,mpc or all."""
    suite: str = "standard"
    """Suites of scenarios, such as standard,dense or all; `safepursuit list suites` names them."""
    evaders: str = "all"
    """Opponents in suites that do not set them, such as flee,mpc, all or none."""
    episodes: int = Settings.episodes
    """Episodes per contender, suite and evader."""
    obstacles: int = Settings.obstacles
    """Number of discs in suites that do not set it; the trainings have their own."""
    seed: int = 0
    """Chooses the scenarios."""
    config: tyro.conf.UseAppendAction[tuple[Path, ...]] = ()
    """YAML file with settings of the trainings; of several, the later override the earlier."""
    timesteps: int | None = None
    """Environment steps of each training."""
    evader: str | None = None
    """Opponent in the trainings, or a mixture such as flee:2,orbit."""
    workers: int | None = None
    """Processes on this machine (default: one per usable core)."""
    ray: str | None = None
    """Work on the Ray cluster at this address instead (“auto”: this machine's cluster; “local”: start one here)."""
    out: Path | None = None
    """Folder of the comparison (default: comparisons/<date>-<time>); an existing one is resumed."""
    debug: Debug = False

    def run(self, console: Console) -> None:
        for name in ("workers", "timesteps"):
            if (number := getattr(self, name)) is not None and number < 1:
                raise UsageError(f"--{name} must be at least 1, not {number}.")
        out = self.out or Path("comparisons") / f"{datetime.now():%Y%m%d-%H%M%S}"
        settings = self._settings()
        contenders = self._contenders(out)
        words = ["safepursuit", *sys.argv[1:]]
        plan = prepare(contenders, settings, out, shlex.join(words))
        trainings, cells = undone(plan, out)
        total = sum(1 for _ in plan.cells())
        say(
            console,
            f"comparing {len(contenders)} contenders in {total} cells of {settings.episodes:,} episodes → {out}\n"
            f"to do: {len(trainings)} trainings, {len(cells)} cells",
        )
        try:
            failures = []
            if cells or trainings:
                with ComparisonDisplay(trainings, cells, console) as display:
                    failures = carry_out(trainings, cells, self._crew(out), out, words, [display])
        except KeyboardInterrupt:
            say(console, f"go on with the same command and --out {shlex.quote(str(out))}")
            raise
        if failures:
            raise RuntimeError(
                f"{len(failures)} of {len(trainings) + len(cells)} jobs failed, the first with: {failures[0].job}: "
                f"{failures[0].value} The rest is kept in {out}; the same command tries again."
            )
        from safepursuit.report.comparison.page import write_report  # late, for a faster start

        say(console, f"report: {write_report(out)}")

    def _settings(self) -> Settings:
        suites, scripts = listed(self.suite, SUITES), listed(self.evaders, EVADERS)
        evaders = (() if self.evaders == "none" else scripts) + evaders_among(self.runs)
        return Settings(suites, evaders, self.episodes, self.obstacles, self.seed)

    def _contenders(self, out: Path) -> list[Contender]:
        """In the order of the flags; the others are compared with the first group."""
        runs = from_runs(self.runs)
        if self.methods is not None:
            base = reduce(configuration.load, self.config, TrainConfig())
            base = replace(base, timesteps=self.timesteps or base.timesteps, evader=self.evader or base.evader)
            runs += from_methods(listed(self.methods, HEADS), parsed_seeds(self.seeds), base, out)
        elif self.config or self.timesteps or self.evader:
            raise UsageError("--config, --timesteps and --evader are for trainings: name their --methods.")
        found = named(runs, out)
        if self.pursuers:
            found += from_pursuers(listed(self.pursuers, PURSUERS), robot_of(runs) if runs else "unicycle")
        if not found:
            raise UsageError("nothing to compare: name run folders, --methods to train or scripted --pursuers.")
        return found

    def _crew(self, out: Path) -> Crew:
        return RayCrew(self.ray) if self.ray else LocalCrew(self.workers, out / "logs")
