"""`evaluate`."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from safepursuit.cli.played import Played
from safepursuit.cli.usage import Debug, NotKeptWarning, Run, check_folders, save_json, say
from safepursuit.experiment import open_run
from safepursuit.play import recording
from safepursuit.report.tables import evaluation_table
from safepursuit.runs.folder import write_json


@dataclass(frozen=True)
class Evaluate:
    """Judge a run: deterministic policy, fixed scenarios, collisions from the referee."""

    run_folder: Run
    """The run folder."""
    episodes: int = 1000
    """Number of episodes."""
    played: Annotated[Played, tyro.conf.arg(name="")] = field(default_factory=Played)
    json: Path | None = None
    """Write the figures to this file as well; “-” is standard output, and the table goes to standard error."""
    record: Path | None = None
    """Write every step of every episode to this .npz file, or .mcap for Foxglove and PlotJuggler."""
    debug: Debug = False

    def run(self, console: Console) -> None:
        run = open_run(self.run_folder)
        check_folders(self.json, self.record)
        save_recording = _saver(self.record)
        trained, judged = self.played.play(run, self.episodes, console)
        result = judged.result
        console.print(evaluation_table(result, judged.recording.game.arena))
        say(console, f"run folder: {run.path}")
        save_json(self.json, result)
        if self.record:
            save_recording(judged.recording, self.record)
        name = self.played.file_name(judged, str(self.episodes), trained.steps)
        try:
            write_json(run.evaluations / f"{name}.json", result)
        except OSError as error:  # the figures have been told
            warnings.warn(f"{run.path} does not keep these figures: {error.strerror}.", NotKeptWarning, stacklevel=1)


def _saver(file: Path | None) -> Callable[[recording.Recording, Path], None]:
    """What writes a recording to a file of this name. Raises RuntimeError without the extra that it takes."""
    if file is None or file.suffix.lower() != ".mcap":
        return recording.save
    try:
        from safepursuit.adapters import mcap
    except ModuleNotFoundError as missing:
        raise RuntimeError(str(missing)) from None
    return mcap.save
