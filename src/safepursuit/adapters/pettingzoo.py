"""The game as a PettingZoo parallel environment: both robots are agents.

    from safepursuit.adapters.pettingzoo import PursuitEvasionParallelEnv

    env = PursuitEvasionParallelEnv(obstacles=4)
    observations, infos = env.reset(seed=0)
    actions = {agent: env.action_space(agent).sample() for agent in env.agents}
    observations, rewards, terminations, truncations, infos = env.step(actions)

Needs the extra [gym].
"""

from functools import partial
from typing import Any

try:
    from pettingzoo import ParallelEnv
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "the PettingZoo environment needs the extra [gym]: pip install 'safepursuit[gym]'."
    ) from error

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box
from gymnasium.utils.seeding import np_random

from safepursuit.adapters import setting
from safepursuit.adapters.canvas import Screen
from safepursuit.adapters.games import Starts
from safepursuit.adapters.match import flatten, judge, last, report, to_control
from safepursuit.game import ROLES, Game, GameState
from safepursuit.play import advance


class PursuitEvasionParallelEnv(ParallelEnv):
    """Agents "pursuer" and "evader"; both act at once, and an episode ends for both at once.

    Actions, observations, rewards and infos of each are those of `adapters.gymnasium.PursuitEvasionEnv` with it as the
    learner. The two rewards sum to zero, except that each robot pays for its own collisions only.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012, as in ParallelEnv
        "name": "safepursuit_v0",
        "render_modes": Screen.MODES,
        "render_fps": 20,
        "is_parallelizable": True,
    }

    def __init__(
        self,
        *,
        actions: str = "normalised",
        render_mode: str | None = None,
        game: Game | None = None,
        **changes: Any,
    ) -> None:
        """Keywords as for `PursuitEvasionEnv`, without role and opponent."""
        self.game = setting.rules(game, changes)
        self._normalised = setting.normalised(actions)
        self.render_mode = render_mode
        self.metadata = self.metadata | {"render_fps": round(1 / self.game.robot.dt)}
        self.possible_agents: list[str] = list(ROLES)
        self.agents: list[str] = []
        self.observation_spaces: dict[str, Box] = {role: setting.observation_space(self.game) for role in ROLES}
        self.action_spaces: dict[str, Box] = {
            role: setting.action_space(self.game.limits(role), self._normalised) for role in ROLES
        }
        self._starts: Starts | None = None
        self._states: GameState | None = None
        self._screen = Screen(self.game, "pursuer", render_mode)

    def observation_space(self, agent: str) -> Box:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Box:
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, dict[str, Any]]]:
        """Start an episode; the same seed gives the same starts, bit for bit. `options` are ignored."""
        if self._starts is None or seed is not None:
            generator, _ = np_random(seed)
            self._starts = Starts(self.game, 1, int(generator.integers(2**31)))
        self._states = self._starts.take(1)
        self.agents = list(ROLES)
        self._screen.show(self._first())
        seen = np.asarray(_observe(self._states, self.game))
        return {role: seen[place].copy() for place, role in enumerate(ROLES)}, {role: {} for role in ROLES}

    def step(self, actions: dict[str, np.ndarray]) -> tuple[dict, dict, dict, dict, dict]:
        """Both play one step. Raises ValueError for actions that are missing, of another shape or not finite,
        ResetNeeded where there is no game or it is over."""
        if self._states is None or not self.agents:
            raise ResetNeeded("there is no game, or it is over: call reset() first.")
        if missing := [role for role in ROLES if role not in actions]:
            raise ValueError(f"there is no action for the {' and the '.join(missing)}: both robots act at once.")
        each = [np.asarray(actions[role], np.float32) for role in ROLES]
        for role, action in zip(ROLES, each, strict=True):
            if action.shape != (2,) or not np.isfinite(action).all():
                raise ValueError(
                    f"an action must be two finite numbers, speed and turn rate; that of the {role} is {action} of "
                    f"shape {action.shape}."
                )
        both = np.stack(each)
        self._states, seen, *rows = _advance(self._states, both, self.game, self._normalised)
        seen, numbers, flags = (np.asarray(one) for one in (seen, *rows))
        parts = [report(*(part[place].tolist() for part in (numbers, flags))) for place in range(2)]
        rewards, terminations, truncations, infos = (
            dict(zip(ROLES, column, strict=True)) for column in zip(*parts, strict=True)
        )
        if any(terminations.values()) or any(truncations.values()):
            self.agents = []
        self._screen.show(self._first())
        observations = {role: seen[place].copy() for place, role in enumerate(ROLES)}
        return observations, rewards, terminations, truncations, infos

    def state(self) -> np.ndarray:
        """Both observations, one after the other. Raises ResetNeeded before the first reset."""
        if self._states is None:
            raise ResetNeeded("there is no game yet: call reset() first.")
        return np.array(_observe(self._states, self.game)).reshape(-1)

    def render(self) -> np.ndarray | None:
        """The frame of `render_mode` "rgb_array"; None on screen, which shows every step."""
        return self._screen.frame(self._first())

    def close(self) -> None:
        self._screen.close()

    def _first(self) -> GameState:
        return jax.tree.map(lambda leaf: np.asarray(leaf)[..., 0], self._states)


@partial(jax.jit, static_argnames="game")
def _observe(states: GameState, game: Game) -> jax.Array:
    """The observation of each robot, (2, features)."""
    return jnp.stack([flatten(states, game, role)[0] for role in ROLES])


@partial(jax.jit, static_argnames=("game", "normalised"))
def _advance(states: GameState, actions, game: Game, normalised: bool):
    """The next states, the observation of each robot, and the rows of `judge` for each."""
    controls = (to_control(action[None], robot, normalised) for action, robot in zip(actions, game.robots, strict=True))
    outcome, _, _ = advance(states, tuple(controls), game)
    numbers, flags = zip(*(judge(states, outcome, game, role) for role in ROLES), strict=True)
    seen = jnp.stack([last(outcome, game, role)[0] for role in ROLES])
    return outcome.state, seen, jnp.stack(numbers)[..., 0], jnp.stack(flags)[..., 0]
