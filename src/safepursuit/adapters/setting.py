"""What an environment is made of, from the keywords that Gymnasium and PettingZoo hand on."""

from pathlib import Path
from typing import Any

from safepursuit.adapters.match import Match
from safepursuit.experiment.opponents import Opponents, find
from safepursuit.game import Game, Role
from safepursuit.runs.configuration import changed
from safepursuit.shield import check


def rules(game: Game | None, changes: dict[str, Any]) -> Game:
    """The game (by default `Game()`) with some fields changed: its own, its arena's or its robot's, by their names.

    Raises TypeError for a name that is none of them (naming the nearest), ValueError for an impossible game.
    """
    return changed(Game() if game is None else game, changes)


def match(
    role: str, opponent: str | Path | None, game: Game, *, opponent_shielded: bool, normalised: bool
) -> tuple[Match, Opponents]:
    """A match of these settings, and its opponents. Raises ValueError for an unknown role, opponent or impossible game,
    and whatever opening a run raises."""
    others: dict[str, tuple[Role, Role]] = {"pursuer": ("pursuer", "evader"), "evader": ("evader", "pursuer")}
    if role not in others:
        raise ValueError(f"the role must be 'pursuer' or 'evader', not {role!r}.")
    own, other = others[role]
    found = find(opponent, other, game, shielded=opponent_shielded)
    if shield := found.trained.shield if found.trained else found.shield:
        check(shield, game.limits(other), game.capture_radius)
    return Match(game, own, normalised), found


def normalised(actions: str) -> bool:
    """Whether actions are normalised. Raises ValueError for a word that is neither of the two."""
    if actions not in ("normalised", "physical"):
        raise ValueError(f"actions must be 'normalised' or 'physical', not {actions!r}.")
    return actions == "normalised"
