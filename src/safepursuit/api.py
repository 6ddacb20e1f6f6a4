"""For notebooks: train, load, evaluate, and the log of a training."""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from safepursuit.evaluation import Evaluation
from safepursuit.evaluation import evaluate as judge
from safepursuit.experiment import TrainConfig, TrainedRun, create_run, load_run, open_run
from safepursuit.learn import BarrierNetTrainer
from safepursuit.runs import configuration
from safepursuit.runs.checkpoint import Which
from safepursuit.runs.console import TrainingDisplay
from safepursuit.runs.folder import RunFolder
from safepursuit.runs.metrics import read_metrics


def train(
    run_dir: str | Path | None = None,
    *,
    config: TrainConfig | None = None,
    start: str | Path | TrainedRun | None = None,
    progress: bool = True,
    **changes: Any,
) -> TrainedRun:
    """Train a pursuer, or with role="evader" an evader, and return it.

    `changes` are settings by name, such as `method`, `evader`, `timesteps`, `obstacles`, `learning_rate`, on top of
    `config`. With `start`, a run or its folder, the training begins with its weights, and its configuration is the
    default. The run is written to `run_dir`, which must be new; without one nothing is written. Raises TypeError for an
    unknown setting, ValueError for an impossible one or weights that do not fit.
    """
    given = load(start) if isinstance(start, str | Path) else start
    base = config or (given.config if given else TrainConfig())
    whole = configuration.changed(base, changes)
    if run_dir is not None:
        RunFolder.check_free(Path(run_dir))
    trainer = BarrierNetTrainer(whole)
    if given:
        trainer.begin_with(given.policy)
    if run_dir is not None:
        trainer.run = create_run(Path(run_dir), whole, ["safepursuit.train", str(run_dir), repr(changes)], given)
        if given:
            trainer.save()
    try:
        with (
            TrainingDisplay(whole.iterations, whole.steps_per_iteration, role=whole.role)
            if progress
            else nullcontext() as display
        ):
            trainer.train([display] if display else [])
    except BaseException:
        if trainer.run:
            trainer.run.discard_unlearned()
        raise
    return TrainedRun(trainer.policy, whole, trainer.state.steps, trainer.run)


def load(run: str | Path, checkpoint: Which = "latest") -> TrainedRun:
    """The policy of a run folder, or of the zoo (“zoo:pursuer”); `load(run).act(state)` is its control.

    Raises ValueError where there is none.
    """
    return load_run(open_run(run), checkpoint)


def evaluate(run: str | Path | TrainedRun, *, episodes: int = 1000, **choices: Any) -> Evaluation:
    """Judge a run on held-out scenarios; the result prints as a sentence.

    `choices` are those of `evaluation.evaluate`: suite, evader, pursuer, obstacles, seed, layer, rules.
    """
    found = load(run) if isinstance(run, str | Path) else run
    return judge(found.policy, found.config, episodes=episodes, **choices)


def metrics(run: str | Path | TrainedRun) -> Mapping[str, np.ndarray]:
    """The log of a training, one column per metric, one row per iteration: `pandas.DataFrame(metrics(run))`.

    Raises ValueError for a run without a folder.
    """
    folder = RunFolder.open(Path(run)) if isinstance(run, str | Path) else run.folder
    if folder is None:
        raise ValueError("this run has no log: train it with a run_dir.")
    rows = read_metrics(folder)
    return {name: np.array([row[name] for row in rows]) for name in (rows[0] if rows else ())}
