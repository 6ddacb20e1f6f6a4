"""Evaluation of a policy: a suite of scenarios, an opponent, a safety layer."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Literal, NamedTuple, TypeAlias

import jax

from safepursuit.agents import Agent, Faults, Imprecise, Layer, Scripted, Trained, behind
from safepursuit.evaluation import metrics, referee, scenarios
from safepursuit.evaluation.episodes import record
from safepursuit.evaluation.referee import Verdict
from safepursuit.experiment import TrainConfig
from safepursuit.experiment.opponents import Opponents, find
from safepursuit.game import Game, observation_shapes, other
from safepursuit.play.recording import Recording
from safepursuit.players import PLAYERS, lineup
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
        if found["role"] == "evader":
            shown = metrics.complement(capture)
            did = f"escaped in {shown['rate']:.1%} of {found['episodes']:,} episodes ({found['pursuer']}"
        else:
            shown = capture
            did = f"caught {shown['rate']:.1%} of {found['episodes']:,} evaders ({found['evader']}"
        return (
            f"{found['method']} {did}; 95 % "
            f"interval {shown['low']:.1%} to {shown['high']:.1%}){took}, and collided in {collision['count']:,} "
            f"episodes (at most {collision['high']:.2%} of all).{void}"
        )


def evaluate(
    player: Policy | str,
    config: TrainConfig,
    *,
    episodes: int,
    suite: str = "standard",
    evader: str | Opponents | None = None,
    pursuer: str | Opponents | None = None,
    obstacles: int | None = None,
    seed: int = 0,
    layer: Layer = "as-trained",
    rules: Rules = "as-trained",
    errors: Budget | None = None,
    robot: Unicycle | None = None,
) -> Evaluation:
    """Play and judge a policy, or the scripted player of this name, behind a safety layer, in the role of `config`.

    `evader` is the opponent of a pursuer, `pursuer` that of an evader: a script, a run folder, a mixture. It and the
    number of discs default to those of the suite, or else of the training. `errors` are drawn between the player and
    its robot (see `agents.Imprecise`), whatever the shield's budget; it is the delay of that budget that the player
    believes in. `robot` is what drives in truth (the opponent, too), where the player believes in that of its training.
    Raises ValueError for an unknown name or an impossible game, NotFiniteError for a policy whose numbers are not
    finite.
    """
    role = config.role
    mine, theirs = (pursuer, evader) if role == "pursuer" else (evader, pursuer)
    if mine is not None:
        raise ValueError(f"the {role} is the one that is judged: name its opponent, the {other(role)}.")
    if suite in scenarios.SUITES:
        about = scenarios.SUITES[suite]
        if about.fixes_obstacles and obstacles is not None:
            raise ValueError(f"the suite {suite!r} sets the number of discs itself; leave out the obstacles.")
        theirs = about.evader if theirs is None and role == "pursuer" else theirs
    theirs = config.opponent if theirs is None else theirs
    if isinstance(theirs, str):  # raises before anything is drawn
        theirs = find(theirs, other(role), config.game, shield=config.shield)
    if isinstance(player, str):
        PLAYERS[role].find(player)
        own: Agent = Scripted(player, config.shield if layer == "as-trained" else None)
    else:
        check_finite(player)
        own = Trained(player, config.shield)
    own = behind(layer, own, config.shield)
    game, believed = game_of(config, rules), None
    if isinstance(errors, Faults) and errors.slip:
        robot = (robot or game.robot).faster(1 + errors.slip)
    if robot is not None:
        known = type(robot) is type(game.robot)
        believed, game = game, replace(game, robot=robot, robot_model=game.robot_model if known else "inertial")
    if errors is not None or believed is not None:
        own = Imprecise(own, errors or Budget(), believed, known_delay=config.shield.budget.delay)
    if obstacles is not None:
        game = scenarios.with_obstacles(game, obstacles)
    drawn = scenarios.draw(suite, game, seed, episodes)
    game = drawn.game
    policies = {name: one.policy for name, one in theirs.trained.items()}
    check_sensor(policies if isinstance(player, str) else {f"this {role}": player, **policies}, game)
    recording = record(own, theirs, drawn, role)
    verdict = metrics.verdict(recording)
    method = player if isinstance(player, str) else config.method
    head = {
        "role": role,
        "method": method,
        "shield": layer,
        "suite": suite,
        "suite_version": scenarios.SUITES[suite].version,
        "pursuer": method if role == "pursuer" else theirs.name,
        "evader": theirs.name if role == "pursuer" else method,
        "obstacles": game.arena.obstacles,
        "seed": seed,
        "deterministic": True,
        "errors": None if errors is None else asdict(errors),
    }
    figures = metrics.figures(recording, verdict)
    figures["contradictions"] = _contradictions(recording, verdict)
    figures["opponent_collisions"] = int(metrics.verdict(recording.of(other(role))).collided.sum())
    played = lineup(dict(theirs.weights), episodes)
    if len(set(played)) > 1:
        figures[f"by_{other(role)}"] = metrics.by_opponent(recording, verdict, played)
    return Evaluation(head | figures, recording, verdict)


def check_sensor(policies: Mapping[str, Policy], game: Game) -> None:
    """Raise ValueError where one of these policies, by name, cannot take what is observed in the game."""
    seen = observation_shapes(game)
    for name, policy in policies.items():
        try:
            jax.eval_shape(policy.features, seen)
        except (TypeError, ValueError):
            raise ValueError(
                f"{name} does not take what this game shows: the sensor discs tells velocities in a room with movers, "
                "and in no other; train with --sensor rays for both."
            ) from None


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
