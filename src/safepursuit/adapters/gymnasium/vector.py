"""Many games as one Gymnasium vector environment, with one compiled program per step."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from safepursuit.adapters.canvas import Canvas
from safepursuit.adapters.games import Games
from safepursuit.adapters.match import report
from safepursuit.adapters.setting import action_space, match, observation_space, rules
from safepursuit.game import Game, GameState


class PursuitEvasionVectorEnv(VectorEnv):
    """`num_envs` games side by side; actions, observations, rewards and infos as in `PursuitEvasionEnv`, games first.

    A game that ends starts anew in the same step (`AutoresetMode.SAME_STEP`): its observation is the new start's,
    `infos["final_obs"]` (an object array, None where no game ended) the last one of the old game, `infos["final_info"]`
    the infos of its last step. Unlike in `SyncVectorEnv`, the other infos describe the played step in every game, as
    the rewards do. Every key has its mask `_key`.

    The same seed, actions and `num_envs` give the same bits. `reset(options={"state": …})` starts from a `GameState`
    with the games on the trailing axis.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012, as in gymnasium.VectorEnv
        "autoreset_mode": AutoresetMode.SAME_STEP,
        "render_modes": ["rgb_array"],
        "render_fps": 20,
    }

    def __init__(
        self,
        num_envs: int = 1,
        role: str = "pursuer",
        opponent: str | Path | None = None,
        *,
        actions: str = "normalised",
        opponent_shielded: bool = True,
        render_mode: str | None = None,
        game: Game | None = None,
        **changes: Any,
    ) -> None:
        """As `PursuitEvasionEnv`, but a mixture divides the games among its players for good (`opponents`)."""
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, not {num_envs}.")
        self.num_envs = num_envs
        self.game = rules(game, changes)
        self.match, found = match(role, opponent, self.game, opponent_shielded=opponent_shielded, actions=actions)
        names = found.lineup(num_envs)
        self.opponents = names if len(names) > 1 else names * num_envs
        """The opponent of each game."""
        self._games = Games(self.match, num_envs, found.agent(names), restarts=True)
        self.single_observation_space = observation_space(self.game)
        self.single_action_space = action_space(self.match.robot, self.match.normalised)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.metadata = self.metadata | {"render_fps": round(1 / self.game.robot.dt)}
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"unknown render_mode {render_mode!r}; known is rgb_array.")
        self.render_mode = render_mode
        self._canvases: tuple[Canvas, ...] = ()

    @property
    def states(self) -> GameState:
        """The present states, games on the trailing axis. Raises ResetNeeded before the first reset."""
        if self._games.state is None:
            raise ResetNeeded("there are no games yet: call reset() first.")
        return self._games.state

    @property
    def arrived(self) -> GameState:
        """The ends of the last step: `states`, except of games that ended. Raises ResetNeeded before a step."""
        if self._games.arrived is None:
            raise ResetNeeded("no step has been played yet.")
        return self._games.arrived

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start all games anew. Raises ValueError for given states of another number or another game."""
        super().reset(seed=seed)
        return self._games.deal(self.np_random, seed is not None, (options or {}).get("state")), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Play one step of every game. Raises ValueError for actions of another shape or that are not finite,
        ResetNeeded before the first reset."""
        if self._games.state is None:
            raise ResetNeeded("there are no games yet: call reset() first.")
        outcome = self._games.advance(actions)
        reward, terminated, truncated, infos = report(np.array(outcome.numbers), np.array(outcome.flags))
        over = terminated | truncated
        known = with_masks(infos, np.ones(self.num_envs, bool))
        if over.any():
            final = {"final_obs": _final(np.asarray(outcome.final), over), "final_info": with_masks(infos, over)}
            known |= with_masks(final, over)
        return np.array(outcome.observation), reward.astype(np.float64), terminated, truncated, known

    def render(self) -> tuple[Any, ...] | None:
        """A frame of every game."""
        if self.render_mode is None:
            return None
        if not self._canvases:
            self._canvases = tuple(Canvas(self.game, self.match.role) for _ in range(self.num_envs))
        states = jax.tree.map(np.asarray, self.states)
        each = (jax.tree.map(lambda leaf, i=i: leaf[..., i], states) for i in range(self.num_envs))
        frames = [canvas.draw(state) for canvas, state in zip(self._canvases, each, strict=True)]
        return tuple(frame for frame in frames if frame is not None)


def with_masks(infos: dict[str, Any], mask: np.ndarray) -> dict[str, Any]:
    """The infos, each with its mask under "_key", as in Gymnasium's vector environments."""
    return infos | {f"_{name}": mask.copy() for name in infos}


def _final(observations: np.ndarray, over: np.ndarray) -> np.ndarray:
    """(games,) object: the last observation of each game that ended, else None."""
    found = np.full(len(over), None, object)
    for index in np.flatnonzero(over):
        found[index] = observations[index].copy()
    return found
