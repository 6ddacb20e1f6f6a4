"""What `evaluate` and `render` play: the flags that they share, and the evaluation."""

from dataclasses import dataclass

from rich.console import Console

from safepursuit.agents import Layer
from safepursuit.evaluation import Evaluation, evaluate
from safepursuit.evaluation.evaluation import Rules
from safepursuit.experiment import TrainedRun, load_run
from safepursuit.runs.checkpoint import Which
from safepursuit.runs.folder import RunFolder, slug


@dataclass(frozen=True)
class Played:
    """A policy, its scenarios and its opponent."""

    evader: str | None = None
    """Opponent, or mixture of them (default: the suite's, or else the one of the training)."""
    suite: str = "standard"
    """Scenarios; `safepursuit list suites` names them."""
    rules: Rules = "as-trained"
    """The game the suite is made from: the training's own, or the default one, in which `compare` judges."""
    obstacles: int | None = None
    """Number of discs (default: the suite's, or else as in the training)."""
    seed: int = 0
    """Chooses the scenarios; the same seed gives every policy the same ones."""
    shield: Layer = "as-trained"
    """What stands between the network and the wheels."""
    checkpoint: Which = "latest"
    """Which checkpoint plays."""

    def play(self, run: RunFolder, episodes: int, console: Console) -> tuple[TrainedRun, Evaluation]:
        """The run's policy, and its evaluation in so many episodes. Raises what `load_run` and `evaluate` raise."""
        trained = load_run(run, self.checkpoint)
        with console.status(f"playing {episodes:,} episodes …"):
            judged = evaluate(
                trained.policy,
                trained.config,
                episodes=episodes,
                suite=self.suite,
                evader=self.evader,
                obstacles=self.obstacles,
                seed=self.seed,
                layer=self.shield,
                rules=self.rules,
            )
        return trained, judged

    def file_name(self, judged: Evaluation, what: str, steps: int) -> str:
        """A name, without suffix, for a file about it; `steps` of the training."""
        result = judged.result
        words = [self.suite, result["evader"], result["obstacles"], self.shield, f"seed{self.seed}", what, steps]
        if self.rules != "as-trained":
            words.insert(4, f"{self.rules}-rules")
        return slug("-".join(map(str, words)))
