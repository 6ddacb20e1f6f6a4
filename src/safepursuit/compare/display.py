"""What a comparison shows while it is at work: a line for everything that is finished, and bars on a terminal."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from safepursuit.compare.cells import read
from safepursuit.compare.jobs import Judging, Training
from safepursuit.compare.work import Event


class ComparisonDisplay:
    """Call it with each event; use it as a context manager around the work."""

    def __init__(self, trainings: Sequence[Training], cells: Sequence[Judging], out: Path, console: Console) -> None:
        self._out = out
        self._console = console
        self._rates: list[float] = []
        self._last: dict[str, Mapping[str, float]] = {}
        self._bars = Progress(
            TextColumn("[bold]{task.description}", table_column=None),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[cyan]{task.fields[note]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._totals: dict[type, TaskID] = {}
        self._total = {Training: len(trainings), Judging: len(cells)}
        self._done = {Training: 0, Judging: 0}
        for kind, title in ((Training, "trainings"), (Judging, "cells")):
            if self._total[kind]:
                self._totals[kind] = self._bars.add_task(title, total=self._total[kind], note="")
        self._running: dict[str, TaskID] = {}

    def __enter__(self) -> "ComparisonDisplay":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def __call__(self, event: Event) -> None:
        if event.kind == "progress" and isinstance(event.job, Training):
            self._advance(event.job, event.value)
        elif event.kind == "failed":
            self._line("failed", f"{event.job}: {event.value}", "red", event)
        elif event.kind == "finished" and isinstance(event.job, Training):
            rate = self._last.get(event.job.contender, {}).get("pursuit/capture_rate")
            told = f", capture {rate:.1%} at the end" if rate is not None and rate == rate else ""
            steps = event.job.config.iterations * event.job.config.steps_per_iteration
            self._line("trained", f"{event.job.contender}: {steps:,} steps{told}", "green", event)
        elif event.kind == "finished" and isinstance(event.job, Judging):
            result = read(event.job.cell.file(self._out)).result
            self._rates.append(result["capture"]["rate"])
            told = f"capture {result['capture']['rate']:.1%}, {result['collision']['count']:,} collisions"
            self._line("judged", f"{event.job}: {told}", "green", event)

    def _advance(self, job: Training, metrics: Mapping[str, float]) -> None:
        self._last[job.contender] = metrics
        if job.contender not in self._running:
            self._running[job.contender] = self._bars.add_task(
                f"  {job.contender}", total=job.config.iterations, note=""
            )
        rate = metrics.get("pursuit/capture_rate", float("nan"))
        note = f"capture {rate:.1%}" if rate == rate else ""
        self._bars.update(self._running[job.contender], completed=metrics["iteration"], note=note)

    def _line(self, word: str, text: str, colour: str, event: Event) -> None:
        kind = type(event.job)
        self._done[kind] += 1
        if isinstance(event.job, Training) and event.job.contender in self._running:
            self._bars.remove_task(self._running.pop(event.job.contender))
        note = f"mean capture {sum(self._rates) / len(self._rates):.1%}" if self._rates and kind is Judging else ""
        self._bars.update(self._totals[kind], completed=self._done[kind], note=note)
        count = f"{self._done[kind]}/{self._total[kind]}"
        self._console.print(f"[{colour}]{word:8}[/{colour}]{count:>9}  {escape(text)}", highlight=False, soft_wrap=True)
