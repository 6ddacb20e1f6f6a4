"""What a comparison consists of, and what of it is still to be done."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from safepursuit.compare import plan as plans
from safepursuit.compare import trainings
from safepursuit.compare.cells import Cell, read
from safepursuit.compare.contenders import Candidate
from safepursuit.compare.jobs import Judging, Training
from safepursuit.compare.plan import Plan, PlannedSuite
from safepursuit.evaluation.scenarios import SUITES
from safepursuit.game import Game
from safepursuit.players import EVADERS
from safepursuit.runs.folder import RunFolderError, provenance


@dataclass(frozen=True)
class Settings:
    """On what all contenders are judged. Raises ValueError for an unknown name or an impossible number."""

    suites: tuple[str, ...] = ("standard",)
    evaders: tuple[str, ...] = tuple(EVADERS)
    """Of the suites that do not have one of their own."""
    episodes: int = 1000
    """For each contender, suite and evader."""
    obstacles: int = Game().arena.obstacles
    """Where the suite does not set their number."""
    seed: int = 0
    """Of the scenarios."""

    def __post_init__(self) -> None:
        for kind, names, known in (("suite", self.suites, SUITES), ("evader", self.evaders, EVADERS)):
            if not names or len(set(names)) < len(names):
                raise ValueError(f"name at least one {kind}, and none twice.")
            for name in names:
                if name not in known:
                    raise ValueError(f"unknown {kind} {name!r}; known are {', '.join(known)}.")
        if self.episodes < 1:
            raise ValueError(f"the number of episodes must be at least 1, not {self.episodes}.")
        replace(Game().arena, obstacles=self.obstacles)  # refuses an impossible number

    @property
    def game(self) -> Game:
        """The game that all play, before the suite changes it."""
        game = Game()
        return replace(game, arena=replace(game.arena, obstacles=self.obstacles))

    def planned(self) -> tuple[PlannedSuite, ...]:
        """The suites with their opponents."""
        found = []
        for name in self.suites:
            fixed = SUITES[name].evader
            found.append(PlannedSuite(name, SUITES[name].version, (fixed,) if fixed else self.evaders))
        return tuple(found)


def prepare(candidates: Sequence[Candidate], settings: Settings, out: Path, command: str) -> Plan:
    """Write the plan of the comparison into its folder. The group named first is the primary one.

    Raises RunFolderError where the folder holds something else, or a comparison with other settings, and ValueError
    where a run in it was trained with another configuration: nothing is mixed, nothing overwritten.
    """
    refuse_another_comparison(out, settings)
    for candidate in candidates:
        if candidate.to_train and candidate.folder:
            trainings.check(candidate.folder, candidate.config)
    entries = tuple(candidate.entry for candidate in candidates)
    plan = Plan(
        command=command,
        primary=entries[0].contender.group if entries else "",
        suites=settings.planned(),
        episodes=settings.episodes,
        entries=entries,
        obstacles=settings.obstacles,
        seed=settings.seed,
        provenance=provenance(),
    )
    plans.write(plan, out)
    return plan


def refuse_another_comparison(out: Path, settings: Settings) -> None:
    """Raise RunFolderError where OUT cannot be gone on with under these settings."""
    if not (out / plans.FILE).is_file():
        if out.exists() and (not out.is_dir() or any(not file.name.startswith(".") for file in out.iterdir())):
            raise RunFolderError(f"{out} already exists and holds no comparison: choose another --out.")
        return
    found = plans.read(out)
    for name in ("episodes", "seed", "obstacles"):
        theirs, ours = getattr(found, name), getattr(settings, name)
        if theirs != ours:
            raise RunFolderError(
                f"{out} holds a comparison with {name} = {theirs}, not {ours}: choose another --out or the same {name}."
            )


def complete(cell: Cell, trained_steps: int | None, settings: Settings, out: Path) -> bool:
    """Whether a finished cell of this contender, at this step of its training, under these settings is there.

    Raises ValueError where a file cannot be read.
    """
    file = cell.file(out)
    if not file.is_file():
        return False
    suite = SUITES[cell.suite]
    expected = {
        "suite_version": suite.version,
        "episodes": settings.episodes,
        "seed": settings.seed,
        "obstacles": suite.game(settings.game).arena.obstacles,
        "trained_steps": trained_steps,
    }
    found = read(file)
    return found.cell == cell and all(found.result.get(name) == value for name, value in expected.items())


def undone(
    plan: Plan, candidates: Sequence[Candidate], settings: Settings, out: Path
) -> tuple[list[Training], list[Judging]]:
    """The trainings and the cells of the plan that are still to be done."""
    trained = [
        Training(candidate.entry.contender.name, candidate.config, candidate.folder)
        for candidate in candidates
        if candidate.to_train and candidate.folder and not trainings.finished(candidate.folder, candidate.config)
    ]
    by_name = {candidate.entry.contender.name: candidate for candidate in candidates}
    cells = []
    for cell in plan.cells():
        candidate = by_name[cell.contender.name]
        steps = candidate.entry.steps
        if not complete(cell, steps, settings, out):
            fixed = SUITES[cell.suite].fixes_obstacles
            cells.append(
                Judging(
                    cell=cell,
                    config=replace(candidate.config, game=Game()),
                    episodes=settings.episodes,
                    obstacles=None if fixed else settings.obstacles,
                    seed=settings.seed,
                    trained_steps=steps,
                    folder=candidate.folder,
                )
            )
    return trained, cells
