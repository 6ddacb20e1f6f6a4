"""`watch`."""

import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from safepursuit import plugins
from safepursuit.cli.paged import Served
from safepursuit.cli.usage import Debug, UsageError
from safepursuit.runs.folder import RunFolder


@dataclass(frozen=True)
class Watch:
    """Show trainings as they go, in the browser: curves, newest episodes, the safety layer's health, time left."""

    run_folders: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders, of trainings in progress or finished ones; nothing in them is changed."""
    episodes: int = 3
    """Episodes of each run's newest checkpoint, played beside the training at the lowest priority; 0 plays none."""
    served: Annotated[Served, tyro.conf.arg(name="")] = field(default_factory=Served)
    debug: Debug = False

    def run(self, console: Console) -> None:
        from safepursuit.viewer.newest import Newest  # late, for a faster start
        from safepursuit.viewer.trainings import answers, watched

        if not self.run_folders:
            raise UsageError("name a run folder: safepursuit watch RUN.")
        if self.episodes < 0:
            raise UsageError(f"--episodes must be at least 0, not {self.episodes}.")
        runs = watched(self.run_folders)
        with tempfile.TemporaryDirectory(prefix="safepursuit-") as folder:
            words = self._words(Path(folder))

            def command(run: RunFolder, file: Path) -> list[str]:
                return [*words, f"--out={file}", str(run.path.absolute())]

            with Newest(runs if self.episodes else (), command, Path(folder) / "replay.html") as newest:
                self.served.show(console, answers(runs, newest))

    def _words(self, folder: Path) -> list[str]:
        """The beginning of the command that plays a run, with the plugins that were loaded here, as they are here."""
        polite = ["nice", "-n", "19"] if shutil.which("nice") else []
        words = [*polite, sys.executable, "-m", "safepursuit", "replay", f"--episodes={self.episodes}"]
        for number, plugin in enumerate(plugins.loaded()):
            file = folder / f"{number}-{plugin.name}"
            file.write_text(plugin.text, encoding="utf-8")
            words.append(f"--plugin={file}")
        return words
