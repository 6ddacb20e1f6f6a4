"""Opponents: scripted players by name, mixtures of them, or a trained run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safepursuit.agents import Agent, Scripted, Trained
from safepursuit.experiment.config import TrainConfig
from safepursuit.experiment.run import load_run
from safepursuit.game import Game, Role
from safepursuit.players import EVADERS, PLAYERS, full_lineup, parse
from safepursuit.runs.folder import RunFolder
from safepursuit.shield import Shield, fitting

DEFAULTS: Mapping[Role, str] = {"pursuer": "lead-intercept", "evader": "random"}
"""The player of a role where none is named."""


@dataclass(frozen=True, eq=False)
class Opponents:
    """The players of a role by name, with their weights; a trained one is the only one."""

    weights: Mapping[str, float]
    shield: Shield | None
    """Of scripted players."""
    trained: Trained | None = None

    def lineup(self, games: int) -> tuple[str, ...]:
        """The player of each game; a single name where all are the same. Raises ValueError where one gets no game."""
        names = full_lineup(dict(self.weights), games)
        return names if len(set(names)) > 1 else names[:1]

    def agent(self, names: Sequence[str]) -> Agent:
        """The agent for games with these players, `names[i]` in game i, or a single one in all."""
        return self.trained or Scripted(names, self.shield)


def opponent(config: TrainConfig) -> Agent:
    """The opponent in training."""
    return Scripted(config.lineup, config.shield if config.evader_shielded else None)


def find(text: str | Path | None, role: Role, game: Game, *, shielded: bool = True) -> Opponents:
    """The players of this name, of a mixture such as “flee:2,orbit”, or of a run folder (its latest checkpoint).

    Scripted players are kept off walls and discs if `shielded`. Raises ValueError for an unknown name or a run that was
    trained with another robot, and whatever opening a run raises.
    """
    if text is None:
        text = DEFAULTS[role]
    if isinstance(text, Path) or Path(text).is_dir():
        return _trained(Path(text), role, game)
    try:
        return Opponents(
            parse(text, PLAYERS[role]), fitting(game.limits(role), game.arena.half_extents) if shielded else None
        )
    except ValueError as error:
        folder = " A trained pursuer is named by its run folder." if role == "pursuer" else ""
        raise ValueError(f"{error}{folder}") from None


def _trained(folder: Path, role: Role, game: Game) -> Opponents:
    if role == "evader":
        raise ValueError(
            f"{folder} cannot be the evader: runs train pursuers; name a scripted evader ({', '.join(EVADERS)})."
        )
    run = load_run(RunFolder.open(folder))
    if run.config.game.robot != game.robot:
        raise ValueError(f"the run {folder} was trained with another robot: {run.config.game.robot}.")
    return Opponents({str(folder): 1.0}, None, Trained(run.policy, run.config.shield))
