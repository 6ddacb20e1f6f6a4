"""Scripted pursuers and evaders, by name.

A player is a function of what both robots do now; it keeps no memory and returns a *nominal* control, which the caller
may send through the shield. To add one, write it in `pursuers` or `evaders` and give it a line here.
"""

from safepursuit.players.evaders import flee, random_controls
from safepursuit.players.player import Player, Sight
from safepursuit.players.pursuers import pure_pursuit

EVADERS: dict[str, Player] = {"random": random_controls, "flee": flee}
PURSUERS: dict[str, Player] = {"pure-pursuit": pure_pursuit}

__all__ = ["EVADERS", "PURSUERS", "Player", "Sight", "summary"]


def summary(player: Player) -> str:
    """The first line of a player's documentation."""
    return (player.__doc__ or "").strip().splitlines()[0]
