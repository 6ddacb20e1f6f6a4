"""Who plays the other robot: scripted players by name, mixtures of them, or the policy of a trained run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safepursuit.game import Game, Role
from safepursuit.learn import BarrierNetTrainer
from safepursuit.players import EVADERS, PURSUERS
from safepursuit.players.lineup import lineup as spread
from safepursuit.players.lineup import parse
from safepursuit.policy import Policy
from safepursuit.runs.folder import RunFolder
from safepursuit.shield import Shield

DEFAULTS: Mapping[Role, str] = {"pursuer": "lead-intercept", "evader": "random"}
"""The opponent that plays in a role where none is named."""


@dataclass(frozen=True, eq=False)
class Opponent:
    """The players of the other role, by name, with their weights; a trained policy is the only one."""

    weights: Mapping[str, float]
    policy: Policy | None = None
    """The policy of a trained run; None for scripted players."""
    shield: Shield | None = None
    """The shield of that run."""

    def lineup(self, games: int) -> tuple[str, ...]:
        """Who plays in each of so many games; one name if it is the same one in all."""
        names = spread(dict(self.weights), games)
        return names if len(set(names)) > 1 else names[:1]


def find(text: str | Path | None, role: Role, game: Game) -> Opponent:
    """The opponent of this name, of this mixture of names such as “flee:2,orbit”, or of this run folder.

    A policy is that of the run's latest checkpoint. Raises ValueError where there is none, or where the run was trained
    with another robot, and whatever opening a run raises.
    """
    if text is None:
        text = DEFAULTS[role]
    if isinstance(text, Path) or Path(text).is_dir():
        return _trained(Path(text), role, game)
    known = EVADERS if role == "evader" else PURSUERS
    try:
        return Opponent(parse(text, known, role))
    except ValueError as error:
        folder = " A trained pursuer is named by its run folder." if role == "pursuer" else ""
        raise ValueError(f"{error}{folder}") from None


def _trained(folder: Path, role: Role, game: Game) -> Opponent:
    if role == "evader":
        raise ValueError(
            f"{folder} cannot be the evader: runs train pursuers; name a scripted evader ({', '.join(EVADERS)})."
        )
    trainer = BarrierNetTrainer.load(RunFolder.open(folder))
    if trainer.config.game.robot != game.robot:
        raise ValueError(f"the run {folder} was trained with another robot: {trainer.config.game.robot}.")
    return Opponent({str(folder): 1.0}, trainer.policy, trainer.config.shield)
