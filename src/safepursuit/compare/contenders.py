"""Who is compared: finished runs, trainings to come, scripted pursuers; and under which names."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from safepursuit.experiment import TrainConfig, in_zoo, load_config, open_run
from safepursuit.game import Game
from safepursuit.players import PURSUERS
from safepursuit.runs import checkpoint
from safepursuit.runs.folder import SEED_PREFIX, RunFolder, slug

_TOLD = 2
"""Most settings by which a group's name differs from another's; beyond that it says where the run is from."""

_STORED = ("group", "method", "seed", "run", "steps")

_SIZE = "arena.half_extents"

_SAME = ("evader_model", "capture_radius", "horizon", _SIZE)
"""Fields of the game in which, beside the robot's, all trainings must equal the default game of their robot; a room has
its own size."""


@dataclass(frozen=True)
class Contender:
    """A trained run, a training to come, or a scripted pursuer."""

    group: str
    """What it is compared as: runs that differ only by their seed share it."""
    method: str
    """The safety architecture, or the scripted pursuer's name."""
    seed: int | None = None
    """The training's seed; None for a scripted pursuer."""
    run: str | None = None
    """The run folder, relative to that of the comparison where it lies inside; None for a scripted pursuer."""
    steps: int | None = None
    """Environment steps of the training; None for a scripted pursuer."""
    config: TrainConfig = field(default_factory=TrainConfig, compare=False, repr=False)
    """Of the training; the default one for a scripted pursuer, or where the contender was read from a file."""
    to_train: bool = field(default=False, compare=False, repr=False)
    """The comparison trains it."""

    @property
    def name(self) -> str:
        """Unique within a comparison; also the name of a folder."""
        return self.group if self.seed is None else f"{self.group}/{SEED_PREFIX}{self.seed}"

    @property
    def stored(self) -> dict[str, Any]:
        """As JSON has it."""
        return {name: getattr(self, name) for name in _STORED}

    def folder(self, out: Path) -> Path | None:
        """The run folder, for a comparison in OUT; None for a scripted pursuer."""
        return None if self.run is None else out.resolve() / self.run


def from_runs(paths: Sequence[Path]) -> list[Contender]:
    """The pursuers in these run folders, or folders of several seeds, at their latest checkpoints, still to be `named`.

    Raises RunFolderError, ConfigurationError or CheckpointError for a folder that cannot be used, and ValueError for
    one whose game differs from that of the comparison (`refuse_another_game`).
    """
    found = []
    for path, run in _runs(paths):
        config = load_config(run)
        refuse_another_game(config, str(run.path))
        if config.role == "evader":
            continue
        folder = run.path.resolve()
        label = folder.parent.name if folder.name.startswith(SEED_PREFIX) else folder.name
        label = str(path) if in_zoo(path) else label
        found.append(_of_run(label, folder, checkpoint.steps(run), config))
    return found


def evaders_among(paths: Sequence[Path]) -> tuple[str, ...]:
    """The evaders among these runs, which the contenders chase besides the scripts: run folders and names of the zoo.
    Raises as `from_runs`."""
    evaders = ((path, run) for path, run in _runs(paths) if load_config(run).role == "evader")
    return tuple(str(path if in_zoo(path) else run.path.resolve()) for path, run in evaders)


def _runs(paths: Sequence[Path]) -> list[tuple[Path, RunFolder]]:
    """Every run, with the path or the name of the zoo that was given for it."""
    return [(path, run) for path in paths for run in RunFolder.together(path) or [open_run(path)]]


def from_methods(methods: Sequence[str], seeds: Sequence[int], config: TrainConfig, out: Path) -> list[Contender]:
    """One training for each method and seed, in OUT/runs/<method>/seed-N with this configuration, still to be `named`.

    Raises ValueError for an unknown method, or a game that differs from that of the comparison.
    """
    refuse_another_game(config, "the training to come")
    label = f"{config.evader}, {config.timesteps:,} steps"
    found = []
    for own in (replace(config, method=method, seed=seed) for method in methods for seed in seeds):
        folder = out.resolve() / "runs" / own.method / f"{SEED_PREFIX}{own.seed}"
        found.append(_of_run(label, folder, own.iterations * own.steps_per_iteration, own, to_train=True))
    return found


