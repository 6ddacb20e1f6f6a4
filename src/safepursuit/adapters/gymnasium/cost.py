"""The cost as a sixth value of `step`, as in Safety-Gymnasium and OmniSafe."""

from typing import Any


class CostTuple:
    """`step` returns (observation, reward, cost, terminated, truncated, info); all else is that of the env.

    For an environment or vector environment of this package, wrapped or not, in code written for Safety-Gymnasium (Ji
    et al. 2023). `cost` is `info["cost"]`: 1 for a step in which the learner collided by its own motion, else 0; a
    float, or (games,) float64. Gymnasium's own wrappers belong inside, not around.
    """

    def __init__(self, env: Any) -> None:
        self.env = env

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, Any, dict[str, Any]]:
        """Play one step. Raises KeyError where the environment reports no cost."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        if "cost" not in info:
            raise KeyError(f"{self.env} reports no cost: CostTuple is for environments of safepursuit.")
        return observation, reward, info["cost"], terminated, truncated, info

    def __getattr__(self, name: str) -> Any:
        if name == "env":  # absent while being unpickled
            raise AttributeError(name)
        return getattr(self.env, name)
