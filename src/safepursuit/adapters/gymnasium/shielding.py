"""The safety layer around any agent, as wrappers that make its actions safe."""

from functools import lru_cache
from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit

from safepursuit import shield as safety
from safepursuit.adapters.gymnasium.single import PursuitEvasionEnv
from safepursuit.adapters.gymnasium.vector import PursuitEvasionVectorEnv, with_masks
from safepursuit.adapters.match import Match, to_action, to_control
from safepursuit.agents import View
from safepursuit.game import GameState
from safepursuit.shield import Shield


class ShieldAction(gym.Wrapper, gym.utils.RecordConstructorArgs):
    """Puts the shield between an agent and a `PursuitEvasionEnv`.

    The action is the nominal control; `safepursuit.shield.filter` makes it safe in the env's true state. No action
    leads into a wall or disc (theorems 1 and 2); one that is not finite becomes braking. Adds to `info`: `nominal`,
    `control` (2,) [m/s, rad/s], the control before and after; `intervened`, `feasible` (bool); `correction` (their
    difference in half-widths of the actuator box). It is the wrapper nearest to the environment: all others belong
    around it, not inside.
    """

    def __init__(self, env: gym.Env, shield: Shield | None = None) -> None:
        """`shield` has the parameters, by default those of `Shield()` with the margin that the arena needs. Raises
        TypeError for another environment, ValueError for parameters that break an assumption of the theorems, or if
        there is a wrapper inside, but for those that `gymnasium.make` adds: it might change actions, repeat them or
        leave them out."""
        gym.utils.RecordConstructorArgs.__init__(self, shield=shield)
        gym.Wrapper.__init__(self, env)
        if not isinstance(env.unwrapped, PursuitEvasionEnv):
            raise TypeError(f"ShieldAction goes around a PursuitEvasionEnv, not {env.unwrapped}.")
        self._inner = env.unwrapped
        inside: gym.Env = env
        while isinstance(inside, gym.Wrapper) and type(inside) in _HARMLESS:
            inside = inside.env
        _check_nearest(inside, self._inner)
        self._protect = _protector(self._inner.match, shield)

    def step(self, action: np.ndarray) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Play one step. Raises ValueError for an action that is not (2,)."""
        if np.shape(action) != (2,):
            raise ValueError(f"an action must have shape (2,), not {np.shape(action)}.")
        safe, report = self._protect(np.asarray(action)[None], self._inner.states)
        found = {name: value[0] if value[0].ndim else value[0].item() for name, value in report.items()}
        self._inner.nominal = found["nominal"] if found["intervened"] else None
        observation, reward, terminated, truncated, info = self.env.step(safe[0])
        return observation, reward, terminated, truncated, info | found


class VectorShieldAction(VectorWrapper):
    """`ShieldAction` around a `PursuitEvasionVectorEnv`; infos have the games first, and are part of `final_info`."""

    def __init__(self, env: VectorEnv, shield: Shield | None = None) -> None:
        """Raises as `ShieldAction` does."""
        super().__init__(env)
        if not isinstance(env.unwrapped, PursuitEvasionVectorEnv):
            raise TypeError(f"VectorShieldAction goes around a PursuitEvasionVectorEnv, not {env.unwrapped}.")
        self._inner = env.unwrapped
        _check_nearest(env, self._inner)
        self._protect = _protector(self._inner.match, shield)

    def step(self, actions: np.ndarray) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Play one step of every game. Raises ValueError for actions that are not (games, 2)."""
        if np.shape(actions) != (self.num_envs, 2):
            raise ValueError(f"actions must have shape {(self.num_envs, 2)}, not {np.shape(actions)}.")
        safe, report = self._protect(np.asarray(actions), self._inner.states)
        observations, rewards, terminated, truncated, infos = self.env.step(safe)
        infos |= with_masks(report, np.ones(self.num_envs, bool))
        if "final_info" in infos:
            copies = {name: value.copy() for name, value in report.items()}
            infos["final_info"] |= with_masks(copies, terminated | truncated)
        return observations, rewards, terminated, truncated, infos


_HARMLESS = (OrderEnforcing, PassiveEnvChecker, TimeLimit)
"""What `gymnasium.make` puts around an environment; they hand on each action as it is."""


def _check_nearest(inside: Any, env: Any) -> None:
    """Raise ValueError unless what is inside the shield is the environment itself."""
    if inside is not env:
        raise ValueError(
            f"the shield must be the wrapper nearest to the environment, but {type(inside).__name__} is inside it: put "
            f"{type(inside).__name__} around the shield."
        )


def _protector(match: Match, shield: Shield | None) -> Any:
    """The function of nominal actions (games, 2) and states that returns safe actions and the infos, games first."""
    robot, half_extents = match.robot, match.game.arena.half_extents
    shield = safety.fitting(robot, half_extents) if shield is None else shield
    safety.check(shield, robot, match.game.capture_radius, half_extents)
    program = _program(match, shield)

    def protect(actions: np.ndarray, states: GameState) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        with np.errstate(over="ignore"):  # overflow gives infinity, which becomes braking
            asked = actions.astype(np.float32)
        safe, controls, flags, correction = (np.array(one) for one in program(asked, states))
        nominal, control = controls
        report = {"nominal": nominal, "control": control, "correction": correction}
        return safe, report | dict(zip(("intervened", "feasible"), flags, strict=True))

    return protect


@lru_cache(maxsize=64)
def _program(match: Match, shield: Shield) -> Any:
    def protect(actions, states: GameState):
        view = View(states, match.game, match.role)
        nominal = to_control(actions, view.robot, match.normalised)
        other = view.opponent.pose
        done = safety.filter(
            nominal,
            view.own.pose,
            states.scene,
            robot=view.robot,
            shield=shield,
            opponent=other,
            velocity=view.own.control,
        )
        safe = to_action(done.control, view.robot, match.normalised)
        controls, flags = jnp.stack([done.nominal.T, done.control.T]), jnp.stack([done.intervened, done.feasible])
        return safe, controls, flags, done.correction

    return jax.jit(protect)
