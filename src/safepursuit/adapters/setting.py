"""Rules, opponents and spaces of an environment, from the keywords of its constructor."""

from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Box

from safepursuit.adapters.match import Match, bounds
from safepursuit.experiment.opponents import Opponents, find, scripts_shield
from safepursuit.game import ROLES, Game, Role, other
from safepursuit.process import note_use_of_jax
from safepursuit.robot import Robot
from safepursuit.runs.configuration import changed
from safepursuit.shield import check


def rules(game: Game | None, changes: dict[str, Any]) -> Game:
    """The game (by default `Game()`) with some fields changed: its own, its arena's or its robot's, by their names.

    Raises TypeError for an unknown name (with the nearest one), ValueError for an impossible game.
    """
    note_use_of_jax()  # every environment begins here
    return changed(Game() if game is None else game, changes)


def match(
    role: str, opponent: str | Path | None, game: Game, *, opponent_shielded: bool, actions: str
) -> tuple[Match, Opponents]:
    """The match of these settings, and its opponents. Raises ValueError for unknown `actions`, an unknown role or
    opponent or an impossible game, and the errors of opening a run."""
    unit_box = normalised(actions)
    if role not in ROLES:
        raise ValueError(f"the role must be 'pursuer' or 'evader', not {role!r}.")
    own: Role = "pursuer" if role == "pursuer" else "evader"
    theirs = other(own)
    found = find(opponent, theirs, game, shield=scripts_shield(game, theirs) if opponent_shielded else None)
    for shield in [found.shield, *(one.shield for one in found.trained.values())]:
        if shield is not None:
            check(shield, game.limits(theirs), game.capture_radius, game.arena.half_extents)
    return Match(game, own, unit_box), found


def normalised(actions: str) -> bool:
    """Whether actions are normalised. Raises ValueError for a word other than "normalised" and "physical"."""
    if actions not in ("normalised", "physical"):
        raise ValueError(f"actions must be 'normalised' or 'physical', not {actions!r}.")
    return actions == "normalised"


def observation_space(game: Game) -> Box:
    """The range of `match.flatten`: (16 + 6 · discs,) float32 of the sensor "discs"."""
    return Box(*bounds(game), dtype=np.float32)


def action_space(robot: Robot, normalised: bool) -> Box:
    """(2,) float32: speed and turn rate, within [−1, 1]² or in [v̲, v̄] m/s × [−ω̄, ω̄] rad/s."""
    if normalised:
        return Box(-1.0, 1.0, (2,), np.float32)
    high = np.array([robot.max_speed, robot.max_turn_rate], np.float32)
    return Box(np.array([robot.min_speed, -robot.max_turn_rate], np.float32), high, dtype=np.float32)
