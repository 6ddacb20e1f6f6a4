"""The vector environment as a `VecEnv` of Stable-Baselines3.

    envs = gymnasium.make_vec("safepursuit/Pursuit-v0", num_envs=256)
    PPO("MlpPolicy", StableBaselinesVecEnv(envs)).learn(1_000_000)

Needs stable-baselines3, which is in no extra: `pip install stable-baselines3`.
"""

from collections.abc import Sequence
from typing import Any

try:
    from stable_baselines3.common.vec_env import VecEnv
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "this adapter needs Stable-Baselines3: pip install 'safepursuit[gym]' stable-baselines3."
    ) from error

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv


class StableBaselinesVecEnv(VecEnv):
    """Any Gymnasium vector environment with `AutoresetMode.SAME_STEP` as a `VecEnv`.

    `infos[i]` has the step's `cost`; where game i ended, also the other infos of its last step,
    `terminal_observation` and `TimeLimit.truncated`, from which Stable-Baselines3 bootstraps a time-out. For episode
    statistics, put `VecMonitor` around it.
    """

    def __init__(self, envs: VectorEnv) -> None:
        """Raises ValueError for another autoreset mode."""
        if envs.metadata.get("autoreset_mode") is not AutoresetMode.SAME_STEP:
            raise ValueError(f"{envs} does not start games anew in the step in which they end (SAME_STEP).")
        self.envs = envs
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)
        self._actions = np.zeros((envs.num_envs, *envs.single_action_space.shape), np.float32)  # type: ignore[misc]

    def reset(self) -> np.ndarray:
        observations, _ = self.envs.reset(seed=self._seeds[0], options=self._options[0])
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        observations, rewards, terminated, truncated, found = self.envs.step(self._actions)
        costs = found.get("cost", np.zeros(self.num_envs)).tolist()
        infos: list[dict[str, Any]] = [{"cost": cost} for cost in costs]
        over = terminated | truncated
        last = {key: value for key, value in found.get("final_info", {}).items() if not key.startswith("_")}
        for game in np.flatnonzero(over):
            infos[game] |= {key: value[game] for key, value in last.items()}
            infos[game]["terminal_observation"] = found["final_obs"][game]
            infos[game]["TimeLimit.truncated"] = bool(truncated[game] and not terminated[game])
        return observations, np.asarray(rewards, np.float32), over, infos

    def close(self) -> None:
        self.envs.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        frames: Any = self.envs.render()
        return list(frames or [None] * self.num_envs)

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The vector environment's attribute, once per index."""
        return [getattr(self.envs, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise NotImplementedError("the games of one vector environment have no attributes of their own.")

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        raise NotImplementedError("the games of one vector environment have no methods of their own.")

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: Any = None) -> list[bool]:
        """False for every index: there are no wrappers of single environments."""
        return [False for _ in self._get_indices(indices)]
