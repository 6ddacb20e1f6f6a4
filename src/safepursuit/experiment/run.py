"""What a run folder holds: its configuration and its policy, without optimiser, games or trainer."""

from dataclasses import dataclass
from typing import NamedTuple

import jax

from safepursuit.experiment.config import TrainConfig
from safepursuit.policy import Policy, build_policy
from safepursuit.runs import checkpoint, configuration
from safepursuit.runs.folder import RunFolder


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """A policy with the experiment that it comes from."""

    policy: Policy
    config: TrainConfig
    steps: int
    """Environment steps of the checkpoint."""
    folder: RunFolder


class _Trained(NamedTuple):
    """The field of a training state that is restored."""

    policy: Policy


def load_config(run: RunFolder) -> TrainConfig:
    """The configuration of a run. Raises ConfigurationError where the file cannot be used."""
    return configuration.load(TrainConfig(), run.config)


def load_run(run: RunFolder, which: checkpoint.Which = "latest") -> TrainedRun:
    """The policy of a run at its latest (or best) checkpoint, on the default device.

    Raises ConfigurationError or CheckpointError where the folder's contents cannot be used.
    """
    config = load_config(run)
    settings = config.method, config.policy, config.game.robot, config.shield
    shapes = jax.eval_shape(lambda: build_policy(jax.random.key(0), *settings))  # nothing is drawn or compiled
    policy = checkpoint.restore(run, _Trained(shapes), which).policy
    return TrainedRun(policy, config, int(checkpoint.locate(run, which).name), run)
