"""`play`."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from safepursuit.cli.export import onnx_adapter
from safepursuit.cli.paged import Served, check_page, write_page
from safepursuit.cli.usage import Debug, UsageError
from safepursuit.experiment import TrainedRun, load_run, open_run
from safepursuit.experiment.opponents import refuse_role
from safepursuit.runs.checkpoint import Which

_ROOM = 8
"""Least number of discs that the page's policies take, so that a visitor can add some."""

_PACKED = Path("zoo:pursuer")
"""Who plays where nobody is named."""


@dataclass(frozen=True)
class Play:
    """Run from a trained pursuer yourself, in the browser; its policy runs in the page."""

    run_folders: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders, or names of the zoo, among which the visitor can choose, all for one robot; the game is that of the
    first (default: zoo:pursuer)."""
    obstacles: int | None = None
    """Number of discs at the start (default: as in the training)."""
    seed: int = 0
    """Chooses the arenas."""
    checkpoint: Which = "latest"
    """Which checkpoint plays."""
    out: Path | None = None
    """Write one file, .html, that needs nothing else, in place of what is there (default: serve the page here)."""
    served: Annotated[Served, tyro.conf.arg(name="")] = field(default_factory=Served)
    debug: Debug = False

    def run(self, console: Console) -> None:
        from safepursuit.viewer.matches import Model, match  # late, for a faster start
        from safepursuit.viewer.packing import page

        check_page(self.out)
        adapter = onnx_adapter()
        folders = self.run_folders or (_PACKED,)
        runs = [load_run(open_run(path), self.checkpoint) for path in folders]
        game = runs[0].config.game
        if self.obstacles is not None:
            game = replace(game, arena=replace(game.arena, obstacles=self.obstacles, min_obstacles=None))
        for path, run in zip(folders, runs, strict=True):
            refuse_role(run, "pursuer", str(path))
            if run.config.game.robot != game.robot:
                raise UsageError(f"{path} was trained for another robot than {folders[0]}.")
        models = []
        with console.status("exporting …"):
            for name, run in zip(_names(folders, runs), runs, strict=True):
                discs = max(_ROOM, game.arena.obstacles)
                content = adapter.export(run.policy, run.config, discs=discs, edges=0, movers=0).SerializeToString()
                delay = run.config.shield.budget.delay
                models.append(Model(name, content, discs, delay, run.config.promises))
            text = page("play", match(game, models, self.seed))
        if self.out is not None:
            write_page(console, self.out, text)
        else:
            content = text.encode()
            self.served.show(console, {"/": lambda _: content})


def _names(paths: tuple[Path, ...], runs: list[TrainedRun]) -> list[str]:
    """The method of each run, with its folder where two are alike."""
    methods = [run.config.method for run in runs]
    return [
        method if methods.count(method) == 1 else f"{method} ({path.resolve().name})"
        for path, method in zip(paths, methods, strict=True)
    ]
