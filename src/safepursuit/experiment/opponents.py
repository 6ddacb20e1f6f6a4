"""Opponents: scripted players by name, trained runs, and mixtures of both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from safepursuit.agents import Agent, Company, Ensemble, Scripted, Trained
from safepursuit.experiment.config import TrainConfig
from safepursuit.experiment.run import TrainedRun, load_run
from safepursuit.experiment.zoo import open_run
from safepursuit.game import Game, Role
from safepursuit.players import check_all_play, is_run, lineup, weights
from safepursuit.shield import Shield, fitting

DEFAULTS: Mapping[Role, str] = {"pursuer": "lead-intercept", "evader": "random"}
"""The player of a role where none is named."""


@dataclass(frozen=True, eq=False)
class Opponents:
    """The players of a role by name, with their weights."""

    name: str
    """As the user wrote it: flee, runs/e1, or flee:2,orbit,runs/e1."""
    weights: Mapping[str, float]
    shield: Shield | None
    """Of scripted players."""
    trained: Mapping[str, Trained] = field(default_factory=dict)
    """Those that are trained, by name."""

    def lineup(self, games: int) -> tuple[str, ...]:
        """The player of each game; a single name where all are the same. Raises ValueError where one gets no game."""
        check_all_play(dict(self.weights), games)
        names = lineup(dict(self.weights), games)
        return names if len(set(names)) > 1 else names[:1]

    def agent(self, names: Sequence[str]) -> Agent:
        """The agent for games with these players, `names[i]` in game i, or a single one in all."""
        if len(set(names)) == 1 and names[0] in self.trained:
            return self.trained[names[0]]
        groups: dict[Any, list[int]] = {}
        for game, name in enumerate(names):
            groups.setdefault(_structure(self.trained[name]) if name in self.trained else None, []).append(game)
        members = [self._of_group(kind, [names[game] for game in games]) for kind, games in groups.items()]
        return members[0] if len(members) == 1 else Company(tuple(members), tuple(map(tuple, groups.values())))

    def _of_group(self, kind: Any, names: list[str]) -> Agent:
        if kind is None:
            return Scripted(names, self.shield)
        distinct = list(dict.fromkeys(names))
        policies = [self.trained[name].policy for name in distinct]
        return Ensemble.of(policies, [distinct.index(name) for name in names], self.trained[names[0]].shield)


def _structure(one: Trained) -> Any:
    """Policies of the same structure fit into one ensemble."""
    arrays, rest = eqx.partition(one, eqx.is_array)
    return jax.tree.structure(one), tuple(np.shape(leaf) for leaf in jax.tree.leaves(arrays)), str(rest)


def opponent(config: TrainConfig) -> Agent:
    """The opponent in training. Raises as `find`."""
    shield = config.shield if config.evader_shielded else None
    found = find(config.opponent, config.opponent_role, config.game, shield=shield)
    return found.agent(config.lineup)


def scripts_shield(game: Game, role: Role) -> Shield:
    """The shield of scripted players that are kept off walls and discs."""
    return fitting(game.limits(role), game.arena.half_extents)


def find(text: str | Path | None, role: Role, game: Game, *, shield: Shield | None) -> Opponents:
    """The players of this name, of a mixture such as “flee:2,orbit,runs/e1”, or of a run folder (latest checkpoint).

    Scripted players are kept off walls and discs by the shield, if any. Raises ValueError for an unknown name or a run
    of the other role or with another robot, and whatever opening a run raises.
    """
    if text is None:
        text = DEFAULTS[role]
    if isinstance(text, Path):
        text = f"{text.parent}/{text.name}"  # with a slash, that of a folder
    found = weights(text, role)
    return Opponents(text, found, shield, {name: trained(name, role, game) for name in found if is_run(name)})


def trained(name: str | Path, role: Role, game: Game) -> Trained:
    """The agent of a run. Raises as `find`."""
    run = load_run(open_run(name))
    refuse_role(run, role, str(name))
    for theirs, ours in ((run.config.game.robot, game.robot), (run.config.game.evader_at_par, game.evader_at_par)):
        if theirs != ours:
            raise ValueError(f"the run {name} was trained with another robot: {theirs}.")
    if run.config.game.sensor != game.sensor:
        raise ValueError(f"the run {name} was trained with another sensor: {run.config.game.sensor}.")
    return run.agent


def refuse_role(run: TrainedRun, role: Role, name: str) -> None:
    """Raise ValueError for a run of the other role."""
    if run.config.role != role:
        raise ValueError(f"{name} cannot be the {role}: it is the run of {_a(run.config.role)}.")


def _a(role: Role) -> str:
    return "an evader" if role == "evader" else "a pursuer"
