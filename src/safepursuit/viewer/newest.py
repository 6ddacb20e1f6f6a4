"""Episodes of the newest checkpoint of each run, played beside the trainings while somebody looks."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

from safepursuit.runs import checkpoint
from safepursuit.runs.checkpoint import CheckpointError
from safepursuit.runs.folder import RunFolder

Command: TypeAlias = Callable[[RunFolder, Path], Sequence[str]]
"""The words of a command that plays a run's latest checkpoint and writes the page of its replay to this file."""

_LOOKED = 15.0
"""Seconds without a question after which nobody looks."""

_REST = 9
"""Times as long as playing took, a run that is being trained is then left alone."""

_LOOK = 0.5
"""Seconds between two looks for new checkpoints."""


@dataclass
class _Shown:
    """What is known of one run."""

    page: bytes = b""
    steps: int | None = None
    """Of the checkpoint that is shown."""
    tried: int | None = None
    """Of the checkpoint that was played last, with or without success."""
    playing: bool = False
    trouble: str = ""
    again: float = 0.0
    """Moment of `time.monotonic` before which it is left alone."""


class Newest:
    """Plays within a `with` block, one run after the other, each in a process of its own that writes its page to
    `file`; `told` says that somebody looks, and what there is.

    Run folders are only read. The processes do not touch an accelerator, no more than one is at work at any time, and a
    run that is being trained is left alone for nine times as long as its episodes took.
    """

    def __init__(self, runs: Sequence[RunFolder], command: Command, file: Path) -> None:
        self.runs, self._command, self._file = runs, command, file
        self._shown = [_Shown() for _ in runs]
        self._looked = -_LOOKED
        self._over, self._lock = threading.Event(), threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> "Newest":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._over.set()
            if self._process is not None:
                self._process.kill()
        self._thread.join()

    def told(self) -> list[dict[str, Any]]:
        """Of each run: steps of the checkpoint whose episodes are shown (None for none), whether newer ones are being
        played, and what was wrong with them."""
        self._looked = time.monotonic()
        return [{"steps": one.steps, "playing": one.playing, "trouble": one.trouble} for one in self._shown]

    def page(self, number: int) -> bytes:
        """The replay of this run; empty where there is none yet."""
        return self._shown[number].page

    def _follow(self) -> None:
        while not self._over.wait(_LOOK):
            for run, shown in zip(self.runs, self._shown, strict=True):
                now = time.monotonic()
                resting = now < shown.again and not run.summary.is_file()
                if now - self._looked > _LOOKED or resting or self._over.is_set():
                    continue
                try:
                    self._play(run, shown)
                except (CheckpointError, OSError) as error:
                    shown.playing, shown.trouble = False, str(error)

    def _play(self, run: RunFolder, shown: _Shown) -> None:
        steps = checkpoint.steps(run) if checkpoint.exists(run) else None
        if steps is None or steps == shown.tried:
            return
        start = time.monotonic()
        shown.tried, shown.playing = steps, True
        trouble = self._run(self._command(run, self._file))
        if not trouble:
            shown.page, shown.steps = self._file.read_bytes(), steps
        shown.playing, shown.trouble = False, trouble
        shown.again = time.monotonic() + _REST * (time.monotonic() - start)

    def _run(self, words: Sequence[str]) -> str:
        """Run a command to its end; returns its complaint, empty where there is none."""
        with self._lock:
            if self._over.is_set():
                return "interrupted."
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=os.environ | {"JAX_PLATFORMS": "cpu"},
                text=True,
                errors="replace",
            )
        _, said = self._process.communicate()
        lines = said.strip().splitlines() or [f"the episodes were not played: exit status {self._process.returncode}."]
        return lines[-1].removeprefix("safepursuit: ") if self._process.returncode else ""
