"""Scripted pursuers and evaders, by name.

A player is a function of what both robots do now; it keeps no memory and returns a *nominal* control, which the caller
may send through the shield. To add one, write it and give it a line here.
"""

from safepursuit.players import lineup
from safepursuit.players.evaders import flee, hide, orbit, random_controls, run
from safepursuit.players.player import Player, Sight
from safepursuit.players.pursuers import constant_bearing, lead_intercept, pure_pursuit, tangent_pursuit, voronoi
from safepursuit.players.rollout_mpc import mpc_evader, mpc_lead_evader, mpc_pursuer, mpc_robust_evader

EVADERS: dict[str, Player] = {
    "random": random_controls,
    "run": run,
    "flee": flee,
    "orbit": orbit,
    "hide": hide,
    "mpc": mpc_evader,
    "mpc-lead": mpc_lead_evader,
    "mpc-robust": mpc_robust_evader,
}
PURSUERS: dict[str, Player] = {
    "pure-pursuit": pure_pursuit,
    "tangent-pursuit": tangent_pursuit,
    "constant-bearing": constant_bearing,
    "lead-intercept": lead_intercept,
    "voronoi": voronoi,
    "mpc": mpc_pursuer,
}

__all__ = ["EVADERS", "PURSUERS", "Player", "Sight", "evader_weights", "evaders_of", "summary"]


def evader_weights(mixture: str) -> dict[str, float]:
    """The evaders of “flee”, or of a mixture such as “flee:2,orbit,hide”. Raises ValueError for anything else."""
    return lineup.parse(mixture, EVADERS)


def evaders_of(mixture: str, games: int) -> tuple[str, ...]:
    """The evader of each of so many games. Raises ValueError as `evader_weights` does."""
    return lineup.lineup(evader_weights(mixture), games)


def summary(player: Player) -> str:
    """The first line of a player's documentation."""
    return (player.__doc__ or "").strip().splitlines()[0]
