"""One game as a Gymnasium environment."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.error import ResetNeeded

from safepursuit.adapters.canvas import Screen
from safepursuit.adapters.games import Games
from safepursuit.adapters.match import report
from safepursuit.adapters.setting import action_space, match, observation_space, rules
from safepursuit.game import Game, GameState


class PursuitEvasionEnv(gym.Env):
    """A pursuer and an evader, two unicycles in a walled arena with round obstacles; one of them is the learner.

    **Action** (2,) float32: forward speed and turn rate, left turns positive. `actions="normalised"` (the default, for
    learners such as Stable-Baselines3): in half-widths of the actuator box about its centre, within [−1, 1], so that a
    speed of −1 means standing still; `actions="physical"`: in [0, v̄] m/s × [−ω̄, ω̄] rad/s. Clipped to the limits.

    **Observation** (16 + 6·K,) float32, in the learner's own frame, within [−1, 1] (speeds up to `evader_speed_ratio`
    if the evader is faster); K is the largest number of discs, at least 1.

        0, 1    opponent's bearing (cos, sin)                       8, 9    own last speed, turn rate
        2, 3    its distance D in arena diagonals, and 1/(1 + D)    10, 11  opponent's last speed, turn rate
        4, 5    its heading minus the own one (cos, sin)            12, 13  arena's centre (forward, left)
        6, 7    its velocity (forward, left)                        14, 15  arena's axes (cos, sin of the own heading)
        16+6k … disc k: direction (cos, sin), distance, nearness 1/(1 + gap), radius, and 1; six zeros if it is absent

    Speeds are in units of the pursuer's limit. `game.Observation` has the details.

    **Reward** of the pursuer: 10 at capture, 0.3 per metre of approach, −0.1 per step with a collision of its
    own (`game.Reward`). Of the evader: the negative, except that each robot pays for its own collisions only.

    **End**: `terminated` at capture (with `collision_terminates`, at the pursuer's first collision, too), `truncated`
    after `horizon` steps; never both. A game in which a pose, a control or the scene is not finite is *invalid*:
    terminated without capture, reward 0, the observation zeros, and a warning.
    A robot that runs into a wall or disc stops there; the contact is recorded.

    **Info** of a step: `cost` (1.0 where the learner collided by its own motion, else 0.0), `captured`, `invalid`,
    `collision_wall`, `collision_obstacle`, `collision_robot` (the learner's own), `separation` (least distance of the
    centres during the step [m]), `clearance` (of the learner's body from walls and discs at its end [m]). Of a reset:
    `opponent`, its name. `reset(options={"state": …})` starts from a `GameState` instead of a random one.

    `render_mode` "rgb_array" returns frames (height, width, 3); "human" shows them in a window.
    """

    metadata: dict[str, Any] = {"render_modes": Screen.MODES, "render_fps": 20}  # noqa: RUF012, as in gym.Env

    def __init__(
        self,
        role: str = "pursuer",
        opponent: str | Path | None = None,
        *,
        actions: str = "normalised",
        opponent_shielded: bool = True,
        render_mode: str | None = None,
        game: Game | None = None,
        **changes: Any,
    ) -> None:
        """The learner's role, and its opponent: a scripted player, a mixture such as "flee:2,orbit,hide" (each episode
        draws one, with these weights), or the folder of a trained run, whose policy plays as deployed. By default
        "random" or "lead-intercept".

        `opponent_shielded` keeps a scripted opponent off walls and discs. `changes` set fields of `game.Game`, its
        arena and its robot by their names: `obstacles`, `min_obstacles`, `evader_speed_ratio`, `horizon`, … Raises
        TypeError for an unknown field, ValueError for an unknown opponent or an impossible game, and the errors of
        opening a run.
        """
        self.game = rules(game, changes)
        self.match, found = match(role, opponent, self.game, opponent_shielded=opponent_shielded, actions=actions)
        total = sum(found.weights.values())
        self._opponents, self._names = found, list(found.weights)
        self._shares = [weight / total for weight in found.weights.values()]
        self._games = Games(self.match, 1, found.agent(self._names[:1]))
        self._over = True
        self.observation_space = observation_space(self.game)
        self.action_space = action_space(self.match.robot, self.match.normalised)
        self.metadata = self.metadata | {"render_fps": round(1 / self.game.robot.dt)}
        self.render_mode = render_mode
        self._screen = Screen(self.game, self.match.role, render_mode)
        self._hits = 0
        self.nominal: np.ndarray | None = None
        """Nominal control [m/s, rad/s] of the last step, if a safety layer changed it; for pictures."""

    @property
    def state(self) -> GameState:
        """The state of the game as NumPy arrays, without a batch. Raises ResetNeeded before the first reset."""
        return jax.tree.map(lambda leaf: np.asarray(leaf)[..., 0], self.states)

    @property
    def states(self) -> GameState:
        """The same with a trailing axis of length 1, as `PursuitEvasionVectorEnv.states`."""
        if self._games.state is None:
            raise ResetNeeded("there is no game yet: call reset() first.")
        return self._games.state

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode; the same seed gives the same episodes, bit for bit."""
        super().reset(seed=seed)
        given = (options or {}).get("state")
        states = None if given is None else jax.tree.map(lambda leaf: jnp.asarray(leaf)[..., None], given)
        observation = self._games.deal(self.np_random, seed is not None, states)[0]
        name = self._names[0]
        if len(self._names) > 1:
            name = str(self.np_random.choice(self._names, p=self._shares))
            self._games.rival = self._opponents.agent((name,))
        self._over, self._hits, self.nominal = False, 0, None
        self._screen.show(self.state, f"own collisions {self._hits}", self.nominal)
        return observation, {"opponent": name}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Play one step. Raises ValueError for an action of another shape or one that is not finite, ResetNeeded
        where there is no game or it is over."""
        if self._over:
            raise ResetNeeded("there is no game, or it is over: call reset() first.")
        outcome = self._games.advance(np.asarray(action, np.float32)[None])
        rows = (np.asarray(part)[:, 0].tolist() for part in (outcome.numbers, outcome.flags))
        reward, terminated, truncated, info = report(*rows)
        self._over = terminated or truncated
        self._hits += round(info["cost"])
        self._screen.show(self.state, f"own collisions {self._hits}", self.nominal)
        return np.array(outcome.observation)[0], reward, terminated, truncated, info

    def render(self) -> np.ndarray | None:
        """The frame of `render_mode` "rgb_array"; None on screen, which shows every step."""
        if self.render_mode is None:
            gym.logger.warn('render() does nothing: choose a render_mode, such as "rgb_array", when making the env.')
            return None
        return self._screen.frame(self.state, f"own collisions {self._hits}", self.nominal)

    def close(self) -> None:
        self._screen.close()
