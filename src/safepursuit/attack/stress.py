"""Capture and own contacts against the size of each imperfection, one at a time, inside and beyond the budget."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from itertools import count
from typing import Any, NamedTuple

from safepursuit.agents import Faults
from safepursuit.evaluation.evaluation import Evaluation, evaluate
from safepursuit.experiment import TrainConfig
from safepursuit.policy import Policy
from safepursuit.robot import Budget, Inertial, Unicycle


class Imperfection(NamedTuple):
    """What is wrong between a robot and what its controller believes, in sizes that grow."""

    unit: str
    sizes: tuple[float, ...]
    changes: Callable[[float, TrainConfig], dict[str, Any]]
    """Keyword arguments of `evaluate` for a size."""


def _error(name: str) -> Callable[[float, TrainConfig], dict[str, Any]]:
    def changes(size: float, config: TrainConfig) -> dict[str, Any]:
        values: dict[str, Any] = {name: int(size) if name == "delay" else size}
        return {"errors": Faults(**{"delay": config.shield.budget.delay} | values)}

    return changes


def _budget(size: float, config: TrainConfig) -> dict[str, Any]:
    return {"errors": config.shield.budget.scaled(size)}


def _brakes(size: float, config: TrainConfig) -> dict[str, Any]:
    robot = config.game.robot
    if isinstance(robot, Inertial):
        return {"robot": replace(robot, acceleration=size * robot.acceleration, braking=size * robot.braking)}
    # Without inertia the share is of a stop within ten steps.
    rate = size * robot.max_speed / (10 * robot.dt)
    turning = size * robot.max_turn_rate / (10 * robot.dt)
    kept: dict[str, Any] = {one.name: getattr(robot, one.name) for one in fields(Unicycle) if one.name != "integrator"}
    return {"robot": Inertial(**kept, acceleration=rate, braking=rate, turn_acceleration=turning)}


def _robot(name: str) -> Callable[[float, TrainConfig], dict[str, Any]]:
    def changes(size: float, config: TrainConfig) -> dict[str, Any]:
        robot = config.game.robot
        changed: Any = {name: size * getattr(robot, name)}
        return {"robot": replace(robot, **changed)}

    return changes


def _evader_speed(size: float, config: TrainConfig) -> dict[str, Any]:
    ratio = size * config.game.evader_speed_ratio
    return {"config": replace(config, game=replace(config.game, evader_speed_ratio=ratio))}


IMPERFECTIONS: dict[str, Imperfection] = {
    "budget": Imperfection("× declared", (1.0, 2.0), _budget),
    "pose": Imperfection("m", (0.01, 0.02, 0.05, 0.1, 0.2), _error("pose")),
    "heading": Imperfection("rad", (0.02, 0.05, 0.1, 0.2, 0.4), _error("heading")),
    "delay": Imperfection("steps", (1.0, 2.0, 3.0, 4.0, 5.0), _error("delay")),
    "brakes": Imperfection("× believed", (0.8, 0.5, 0.25), _brakes),
    "bias": Imperfection("m", (0.01, 0.02, 0.05, 0.1, 0.2), _error("bias")),
    "slip": Imperfection("of the way", (0.02, 0.05, 0.1, 0.2), _error("slip")),
    "dropped": Imperfection("of the measurements", (0.1, 0.3, 0.5), _error("dropped")),
    "radius": Imperfection("× believed", (1.05, 1.1, 1.2), _robot("radius")),
    "step": Imperfection("× believed", (1.25, 1.5, 2.0), _robot("dt")),
    "evader-speed": Imperfection("× trained", (1.1, 1.25, 1.5), _evader_speed),
}
"""By name. "budget" is all errors of measurement and the delay that the run declares; "brakes" of a robot believed to
have no inertia are shares of a stop from full speed within ten steps; "slip" is of way and turn;
"bias" is an error of the position that stays; robots of another radius, step or brakes are both."""

_COVERED = {"bias": "pose"}
"""The budget's field that declares an imperfection of another name."""

_ANYWAY = ("evader-speed",)
"""What theorems 1 and 3 do not depend on."""


class Case(NamedTuple):
    imperfection: str
    size: float
    within: bool
    """The run's budget covers it."""
    changes: dict[str, Any]
    """Keyword arguments of `evaluate`."""


def cases(config: TrainConfig, names: Sequence[str] = ()) -> list[Case]:
    """No imperfection, then each of these (by default all that the run can have) in growing sizes, alone: beside the
    delay that the run declares, which its controller counts on.

    Raises ValueError for an unknown name, or for the budget of a run that declares none.
    """
    if unknown := set(names) - set(IMPERFECTIONS):
        raise ValueError(f"unknown imperfection {sorted(unknown)[0]!r}; known are {', '.join(IMPERFECTIONS)}.")
    budget = config.shield.budget
    late: dict[str, Any] = {"errors": Faults(delay=budget.delay)} if budget.delay else {}
    found = [Case("none", 0.0, True, late)]
    if budget == Budget():
        if "budget" in names:
            raise ValueError("the run declares no budget: leave out the imperfection budget.")
        names = names or [name for name in IMPERFECTIONS if name != "budget"]
    for name in names or IMPERFECTIONS:
        for size in IMPERFECTIONS[name].sizes:
            declared = 1.0 if name == "budget" else getattr(budget, _COVERED.get(name, name), 0.0)
            exact = name in ("budget", "delay")
            within = name in _ANYWAY or (size == declared if exact else size <= declared)
            found.append(Case(name, size, within, late | IMPERFECTIONS[name].changes(size, config)))
    return found


def stress(
    policy: Policy, config: TrainConfig, *, names: Sequence[str] = (), episodes: int, **against: Any
) -> Iterator[tuple[Case, Evaluation]]:
    """Evaluate a policy in all `cases`; `against` names its opponent as in `evaluate`."""
    for case in cases(config, names):
        changes: dict[str, Any] = {"config": config, "episodes": episodes} | against | case.changes
        yield case, evaluate(policy, **changes)


class Suggestion(NamedTuple):
    share: float
    """Of the errors that the budget declares; of the delay always all."""
    budget: Budget
    judged: Evaluation
    """With this budget, under all of the errors: the last episodes that were played."""
    steps: int
    """Played so far with this budget."""

    @property
    def touched(self) -> int:
        """Episodes with an own contact among the last."""
        return int(self.judged.result["collision"]["count"])


SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of the errors, as budgets that `suggest` tries; the last one is proved to do (theorem 3)."""

ENOUGH = 1_000_000
"""Steps without an own contact after which a budget is suggested."""


def suggest(
    policy: Policy, config: TrainConfig, errors: Budget, *, episodes: int, **against: Any
) -> Iterator[Suggestion]:
    """Budgets of growing size for a policy whose robot has these errors, each until an own contact or for `ENOUGH`
    steps; after every `episodes` how it stands. The last one is the suggestion, and has seen no contact unless it is
    that of all errors.

    The delay is always declared in full: the controller has to know it.
    """
    for share in SHARES:
        budget = replace(errors.scaled(share), delay=errors.delay)
        shield, steps = replace(config.shield, budget=budget), 0
        head: Any = policy.head
        guarded, changed = replace(policy, head=replace(head, shield=shield)), replace(config, shield=shield)
        for seed in count():
            judged = evaluate(guarded, changed, episodes=episodes, seed=seed, **against, errors=errors)
            steps += int(judged.recording.length.sum())
            yield (found := Suggestion(share, budget, judged, steps))
            if found.touched:
                break
            if steps >= ENOUGH:
                return
