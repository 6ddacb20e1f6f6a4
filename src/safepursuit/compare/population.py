"""The folder of a population: who is in it, how they fare against each other, and with what it was made.

    OUT/population.json                    settings, members, payoffs and rounds; written anew after each response
    OUT/pursuer/NAME/, OUT/evader/NAME/    the trained members, run folders
    OUT/cells/PURSUER/…--EVADER.json       the episodes of each pair of members, as in a comparison (`cells`)

A member is a scripted player, by its name, or a run folder, by its path in OUT. A run folder that has joined is frozen:
the digest of its parameters is kept, and compared whenever the population is opened.
"""

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from safepursuit import metagame
from safepursuit.compare.cells import Cell
from safepursuit.compare.contenders import Contender
from safepursuit.experiment import TrainConfig, TrainedRun, load_run, open_run, store_policy
from safepursuit.experiment.opponents import trained
from safepursuit.game import ROLES, Role
from safepursuit.players import EVADERS, PLAYERS, is_run, lineup
from safepursuit.policy import digest
from safepursuit.ranges import check_seed
from safepursuit.runs import configuration
from safepursuit.runs.folder import RunFolder, RunFolderError, read_json, slug, write_json

FILE = "population.json"

SUITE = "standard"
"""Of the scenarios of all pairs."""

PARTS = 50
"""In which shares a mixture is played: a member with less than half of one is left out."""

Population = metagame.Population


