"""Who plays the other robot: scripted players by name, mixtures of them, or a trained run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safepursuit.agents import Agent, Scripted, Trained
from safepursuit.experiment.config import TrainConfig
from safepursuit.experiment.run import load_run
from safepursuit.game import Game, Role
from safepursuit.players import EVADERS, PLAYERS, lineup, parse
from safepursuit.runs.folder import RunFolder
from safepursuit.shield import Shield

DEFAULTS: Mapping[Role, str] = {"pursuer": "lead-intercept", "evader": "random"}
"""Who plays a role where nothing is said."""


@dataclass(frozen=True, eq=False)
class Opponents:
    """The players of a role, by name, with their weights; a trained one is the only one."""

    weights: Mapping[str, float]
    shield: Shield | None
    """Of scripted ones."""
    trained: Trained | None = None

    def lineup(self, games: int) -> tuple[str, ...]:
        """Who plays in each of so many games; one name if it is the same one in all."""
        names = lineup(dict(self.weights), games)
        return names if len(set(names)) > 1 else names[:1]

    def agent(self, names: Sequence[str]) -> Agent:
        """The agent for games in which these play, `names[i]` in game i, or the only one in all."""
        return self.trained or Scripted(names, self.shield)


def opponent(config: TrainConfig) -> Agent:
    """Against whom a training plays."""
    return Scripted(config.lineup, config.shield if config.evader_shielded else None)


def find(text: str | Path | None, role: Role, game: Game, *, shielded: bool = True) -> Opponents:
    """The players of this name, of a mixture of names such as “flee:2,orbit”, or of a run folder.

    Scripted ones are kept off walls and discs if `shielded`. A policy is that of the run's latest checkpoint. Raises
    ValueError where there is none, or where the run was trained with another robot, and whatever opening a run raises.
    """
    if text is None:
        text = DEFAULTS[role]
    if isinstance(text, Path) or Path(text).is_dir():
        return _trained(Path(text), role, game)
    try:
        return Opponents(parse(text, PLAYERS[role]), Shield() if shielded else None)
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
