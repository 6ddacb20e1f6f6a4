"""The evaluation in `evaluate` and `render`, and its flags."""

from dataclasses import dataclass

from rich.console import Console

from safepursuit.agents import Layer
from safepursuit.evaluation import Evaluation, evaluate
from safepursuit.evaluation.evaluation import Rules
from safepursuit.experiment import TrainedRun, errors_of, load_run
from safepursuit.runs.checkpoint import Which
from safepursuit.runs.folder import RunFolder, slug


@dataclass(frozen=True)
class Played:
    """A policy, its scenarios and its opponent."""

    evader: str | None = None
    """Opponent of a pursuer: a script, a run folder, or a mixture (default: the suite's, or else the training's)."""
    pursuer: str | None = None
    """Opponent of an evader, likewise."""
    suite: str = "standard"
    """Scenarios; `safepursuit list suites` names them."""
    rules: Rules = "as-trained"
    """The game the suite is made from: that of the training, or the default one, as in `compare`."""
    obstacles: int | None = None
    """Number of discs (default: the suite's, or else as in the training)."""
    seed: int = 0
    """Chooses the scenarios; the same seed gives every policy the same ones."""
    shield: Layer = "as-trained"
    """Safety layer behind the network."""
    disturbance: str = "none"
    """Errors between pursuer and robot: "none", "budget" for the run's budget, or a number of times as much."""
    checkpoint: Which = "latest"
    """Which checkpoint plays."""

    def play(self, run: RunFolder, episodes: int, console: Console) -> tuple[TrainedRun, Evaluation]:
        """The run, and its evaluation in `episodes` episodes. Raises as `load_run` and `evaluate`."""
        trained = load_run(run, self.checkpoint)
        with console.status(f"playing {episodes:,} episodes …"):
            judged = evaluate(
                trained.policy,
                trained.config,
                episodes=episodes,
                suite=self.suite,
                evader=self.evader,
                pursuer=self.pursuer,
                obstacles=self.obstacles,
                seed=self.seed,
                layer=self.shield,
                rules=self.rules,
                errors=errors_of(self.disturbance, trained.config.shield.budget),
            )
        return trained, judged

    def file_name(self, judged: Evaluation, what: str, steps: int) -> str:
        """A file name, without suffix, after `steps` training steps."""
        result = judged.result
        theirs = result["evader" if result["role"] == "pursuer" else "pursuer"]
        words = [self.suite, theirs, result["obstacles"], self.shield, f"seed{self.seed}", what, steps]
        if self.rules != "as-trained":
            words.insert(4, f"{self.rules}-rules")
        if self.disturbance != "none":
            words.insert(4, f"disturbance-{self.disturbance}")
        return slug("-".join(map(str, words)))
