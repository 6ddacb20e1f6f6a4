"""`train`."""

import contextlib
import sys
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

import jax
import tyro
from rich.console import Console

from safepursuit.cli.training import train_and_draw
from safepursuit.cli.usage import Debug, UsageError, parsed_seeds, say
from safepursuit.experiment import TrainConfig, create_run, load_run, open_run, opponent
from safepursuit.learn import BarrierNetTrainer, Pair, ahead
from safepursuit.learn.pair import pair_of, stand_in
from safepursuit.learn.sharded import mesh_of
from safepursuit.players import weights
from safepursuit.process import use_all_cores
from safepursuit.report.tables import as_role, obstacles
from safepursuit.runs import configuration
from safepursuit.runs.folder import SEED_PREFIX, RunFolder, slug


@dataclass(frozen=True)
class Train:
    """Train a pursuer or an evader into a run folder, or both from each other, and draw learning curves and
    trajectories."""

    config: tyro.conf.UseAppendAction[tuple[Path, ...]] = ()
    """YAML file with settings; flags override it, it overrides the defaults; of several, the later win."""
    run_dir: Path | None = None
    """Run folder to create (default: runs/<method>-<evader>-<date>-<time>); with --role both, RUN_DIR/pursuer and
    RUN_DIR/evader."""
    seeds: str | None = None
    """Train these seeds in one program, such as 0..9 or 0,3,7; each gets its own run folder, RUN_DIR/seed-N."""
    start: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """Go on from the weights of this run, with its configuration as the default: another evader, scene or robot."""
    dry_run: bool = False
    """Print the merged configuration and stop."""
    both: tyro.conf.Suppress[bool] = False
    """--role both."""
    debug: Debug = False
    settings: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)

    def run(self, console: Console) -> None:
        config = self.settings
        seeds = parsed_seeds(self.seeds) if self.seeds is not None else None
        if self.both and (seeds or self.start):
            raise UsageError("--role both trains one pair from random weights: leave out --seeds and --from.")
        stamp = f"{datetime.now():%Y%m%d-%H%M%S}"
        against = config.opponent if len(weights(config.opponent, config.opponent_role)) == 1 else "mixture"
        against = "both" if self.both else Path(against).name
        path = self.run_dir or Path("runs") / slug(f"{config.method}-{against}-{stamp}")
        if self.dry_run:
            sys.stdout.write("---\n".join(map(configuration.dump, pair_of(config, path) if self.both else [config])))
            return
        use_all_cores(config.shares)
        RunFolder.check_free(path)
        given = load_run(open_run(self.start)) if self.start else None
        if not seeds and config.devices is None:
            config = shared_by_all_cores(config)
        # An impossible game and missing devices are refused before anything is written.
        mesh_of(config)
        if self.both:
            trainers = [BarrierNetTrainer(one, rival=stand_in(one)) for one in pair_of(config, path)]
            for one in Pair(trainers).trainers:
                ahead.start(one.config, one.rival)
        else:
            if not seeds:
                ahead.start(config, opponent(config.share))
            trainers = [BarrierNetTrainer(replace(config, seed=seed)) for seed in seeds or [config.seed]]
        try:
            for trainer in trainers:
                if given is not None:
                    trainer.begin_with(given.policy)
                name = trainer.config.role if self.both else f"{SEED_PREFIX}{trainer.config.seed}" if seeds else ""
                command = ["safepursuit", *sys.argv[1:]]
                trainer.run = create_run(path / name, trainer.config, command, given, rival_learns=self.both)
                if given is not None:
                    trainer.save()  # whatever happens before the next checkpoint, these weights are where it goes on
            who = f"{config.method}{as_role(config)} against {config.opponent}"
            say(
                console,
                f"training {f'two robots, {config.method}, from each other' if self.both else who} with "
                f"{obstacles(config.game.arena)}, "
                f"{config.timesteps:,} steps{' each' if self.both else ''}, "
                f"{f'seeds {self.seeds}' if seeds else f'seed {config.seed}'} → {path}",
            )
            train_and_draw(trainers, path, console)
        except BaseException:
            for run in (trainer.run for trainer in trainers if trainer.run):
                run.discard_unlearned()
            if seeds or self.both:
                with contextlib.suppress(OSError):
                    path.rmdir()
            raise


def shared_by_all_cores(config: TrainConfig) -> TrainConfig:
    """The configuration with its games on the largest number of CPU cores that can share them evenly."""
    if jax.default_backend() == "cpu":
        for devices in range(jax.local_device_count(), 1, -1):
            with contextlib.suppress(ValueError):
                return replace(config, devices=devices)
    return config
