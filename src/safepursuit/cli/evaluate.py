"""`evaluate`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from safepursuit.cli.played import Played
from safepursuit.cli.usage import Debug, Run, check_folders, say
from safepursuit.play.recording import save as save_recording
from safepursuit.report.tables import evaluation_table
from safepursuit.runs.folder import RunFolder, write_json


@dataclass(frozen=True)
class Evaluate:
    """Judge a run: deterministic policy, fixed scenarios, collisions from the referee."""

    run_folder: Run
    """The run folder."""
    episodes: int = 1000
    """Number of episodes."""
    played: Annotated[Played, tyro.conf.arg(name="")] = field(default_factory=Played)
    json: Path | None = None
    """Write the figures to this file as well."""
    record: Path | None = None
    """Write every step of every episode to this .npz file."""
    debug: Debug = False

    def run(self, console: Console) -> None:
        run = RunFolder.open(self.run_folder)
        check_folders(self.json, self.record)
        trained, judged = self.played.play(run, self.episodes, console)
        result = judged.result
        name = self.played.file_name(judged, str(self.episodes), trained.steps)
        files = [run.evaluations / f"{name}.json", *([self.json] if self.json else [])]
        for file in files:
            write_json(file, result)
        if self.record:
            save_recording(judged.recording, self.record)
        console.print(evaluation_table(result, judged.recording.game.arena))
        say(console, f"run folder: {run.path}")