@dataclass(frozen=True)
class Settings:
    """How a population is made. Raises ValueError for an unknown player or an impossible number."""

    pursuers: tuple[str, ...] = ("lead-intercept", "voronoi")
    """Of the start: scripts, run folders, zoo:NAME."""
    evaders: tuple[str, ...] = tuple(EVADERS)
    timesteps: int = 2_000_000
    """Environment steps of each response."""
    method: str = "barriernet"
    """Of responses from random weights."""
    warm: bool = True
    """Begin a response with the weights of its side's latest trained member; else with random ones."""
    explore: float = 0.2
    """Share of a response's games that all members of the other side play, whatever the mixture (see `rivals`)."""
    episodes: int = 500
    """Of each pair of members."""
    seed: int = 1
    """Of their scenarios."""
    base: TrainConfig = field(default_factory=TrainConfig)
    """Game, shield, policy and learner of all trainings; the first response of a side has its seed plus one."""

    def __post_init__(self) -> None:
        check_seed(self.seed)
        for name in ("timesteps", "episodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}.")
        if not 0 <= self.explore <= 1:
            raise ValueError(f"the share of games for all members must be from 0 to 1, not {self.explore:g}.")
        for role, names in (("pursuer", self.pursuers), ("evader", self.evaders)):
            if not names or len(set(names)) < len(names):
                raise ValueError(f"name at least one {role} for the start, and none twice.")
            for name in names:
                if not is_run(name):
                    PLAYERS[role].find(name)  # type: ignore[index]

    def start(self, role: Role) -> tuple[str, ...]:
        return self.pursuers if role == "pursuer" else self.evaders

    @property
    def stored(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(replace(self, base=TrainConfig())) | {"base": configuration.dump(self.base).splitlines()}


@dataclass(frozen=True)
class Folder:
    """The files of a population."""

    path: Path

    def player(self, member: str) -> str:
        """The member as an opponent is named."""
        return str(self.path.resolve() / member) if "/" in member else member

    def run(self, member: str) -> TrainedRun:
        """A trained member."""
        return load_run(RunFolder.open(self.path / member))

    def file(self, pursuer: str, evader: str) -> Path:
        """The episodes of a pair."""
        return Cell(Contender(pursuer, ""), SUITE, evader).file(self.path)

    def cell(self, pursuer: str, evader: str, base: TrainConfig) -> Cell:
        """The cell of a pair, in the game of this configuration."""
        config = base.in_role("pursuer")
        if "/" not in pursuer:
            return Cell(Contender(pursuer, pursuer, config=config), SUITE, evader)
        run = self.run(pursuer)
        own = run.config
        config = replace(config, method=own.method, policy=own.policy, shield=own.shield)
        return Cell(Contender(pursuer, own.method, run=pursuer, steps=run.steps, config=config), SUITE, evader)


def check_free(folder: Folder) -> None:
    """Raise RunFolderError where the folder holds something other than a population."""
    path = folder.path
    if not path.exists() or (path / FILE).is_file():
        return
    if not path.is_dir() or any(not one.name.startswith(".") for one in path.iterdir()):
        raise RunFolderError(f"{path} already exists and holds no population: choose another --out.")


def opened(folder: Folder, settings: Settings) -> Population | None:
    """What is there of the population with these settings; None before its first payoffs.

    Raises RunFolderError where the population has other settings, or a member whose parameters are not those that
    joined.
    """
    if not (folder.path / FILE).is_file():
        write(folder, settings, None)
        return None
    content = _content(folder)
    _refuse_others(folder, content["settings"], settings)
    for role in ROLES:
        for member, about in content["members"][role].items():
            if about and digest(folder.run(member).policy) != about["sha256"]:
                raise RunFolderError(
                    f"the parameters of {folder.path / member} are not those with which it joined the population: put "
                    "its checkpoint back, or begin anew with another --out."
                )
    if not content["rounds"]:
        return None
    row, column = ROLES
    rounds = []
    for one in content["rounds"]:
        strategies = [np.array(one["strategies"][role], float) for role in ROLES]
        responses = [None if (who := one["responses"][role]) is None else tuple(who) for role in ROLES]
        rounds.append(metagame.Round((strategies[0], strategies[1]), (responses[0], responses[1])))
    pools = tuple(content["members"][row]), tuple(content["members"][column])
    return Population(pools, np.array(content["payoffs"], float), tuple(rounds))


def stored_base(path: Path) -> TrainConfig | None:
    """The configuration of the population in this folder, if there is one. Raises as `opened`."""
    folder = Folder(path)
    if not (path / FILE).is_file():
        return None
    return configuration.parse(TrainConfig(), "\n".join(_content(folder)["settings"]["base"]), str(path / FILE))


def write(folder: Folder, settings: Settings, population: Population | None) -> None:
    """Keep the population, in one step."""
    file = folder.path / FILE
    known = _content(folder)["members"] if file.is_file() else {role: {} for role in ROLES}
    members: dict[str, dict[str, Any]] = {role: {} for role in ROLES}
    for role, pool in zip(ROLES, population.pools if population else ((), ()), strict=True):
        for member in pool:
            members[role][member] = known[role].get(member) or _about(folder, member)
    rounds = [
        {
            "strategies": {role: one.strategies[side].tolist() for side, role in enumerate(ROLES)},
            "responses": {role: one.responses[side] for side, role in enumerate(ROLES)},
        }
        for one in (population.rounds if population else ())
    ]
    payoffs = population.matrix.tolist() if population else []
    folder.path.mkdir(parents=True, exist_ok=True)
    content = {"settings": settings.stored, "members": members, "payoffs": payoffs, "rounds": rounds}
    write_json(file, content)


def admitted(folder: Folder, name: str, role: Role, base: TrainConfig) -> str:
    """The member that a player of the start becomes: a script as it is, a run as a copy of its policy.

    Raises as `opponents.trained` for a run that cannot play in this game.
    """
    if not is_run(name):
        return name
    member = f"{role}/start-{slug(name).replace('/', '-').strip('-.')}"
    home = folder.path / member
    if not home.exists():
        given = open_run(name)
        trained(name, role, base.game)
        run = load_run(given)
        partial = home.with_name(f".{home.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        about = read_json(given.path / "provenance.json") | {"copied_from": name}
        store_policy(RunFolder(partial), run.policy, run.steps, configuration.dump(run.config), about)
        partial.rename(home)
    return member


def rivals(population: Population, side: int, explore: float) -> dict[str, float]:
    """In which shares of its games a response of this side meets the members of the other side.

    Those of their equilibrium, but for `explore`: there a member has its part by how often it beats this side's
    equilibrium, as in prioritised fictitious self-play (Vinyals et al. 2019); so weaknesses are trained on, and nobody
    who wins a game is forgotten. Both sides of a round respond to the same members.
    """
    row, column = population.rounds[-1].strategies
    captured = population.matrix[: len(row), : len(column)]
    strategy, beats = (column, 1 - row @ captured) if side == metagame.ROW else (row, captured @ column)
    if not beats.sum() > 0:
        beats = np.ones_like(beats)
    shares = (1 - explore) * strategy + explore * beats / beats.sum()
    return dict(zip(population.pools[1 - side], map(float, shares), strict=False))


def mixture(folder: Folder, shares: Mapping[str, float], games: int = PARTS) -> str:
    """Members of a side as an opponent, in whole parts near these shares."""
    parts = Counter(lineup({one: share for one, share in shares.items() if share > 0}, min(PARTS, games)))
    return ",".join(f"{folder.player(one)}:{parts[one]}" for one in shares if parts[one])


def _about(folder: Folder, member: str) -> dict[str, Any]:
    """What is kept of a member beside its name; nothing of a script."""
    if "/" not in member:
        return {}
    run = folder.run(member)
    return {"sha256": digest(run.policy), "steps": run.steps, "method": run.config.method}


def _content(folder: Folder) -> dict[str, Any]:
    file = folder.path / FILE
    found = read_json(file)
    if not isinstance(found, dict) or not {"settings", "members", "payoffs", "rounds"} <= found.keys():
        raise RunFolderError(f"{file} is no population of safepursuit: choose another --out.")
    return found


def _refuse_others(folder: Folder, theirs: Mapping[str, Any], settings: Settings) -> None:
    """Raise RunFolderError where the population was made with other settings."""
    ours = settings.stored
    for name in (one.name for one in fields(Settings)):
        mine, other = (list(found[name]) if isinstance(found[name], tuple) else found[name] for found in (ours, theirs))
        if mine == other:
            continue
        if name == "base":
            name, (mine, other) = "the configuration", _first_difference(mine, other)
        raise RunFolderError(
            f"{folder.path} holds a population with {name} = {other}, not {mine}: choose another --out, or the same "
            "settings."
        )


def _first_difference(mine: list[str], other: list[str]) -> tuple[str, str]:
    return next(((a.strip(), b.strip()) for a, b in zip(mine, other, strict=False) if a != b), ("", ""))
