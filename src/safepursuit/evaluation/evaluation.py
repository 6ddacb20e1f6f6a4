"""Judging a run: its policy, a suite of scenarios, an opponent, a deployment."""

from typing import Any, Literal, NamedTuple, TypeAlias

from safepursuit.evaluation import episodes as playing
from safepursuit.evaluation import metrics, referee, scenarios
from safepursuit.evaluation.deployment import DEPLOYMENTS, Deployment, Pursuer, ScriptedPursuer
from safepursuit.evaluation.episodes import Recording
from safepursuit.evaluation.referee import Verdict
from safepursuit.experiment import TrainConfig
from safepursuit.game import Game
from safepursuit.players import evader_weights, evaders_of

Rules: TypeAlias = Literal["as-trained", "default"]
"""Which game a suite is made from: that of the training, or the default one, as comparisons do."""


class Evaluation(NamedTuple):
    result: dict[str, Any]
    """The contents of `evaluate --json`."""
    recording: Recording
    verdict: Verdict


def evaluate(
    pursuer: Pursuer,
    config: TrainConfig,
    *,
    episodes: int,
    suite: str = "standard",
    evader: str | None = None,
    obstacles: int | None = None,
    seed: int = 0,
    deployment: Deployment = "as-trained",
    rules: Rules = "as-trained",
) -> Evaluation:
    """Play and judge; opponent and number of discs are those of the suite, or else of the training, unless given.

    Raises ValueError for an unknown name or an impossible game.
    """
    if suite in scenarios.SUITES:
        about = scenarios.SUITES[suite]
        if about.fixes_obstacles and obstacles is not None:
            raise ValueError(f"the suite {suite!r} sets the number of discs itself; leave out the obstacles.")
        evader = about.evader if evader is None else evader
    evader = config.evader if evader is None else evader
    evader_weights(evader)  # refuses what is unknown before anything is drawn
    if deployment not in DEPLOYMENTS:
        raise ValueError(f"unknown shield mode {deployment!r}; known are {', '.join(DEPLOYMENTS)}.")
    game = config.game if rules == "as-trained" else Game()
    if obstacles is not None:
        game = scenarios.with_obstacles(game, obstacles)
    drawn = scenarios.draw(suite, game, seed, episodes)
    game = drawn.game
    recording = playing.record(pursuer, drawn, config.shield, evader, deployment)
    verdict = metrics.verdict(recording)
    head = {
        "method": pursuer.name if isinstance(pursuer, ScriptedPursuer) else config.method,
        "shield": deployment,
        "suite": suite,
        "suite_version": scenarios.SUITES[suite].version,
        "evader": evader,
        "obstacles": game.arena.obstacles,
        "seed": seed,
        "deterministic": True,
    }
    figures = metrics.figures(recording, verdict)
    figures["contradictions"] = len(_contradictions(recording, verdict))
    played = evaders_of(evader, episodes)
    if len(set(played)) > 1:
        figures["by_evader"] = metrics.by_evader(recording, verdict, played)
    return Evaluation(head | figures, recording, verdict)


def _contradictions(recording: Recording, verdict: Verdict) -> dict[int, str]:
    """Episodes whose recorded outcome the referee's geometry contradicts, and why."""
    game = recording.game
    return referee.disagreements(
        pursuer=recording.pursuer,
        pursuer_control=recording.pursuer_control,
        evader=recording.evader,
        evader_control=recording.evader_control,
        length=recording.length,
        outcome=recording.outcome,
        clearance=verdict.clearance,
        capture_radius=game.capture_radius,
        horizon=game.horizon,
        collision_terminates=game.collision_terminates,
        dt=game.robot.dt,
        integrator=game.robot.integrator,
    )
