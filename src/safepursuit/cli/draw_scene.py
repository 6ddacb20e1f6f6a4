"""`draw-scene`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from safepursuit.cli.usage import Debug, UsageError, say


@dataclass(frozen=True)
class DrawScene:
    """Draw a scene with where a given robot can be in it, and one random start."""

    scene: Annotated[str, tyro.conf.Positional]
    """Scene file (.yaml), room of the gallery or generator; `safepursuit list scenes` names the last two."""
    out: Path
    """Write to this .png, .svg or .pdf file, in place of what is there."""
    robot: str = "unicycle"
    """Model of the robot; `safepursuit list robots` names them."""
    seed: int = 0
    """Chooses the start, and what is drawn at random."""
    debug: Debug = False

    def run(self, console: Console) -> None:
        import jax  # late, for a faster start

        from safepursuit.experiment import TrainConfig
        from safepursuit.game import initial
        from safepursuit.ranges import check_seed
        from safepursuit.report.room import draw

        if self.out.suffix not in (".png", ".svg", ".pdf"):
            raise UsageError(f"--out takes a .png, .svg or .pdf file, not {self.out}.")
        check_seed(self.seed)
        config = TrainConfig() if self.robot == "unicycle" else TrainConfig().with_robot(self.robot)
        game = replace(config.game, arena=replace(config.game.arena, scene=self.scene))
        with console.status("drawing …"):
            start = initial(jax.random.key(self.seed), game, 1)
            draw(game, config.shield, start, self.scene, self.out)
        say(console, str(self.out))
