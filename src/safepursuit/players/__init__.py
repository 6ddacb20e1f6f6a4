"""Scripted pursuers and evaders, by name.

A player is a function of the present situation, without memory; it returns a *nominal* control, which the caller may
pass to the shield. A new one gets a line here, or is registered in a plugin.
"""

from collections.abc import Mapping

from safepursuit.game import Role
from safepursuit.players.evaders import flee, hide, orbit, random_controls, run
from safepursuit.players.lineup import full_lineup, lineup, parse, play_together
from safepursuit.players.player import Player, Sight
from safepursuit.players.pursuers import constant_bearing, lead_intercept, pure_pursuit, tangent_pursuit, voronoi
from safepursuit.players.rollout_mpc import mpc_evader, mpc_lead_evader, mpc_pursuer, mpc_robust_evader
from safepursuit.registry import Registry

EVADERS: Registry[Player] = Registry(
    "evader",
    random=random_controls,
    run=run,
    flee=flee,
    orbit=orbit,
    hide=hide,
    mpc=mpc_evader,
    mpc_lead=mpc_lead_evader,
    mpc_robust=mpc_robust_evader,
)
PURSUERS: Registry[Player] = Registry(
    "pursuer",
    pure_pursuit=pure_pursuit,
    tangent_pursuit=tangent_pursuit,
    constant_bearing=constant_bearing,
    lead_intercept=lead_intercept,
    voronoi=voronoi,
    mpc=mpc_pursuer,
)
PLAYERS: Mapping[Role, Registry[Player]] = {"pursuer": PURSUERS, "evader": EVADERS}

__all__ = [
    "EVADERS",
    "PLAYERS",
    "PURSUERS",
    "Player",
    "Sight",
    "evader_weights",
    "evaders_of",
    "full_lineup",
    "lineup",
    "parse",
    "play_together",
]


def evader_weights(mixture: str) -> dict[str, float]:
    """The evaders of “flee”, or of a mixture such as “flee:2,orbit,hide”. Raises ValueError for anything else."""
    return parse(mixture, EVADERS)


def evaders_of(mixture: str, games: int) -> tuple[str, ...]:
    """The evader of each of `games` games. Raises ValueError as `evader_weights`."""
    return lineup(evader_weights(mixture), games)
