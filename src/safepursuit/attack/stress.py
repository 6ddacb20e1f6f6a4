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
    def changes(size: float, config: TrainConfig) -> dict[str, Any]:
        values: dict[str, Any] = {name: int(size) if name == "delay" else size}
        return {"errors": Budget(**values)}

    return changes


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
    "delay": Imperfection("steps", (1.0, 2.0, 3.0, 4.0, 5.0), _error("delay")),
    "brakes": Imperfection("of those believed", (0.8, 0.5, 0.25), _brakes),
}
"""By name. "brakes" of a robot believed to have no inertia are shares of a stop from full speed within ten steps."""


class Case(NamedTuple):
    imperfection: str
    size: float
    within: bool
    """The run's budget covers it."""
    changes: dict[str, Any]
    """Keyword arguments of `evaluate`."""


def cases(config: TrainConfig, names: Sequence[str] = ()) -> list[Case]:
    """No imperfection, then each of these (by default all) in growing sizes. Raises ValueError for an unknown name."""
    if unknown := set(names) - set(IMPERFECTIONS):
        raise ValueError(f"unknown imperfection {sorted(unknown)[0]!r}; known are {', '.join(IMPERFECTIONS)}.")
    budget, found = config.shield.budget, [Case("none", 0.0, True, {})]
    for name in names or IMPERFECTIONS:
        for size in IMPERFECTIONS[name].sizes:
            within = size == budget.delay if name == "delay" else size <= getattr(budget, name, 0.0)
            found.append(Case(name, size, within, IMPERFECTIONS[name].changes(size, config)))
    return found


def stress(
    policy: Policy, config: TrainConfig, *, names: Sequence[str] = (), episodes: int, **against: Any
) -> Iterator[tuple[Case, Evaluation]]:
    """Evaluate a policy in all `cases`; `against` names its opponent as in `evaluate`."""
    for case in cases(config, names):
        yield case, evaluate(policy, config, episodes=episodes, **against, **case.changes)


class Suggestion(NamedTuple):
    share: float
    """Of the errors that the budget declares; of the delay always all."""
    budget: Budget
    judged: Evaluation
    """With this budget, under all of the errors."""


SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of the errors, as budgets that `suggest` tries; the last one is proved to do (theorem 3)."""


def suggest(
    policy: Policy, config: TrainConfig, errors: Budget, *, episodes: int, **against: Any
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
            **against,
            errors=errors,
        )
        yield Suggestion(share, budget, judged)
        if not judged.result["collision"]["count"]:
            return
