"""The start of a run: what its training depends on is kept beside its configuration, and is still the same later."""

from pathlib import Path

from safepursuit import plugins
from safepursuit.experiment.config import TrainConfig
from safepursuit.experiment.opponents import find
from safepursuit.policy import digest
from safepursuit.runs import configuration
from safepursuit.runs.folder import RunFolder, RunFolderError


def create_run(path: Path, config: TrainConfig, command: list[str]) -> RunFolder:
    """Start a run folder, with the texts of the plugins that the configuration uses and digests of trained opponents.

    Raises RunFolderError, and as `opponents.find`.
    """
    homes = config.modules()
    used = {one.name: (one.text, one.sha256) for one in plugins.loaded() if one.module in homes}
    return RunFolder.create(path, configuration.dump(config), command, used, _digests(config))


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
