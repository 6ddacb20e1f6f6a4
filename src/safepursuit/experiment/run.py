"""Configuration and policy of a run folder, without optimiser, games or trainer."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np

from safepursuit import plugins
from safepursuit.agents import Pilot, Trained, View
from safepursuit.experiment.config import TrainConfig
from safepursuit.game import GameState
from safepursuit.policy import Policy, build_policy, check_finite
from safepursuit.runs import checkpoint, configuration
from safepursuit.runs.configuration import ConfigurationError
from safepursuit.runs.folder import RunFolder, write_json, write_text


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """A policy with its experiment."""

    policy: Policy
    config: TrainConfig
    steps: int
    """Environment steps played."""
    folder: RunFolder | None = None

    @cached_property
    def agent(self) -> Trained:
        """The policy as deployed."""
        return Trained(self.policy, self.config.shield)

    def act(self, state: GameState) -> np.ndarray:
        """The safe control [m/s, rad/s] of its robot: (2,) for the state of one game, (2, games) for many."""
        return self._pilot(state) if np.ndim(state.step) == 0 else np.asarray(self._act(self.agent, state))

    @cached_property
    def _pilot(self) -> Pilot:
        return Pilot(self.agent, self.config.game, self.config.role)

    @cached_property
    def _act(self) -> Any:
        game, role = self.config.game, self.config.role
        return jax.jit(lambda agent, state: agent.act(None, jax.random.key(0), View(state, game, role))[0].control)


class Learned(NamedTuple):
    """The field of a training state that a policy needs."""

    policy: Policy


@lru_cache(maxsize=16)
def policy_shapes(config: TrainConfig) -> Learned:
    """The policy of a configuration as shapes; nothing is drawn or compiled."""
    build = lambda: build_policy(  # noqa: E731
        jax.random.key(0), config.method, config.policy, config.game, config.shield, config.role
    )
    return Learned(jax.eval_shape(build))


def store_policy(run: RunFolder, policy: Policy, steps: int, config: str, provenance: Any) -> None:
    """Make a run folder of a policy without its training: it plays and starts trainings, but is not resumed."""
    for folder in (run.checkpoints, run.evaluations, run.figures):
        folder.mkdir(parents=True)
    write_json(run.path / "provenance.json", provenance)
    checkpoint.save(run, steps, Learned(policy), best=True)
    write_text(run.config, config)


def load_config(run: RunFolder) -> TrainConfig:
    """The configuration of a run. Raises ConfigurationError where it is unusable, or a plugin of it is not loaded."""
    known = {one.sha256 for one in plugins.loaded()}
    for name, digest in run.digests("plugins").items():
        if digest not in known:
            raise ConfigurationError(
                f"{run.path} was trained with the plugin {name}, which is executed only where it is named: add "
                f"--plugin {run.plugins / name}."
            )
    return configuration.load(TrainConfig(), run.config)


def load_run(run: RunFolder, which: checkpoint.Which = "latest") -> TrainedRun:
    """The policy of a run at its latest (or best) checkpoint, on the default device.

    Raises ConfigurationError or CheckpointError for unusable contents, NotFiniteError for numbers that are not finite.
    """
    config = load_config(run)
    found, steps = checkpoint.restored(run, policy_shapes(config), which)
    check_finite(found.policy)
    return TrainedRun(found.policy, config, steps, run)
