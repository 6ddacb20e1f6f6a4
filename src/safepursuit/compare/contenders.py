"""Who is compared: finished runs, trainings to come, scripted pursuers; and under which names."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from safepursuit.compare.cells import Contender
from safepursuit.compare.plan import Entry
from safepursuit.evaluation.deployment import ScriptedPursuer
from safepursuit.experiment import TrainConfig, load_config
from safepursuit.game import Game
from safepursuit.runs import checkpoint
from safepursuit.runs.folder import SEED_PREFIX, RunFolder, slug

_TOLD = 2
"""Settings that a group's name tells apart from those of its siblings; beyond that the folder's name says more."""


@dataclass(frozen=True)
class Candidate:
    """One contender, with what it takes to judge it."""

    entry: Entry
    config: TrainConfig
    """Its own; of a scripted pursuer the default one."""
    folder: Path | None = None
    """The run folder; None for a scripted pursuer."""
    to_train: bool = False
    """The run is made by the comparison."""


@dataclass(frozen=True)
class Found:
    """A run, or one to come, before it has a name."""

    folder: Path
    label: str
    """What its folder says about it, the seed apart."""
    config: TrainConfig
    steps: int
    to_train: bool = False

    @property
    def arm(self) -> TrainConfig:
        """What runs that are replicas of each other have in common."""
        return replace(self.config, seed=0, checkpoint_every=1)


def from_runs(paths: Sequence[Path]) -> list[Found]:
    """What is in these run folders, or folders of several seeds, at their latest checkpoints.

    Raises RunFolderError, ConfigurationError or CheckpointError for a folder that cannot be used, and ValueError for
    one whose game differs from that of the comparison (`refuse_another_game`).
    """
    return [run for path in paths for run in _read(path)]


def _read(path: Path) -> Iterator[Found]:
    for run in RunFolder.of_seeds(path) or [RunFolder.open(path)]:
        config = load_config(run)
        refuse_another_game(config.game, str(run.path))
        folder = run.path.resolve()
        label = folder.parent.name if folder.name.startswith(SEED_PREFIX) else folder.name
        yield Found(folder, label, config, int(checkpoint.locate(run).name))


def to_train(methods: Sequence[str], seeds: Sequence[int], config: TrainConfig, out: Path) -> list[Found]:
    """One run for each method and seed, to be trained with this configuration in OUT/runs/<method>/seed-N.

    Raises ValueError for an unknown method, or a game that differs from that of the comparison.
    """
    refuse_another_game(config.game, "the training to come")
    found = []
    for method in methods:
        for seed in seeds:
            own = replace(config, method=method, seed=seed)
            folder = out.resolve() / "runs" / method / f"{SEED_PREFIX}{seed}"
            steps = own.iterations * own.steps_per_iteration
            found.append(Found(folder, f"{config.evader}, {config.timesteps:,} steps", own, steps, to_train=True))
    return found


def from_pursuers(names: Sequence[str]) -> list[Candidate]:
    """Scripted pursuers as contenders. Raises ValueError for an unknown one."""
    return [
        Candidate(Entry(Contender(group=ScriptedPursuer(name).name, method=name)), TrainConfig(game=Game()))
        for name in names
    ]


def from_found(runs: Sequence[Found], out: Path) -> list[Candidate]:
    """Runs as contenders, their groups named after the method and, where that is not enough, after what differs.

    Runs that differ only by their seed share a group. A run that is given twice is one contender. Raises ValueError for
    runs that nothing tells apart.
    """
    runs = list({run.folder: run for run in runs}.values())
    told = [_told(run, runs) for run in runs]
    pairs = [(name, run.config.seed) for name, run in zip(told, runs, strict=True)]
    unclear = {name for name, seed in pairs if pairs.count((name, seed)) > 1}
    names = [
        f"{run.config.method} ({run.label})" if name in unclear else name for name, run in zip(told, runs, strict=True)
    ]
    first: dict[tuple[str, int], Path] = {}
    found = []
    for name, run in zip(names, runs, strict=True):
        other = first.setdefault((slug(name), run.config.seed), run.folder)
        if other != run.folder:
            raise ValueError(
                f"{other} and {run.folder} are both called {name!r}, seed {run.config.seed}: leave one out, or rename "
                "its folder."
            )
        contender = Contender(name, run.config.method, run.config.seed, _path(run.folder, out))
        found.append(Candidate(Entry(contender, run.steps), run.config, run.folder, run.to_train))
    return found


def _told(run: Found, runs: Sequence[Found]) -> str:
    """The method, and in brackets what differs from other runs of the same method."""
    method = run.config.method
    arms = list(dict.fromkeys(one.arm for one in runs if one.config.method == method))
    if len(arms) == 1:
        return method
    flat = [dict(_flat(asdict(arm))) for arm in arms]
    own = dict(_flat(asdict(run.arm)))
    differ = [key for key in own if any(other[key] != own[key] for other in flat)]
    if len(differ) > _TOLD:
        return f"{method} ({run.label})"
    settings = (f"{key.rpartition('.')[2]} {_short(own[key])}" for key in differ)
    return f"{method} ({', '.join(settings)})"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _path(folder: Path, out: Path) -> str:
    """Relative to OUT where it lies inside, so that a comparison can be moved."""
    inside = folder.is_relative_to(out.resolve())
    return folder.relative_to(out.resolve()).as_posix() if inside else str(folder)


def refuse_another_game(game: Game, who: str) -> None:
    """Raise ValueError where a training's game differs from `Game()` in what makes figures comparable."""
    ours = Game()
    for name in ("radius", "max_speed", "max_turn_rate", "dt", "integrator"):
        _refuse(who, f"robot.{name}", getattr(game.robot, name), getattr(ours.robot, name))
    for name in ("capture_radius", "horizon"):
        _refuse(who, name, getattr(game, name), getattr(ours, name))
    _refuse(who, "arena.half_extents", game.arena.half_extents, ours.arena.half_extents)


def _refuse(who: str, name: str, theirs: Any, ours: Any) -> None:
    if theirs != ours:
        raise ValueError(
            f"{who} has game.{name} = {theirs}, but the game of a comparison has {ours}: its figures would not compare."
        )
