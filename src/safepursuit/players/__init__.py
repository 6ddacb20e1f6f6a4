"""Scripted pursuers and evaders, by name.

A player is a function of the present situation, without memory; it returns a *nominal* control, which the caller may
pass to the shield. A new one gets a line here, or is registered in a plugin.
"""

from collections.abc import Mapping
from pathlib import Path

from safepursuit.game import Role
from safepursuit.players.evaders import flee, hide, orbit, random_controls, run
from safepursuit.players.lineup import check_all_play, lineup, parse, play_together
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
    "check_all_play",
    "is_run",
    "lineup",
    "play_together",
    "players_of",
    "weights",
]


def is_run(name: str) -> bool:
    """Whether a player's name is that of a trained run: a folder, with a slash where it may be missing by now."""
    of_zoo = name.startswith("zoo:") and name.count(":") == 1
    return not name.endswith(":") and (of_zoo or "/" in name or _folder(name))


def _folder(name: str) -> bool:
    return bool(name) and not any(name in known for known in PLAYERS.values()) and Path(name).is_dir()


def weights(mixture: str, role: Role) -> dict[str, float]:
    """The players of a role in “flee”, a run folder, or a mixture such as “flee:2,orbit,runs/e1:3”.

    Raises ValueError for anything else.
    """
    try:
        return parse(mixture, PLAYERS[role], is_run)
    except ValueError as error:
        raise ValueError(f"{error} A trained {role} is named by its run folder.") from None


def players_of(mixture: str, role: Role, games: int) -> tuple[str, ...]:
    """The player of each of `games` games. Raises ValueError as `weights`."""
    return lineup(weights(mixture, role), games)
