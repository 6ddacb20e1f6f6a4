"""The start of a run: what its training depends on is kept beside its configuration, and is still the same later."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from safepursuit import plugins
from safepursuit.experiment.config import TrainConfig
from safepursuit.experiment.opponents import find
from safepursuit.experiment.run import TrainedRun
from safepursuit.policy import digest
from safepursuit.runs import configuration
from safepursuit.runs.folder import RunFolder, RunFolderError, read_json


def create_run(
    path: Path, config: TrainConfig, command: list[str], start: TrainedRun | None = None, *, rival_learns: bool = False
) -> RunFolder:
    """Start a run folder, with the texts of the plugins that the configuration uses and digests of trained opponents.

    `start` has the weights with which the training begins: their digest and all their steps are kept. Of an opponent
    that learns at the same time there is no digest.

    Raises RunFolderError, and as `opponents.find`.
    """
    homes = config.modules()
    used = {one.name: (one.text, one.sha256) for one in plugins.loaded() if one.module in homes}
    opponents = {} if rival_learns else _digests(config)
    return RunFolder.create(path, configuration.dump(config), command, used, opponents, _begun_with(start))


def _begun_with(start: TrainedRun | None) -> dict[str, Any] | None:
    """The digest of the weights with which a training begins, and the steps of all trainings before it."""
    if start is None:
        return None
    earlier = 0
    if start.folder is not None:
        with suppress(RunFolderError, LookupError, TypeError, ValueError):  # begun with random weights
            earlier = int(read_json(start.folder.path / "provenance.json")["begun_with"]["steps"])
    return {"sha256": digest(start.policy), "steps": start.steps + earlier}


def check_opponents(run: RunFolder, config: TrainConfig) -> None:
    """Raise RunFolderError where a trained opponent is not the one that the run's training began with.

    A run of an earlier version has no digests: then nothing is known.
    """
    began = run.digests("opponents")
    changed = [name for name, now in _digests(config).items() if began.get(name, now) != now] if began else []
    if changed:
        raise RunFolderError(
            f"{run.path} trains against {changed[0]}, whose parameters have changed since it began: put the checkpoint "
            f"back that was the latest then, or begin a new training with --from {run.path}."
        )


def _digests(config: TrainConfig) -> dict[str, str]:
    """Of the parameters of each trained opponent, by the name that the configuration has for it."""
    found = find(config.opponent, config.opponent_role, config.game, shield=None)
    return {name: digest(agent.policy) for name, agent in found.trained.items()}