def _of_run(label: str, folder: Path, steps: int, config: TrainConfig, to_train: bool = False) -> Contender:
    return Contender(label, config.method, config.seed, str(folder), steps, config, to_train)


def from_pursuers(names: Sequence[str], robot: str = "unicycle") -> list[Contender]:
    """Scripted pursuers of this robot as contenders. Raises ValueError for an unknown one."""
    for name in names:
        PURSUERS.find(name)
    config = TrainConfig().with_robot(robot)
    return [Contender(group=name, method=name, config=config) for name in names]


def robot_of(contenders: Sequence[Contender]) -> str:
    """The model of the robot, the same for all. Raises ValueError where two differ, or there is none."""
    models = {one.config.game.robot_model: one for one in contenders}
    if len(models) > 1:
        (first, one), (second, other), *_ = models.items()
        raise ValueError(
            f"{one.run or one.name} drives the robot {first!r}, {other.run or other.name} {second!r}: compare runs of "
            "the same robot."
        )
    return next(iter(models))


def named(runs: Sequence[Contender], out: Path) -> list[Contender]:
    """Runs with the groups of a comparison in OUT, named after the method and, where needed, after what differs.

    Runs that differ only by their seed share a group; where the name does not tell two runs apart, it takes the
    preliminary group in brackets. A run that is given twice is one contender. Raises ValueError for runs that no name
    tells apart.
    """
    runs = list({run.run: run for run in runs}.values())
    told = [_told(run, runs) for run in runs]
    counts = Counter((name, run.seed) for name, run in zip(told, runs, strict=True))
    unclear = {name for (name, _), count in counts.items() if count > 1}
    names = [_labelled(run) if name in unclear else name for name, run in zip(told, runs, strict=True)]
    first: dict[tuple[str, int | None], Contender] = {}
    for name, run in zip(names, runs, strict=True):
        if (other := first.setdefault((slug(name), run.seed), run)) is not run:
            raise ValueError(
                f"{other.run} and {run.run} are both called {name!r}, seed {run.seed}: leave one out, or rename its "
                "folder."
            )
    return [replace(run, group=name, run=_inside(run, out)) for name, run in zip(names, runs, strict=True)]


def _told(run: Contender, runs: Sequence[Contender]) -> str:
    """The method, and in brackets what differs from other runs of the same method."""
    arms = list(dict.fromkeys(_arm(one) for one in runs if one.method == run.method))
    if len(arms) == 1:
        return run.method
    flat = [dict(_flat(asdict(arm))) for arm in arms]
    own = dict(_flat(asdict(_arm(run))))
    differ = [key for key in own if any(other[key] != own[key] for other in flat)]
    if len(differ) > _TOLD:
        return _labelled(run)
    settings = (f"{key.rpartition('.')[2]} {_short(own[key])}" for key in differ)
    return f"{run.method} ({', '.join(settings)})"


def _arm(run: Contender) -> TrainConfig:
    """What runs that are replicas of each other have in common."""
    return replace(run.config, seed=0, checkpoint_every=1)


def _labelled(run: Contender) -> str:
    return f"{run.method} ({run.group})"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _inside(run: Contender, out: Path) -> str:
    """The run folder relative to OUT where it lies inside, so that a comparison can be moved."""
    folder, out = Path(str(run.run)), out.resolve()
    return folder.relative_to(out).as_posix() if folder.is_relative_to(out) else str(folder)


def refuse_another_game(config: TrainConfig, who: str) -> None:
    """Raise ValueError where a training's game differs from the default one of its robot in what makes figures
    comparable."""
    default = Game.of_robot(config.game.robot_model)
    robot = (f"robot.{one.name}" for one in fields(default.robot))
    same = [name for name in (*robot, *_SAME) if not (config.game.arena.room and name == _SIZE)]
    for name in same:
        theirs, ours = (attrgetter(name)(game) for game in (config.game, default))
        if theirs != ours:
            raise ValueError(
                f"{who} has game.{name} = {theirs}, but the game of a comparison has {ours}: its figures would not "
                "compare."
            )
    replace(config, game=default)  # refuses a shield for which the starts of that game are too near to walls and discs
