"""A pursuer and an evader that learn from playing each other, in one program.

Either plays games of its own, in which the other one's latest policy, as it would be deployed, is the opponent; then
both learn. Each has a run folder of its own, RUN_DIR/pursuer and RUN_DIR/evader.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from safepursuit.agents import Agent, Scripted, Trained
from safepursuit.experiment import TrainConfig
from safepursuit.experiment.opponents import DEFAULTS
from safepursuit.game import ROLES, other
from safepursuit.learn.trainer import BarrierNetTrainer, Observer, train_together
from safepursuit.runs.folder import RunFolder


def pair_of(config: TrainConfig, path: Path) -> list[TrainConfig]:
    """The trainings of pursuer and evader, in this order, whose runs lie in this folder: each is the other's
    opponent."""
    return [config.in_role(role, **{other(role): f"{path.parent}/{path.name}/{other(role)}"}) for role in ROLES]


def stand_in(config: TrainConfig) -> Agent:
    """An opponent for a trainer until its `Pair` gives it the true one, which may not be in its run folder yet."""
    return Scripted(DEFAULTS[config.opponent_role], None)


def home_of_pair(run: RunFolder, config: TrainConfig) -> Path | None:
    """The folder of the pair to which this run, with its configuration, belongs; None for any other run."""
    home = run.path.parent
    partner = home / config.opponent_role
    return home if Path(config.opponent).resolve() == partner.resolve() else None


class Pair:
    """Trains both side by side; the same configuration gives the same bits, however often it is interrupted."""

    def __init__(self, trainers: Sequence[BarrierNetTrainer]) -> None:
        """`trainers` of pursuer and evader, in this order. Raises ValueError for others, or where one is ahead."""
        if tuple(one.config.role for one in trainers) != ROLES:
            raise ValueError("a pair is a pursuer and an evader.")
        finished = [one.state.iteration for one in trainers]
        if finished[0] != finished[1]:
            raise ValueError(
                "the trainings of a pair must have come equally far, but the pursuer finished {} iterations and the "
                "evader {}.".format(*finished)
            )
        self.trainers = trainers
        self._meet()

    def _meet(self) -> None:
        """Give each the latest policy of the other as its opponent."""
        for one, partner in zip(self.trainers, reversed(self.trainers), strict=True):
            one.rival = Trained(partner.state.policy, partner.config.shield)

    def train(
        self, observers: Iterable[Observer] = (), should_stop: Callable[[], bool] = lambda: False
    ) -> list[dict[str, Any]]:
        """As `BarrierNetTrainer.train`; observers get the pursuer's metrics. Returns the summaries of both."""
        return train_together(self.trainers, self._iterate, self._save, observers, should_stop)

    def _iterate(self) -> list[dict[str, float]]:
        self._meet()
        return [one.iterate() for one in self.trainers]

    def _save(self) -> None:
        for one in self.trainers:
            one.save()
