"""Capture and own contacts against the size of each imperfection, one at a time, inside and beyond the budget."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from safepursuit.evaluation.evaluation import Evaluation, evaluate
from safepursuit.experiment import TrainConfig
from safepursuit.policy import Policy
from safepursuit.robot import Budget, Inertial


class Imperfection(NamedTuple):
    """What is wrong between a robot and what its controller believes, in sizes that grow."""

    unit: str
    sizes: tuple[float, ...]
    changes: Callable[[float, TrainConfig], dict[str, Any]]
    """Keyword arguments of `evaluate` for a size."""


def _error(name: str) -> Callable[[float, TrainConfig], dict[str, Any]]:
    kind = int if name == "delay" else float
    return lambda size, config: {"errors": replace(Budget(), **{name: kind(size)})}


def _brakes(size: float, config: TrainConfig) -> dict[str, Any]:
    robot = config.game.robot
    if isinstance(robot, Inertial):
        return {"robot": replace(robot, acceleration=size * robot.acceleration, braking=size * robot.braking)}
    # Without inertia the share is of a stop within ten steps.
    rate = size * robot.max_speed / (10 * robot.dt)
    turning = size * robot.max_turn_rate / (10 * robot.dt)
    limits = robot.radius, robot.max_speed, robot.max_turn_rate, robot.dt
    return {"robot": Inertial(*limits, acceleration=rate, braking=rate, turn_acceleration=turning)}


IMPERFECTIONS: dict[str, Imperfection] = {
    "pose": Imperfection("m", (0.01, 0.02, 0.05, 0.1, 0.2), _error("pose")),
    "heading": Imperfection("rad", (0.02, 0.05, 0.1, 0.2, 0.4), _error("heading")),
    "delay": Imperfection("steps", (1, 2, 3, 4, 5), _error("delay")),
    "brakes": Imperfection("of those believed", (0.8, 0.5, 0.25), _brakes),
}
"""By name. "brakes" of a robot believed to have no inertia are shares of a stop from full speed within ten steps."""


class Stressed(NamedTuple):
    imperfection: str
    size: float
    unit: str
    within: bool
    """The run's budget covers it."""
    judged: Evaluation


def stress(
    policy: Policy, config: TrainConfig, *, names: Sequence[str] = (), episodes: int, evader: str | None = None
) -> Iterator[Stressed]:
    """Evaluate a policy without imperfections, then under each of these (by default all) in growing sizes.

    Raises ValueError for an unknown name.
    """
    if unknown := set(names) - set(IMPERFECTIONS):
        raise ValueError(f"unknown imperfection {sorted(unknown)[0]!r}; known are {', '.join(IMPERFECTIONS)}.")
    budget = config.shield.budget
    yield Stressed("none", 0.0, "", True, evaluate(policy, config, episodes=episodes, evader=evader))
    for name in names or IMPERFECTIONS:
        about = IMPERFECTIONS[name]
        for size in about.sizes:
            within = size <= getattr(budget, name, 0.0) if name != "delay" else size == budget.delay
            changes = about.changes(size, config)
            judged = evaluate(policy, config, episodes=episodes, evader=evader, **changes)
            yield Stressed(name, size, about.unit, within, judged)


class Suggestion(NamedTuple):
    budget: Budget
    judged: Evaluation
    """With this budget, under all of the errors."""


SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of the errors, as budgets that `suggest` tries; the last one is proved to do (theorem 3)."""


def suggest(
    policy: Policy, config: TrainConfig, errors: Budget, *, episodes: int, evader: str | None = None
) -> Iterator[Suggestion]:
    """Budgets of growing size for a policy whose robot has these errors, up to the first without an own contact.

    The delay is always declared in full: the controller has to know it.
    """
    for share in SHARES:
        budget = replace(errors.scaled(share), delay=errors.delay)
        shield = replace(config.shield, budget=budget)
        head: Any = policy.head
        judged = evaluate(
            replace(policy, head=replace(head, shield=shield)),
            replace(config, shield=shield),
            episodes=episodes,
            evader=evader,
            errors=errors,
        )
        yield Suggestion(budget, judged)
        if not judged.result["collision"]["count"]:
            return
