"""Evaluation of a policy: a suite of scenarios, an opponent, a safety layer."""

from dataclasses import asdict, replace
from typing import Any, Literal, NamedTuple, TypeAlias

from safepursuit.agents import Agent, Faults, Imprecise, Layer, Scripted, Trained, behind
from safepursuit.evaluation import metrics, referee, scenarios
from safepursuit.evaluation.episodes import record
from safepursuit.evaluation.referee import Verdict
from safepursuit.experiment import TrainConfig
from safepursuit.game import Game
from safepursuit.play.recording import Recording
from safepursuit.players import PURSUERS, evader_weights, evaders_of
from safepursuit.policy import Policy, check_finite
from safepursuit.robot import Budget, Unicycle

Rules: TypeAlias = Literal["as-trained", "default"]
"""The game from which a suite is made: that of the training, or the default one, as in comparisons."""


class Evaluation(NamedTuple):
    result: dict[str, Any]
    """The contents of `evaluate --json`."""
    recording: Recording
    verdict: Verdict

    def __str__(self) -> str:
        """The result in one sentence."""
        found = self.result
        capture, collision, mean = found["capture"], found["collision"], found["capture_time"]["mean"]
        took = "" if mean is None else f", after {mean:.1f} s in the mean"
        void = f" {found['invalid']:,} were invalid: a number was not finite." if found["invalid"] else ""
        return (
            f"{found['method']} caught {capture['rate']:.1%} of {found['episodes']:,} evaders ({found['evader']}; 95 % "
            f"interval {capture['low']:.1%} to {capture['high']:.1%}){took}, and collided in {collision['count']:,} "
            f"episodes (at most {collision['high']:.2%} of all).{void}"
        )


def evaluate(
    pursuer: Policy | str,
    config: TrainConfig,
    *,
    episodes: int,
    suite: str = "standard",
    evader: str | None = None,
    obstacles: int | None = None,
    seed: int = 0,
    layer: Layer = "as-trained",
    rules: Rules = "as-trained",
    errors: Budget | None = None,
    robot: Unicycle | None = None,
) -> Evaluation:
    """Play and judge a policy, or the scripted pursuer of this name, behind a safety layer.

    Opponent and number of discs default to those of the suite, or else of the training. `errors` are drawn between the
    pursuer and its robot (see `agents.Imprecise`), whatever the shield's budget; `robot` is what drives in truth (the
    evader, too), where the pursuer believes in that of its training. Raises ValueError for an unknown name or an
    impossible game, NotFiniteError for a policy whose numbers are not finite.
    """
    if suite in scenarios.SUITES:
        about = scenarios.SUITES[suite]
        if about.fixes_obstacles and obstacles is not None:
            raise ValueError(f"the suite {suite!r} sets the number of discs itself; leave out the obstacles.")
        evader = about.evader if evader is None else evader
    evader = config.evader if evader is None else evader
    evader_weights(evader)  # raises before anything is drawn
    if isinstance(pursuer, str):
        PURSUERS.find(pursuer)
        own: Agent = Scripted(pursuer, config.shield if layer == "as-trained" else None)
    else:
        check_finite(pursuer)
        own = Trained(pursuer, config.shield)
    own = behind(layer, own, config.shield)
    game, believed = game_of(config, rules), None
    if isinstance(errors, Faults) and errors.slip:
        robot = (robot or game.robot).faster(1 + errors.slip)
    if robot is not None:
        known = isinstance(robot, type(game.robot))
        believed, game = game, replace(game, robot=robot, robot_model=game.robot_model if known else "inertial")
    if errors is not None or believed is not None:
        own = Imprecise(own, errors or Budget(), believed)
    if obstacles is not None:
        game = scenarios.with_obstacles(game, obstacles)
    drawn = scenarios.draw(suite, game, seed, episodes)
    game = drawn.game
    recording = record(own, evader, drawn, config.shield)
    verdict = metrics.verdict(recording)
    head = {
        "method": pursuer if isinstance(pursuer, str) else config.method,
        "shield": layer,
        "suite": suite,
        "suite_version": scenarios.SUITES[suite].version,
        "evader": evader,
        "obstacles": game.arena.obstacles,
        "seed": seed,
        "deterministic": True,
        "errors": None if errors is None else asdict(errors),
    }
    figures = metrics.figures(recording, verdict)
    figures["contradictions"] = _contradictions(recording, verdict)
    played = evaders_of(evader, episodes)
    if len(set(played)) > 1:
        figures["by_evader"] = metrics.by_evader(recording, verdict, played)
    return Evaluation(head | figures, recording, verdict)


def game_of(config: TrainConfig, rules: Rules) -> Game:
    """The game from which a suite is made. Robot and sensor are the training's: a policy takes no others."""
    if rules == "as-trained":
        return config.game
    return replace(Game.of_robot(config.game.robot_model), sensor=config.game.sensor)


def _contradictions(recording: Recording, verdict: Verdict) -> int:
    """The number of episodes whose recorded outcome contradicts the referee's geometry."""
    game = recording.game
    found = referee.disagreements(
        pursuer=recording.pursuer,
        pursuer_control=recording.pursuer_control,
        evader=recording.evader,
        evader_control=recording.evader_control,
        length=recording.length,
        outcome=recording.outcome,
        clearance=verdict.clearance,
        invalid=verdict.invalid,
        capture_radius=game.capture_radius,
        horizon=game.horizon,
        collision_terminates=game.collision_terminates,
        dt=game.robot.dt,
        integrator=game.robot.integrator,
        pursuer_velocity=recording.pursuer_velocity,
        evader_velocity=recording.evader_velocity,
    )
    return len(found)
