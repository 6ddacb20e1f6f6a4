"""What a comparison shows while it runs: a line for each job that is done, and bars on a terminal."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from safepursuit.compare.jobs import CellJob, TrainingJob
from safepursuit.compare.work import Event


class ComparisonDisplay:
    """Call it with each event; use it as a context manager around the work."""

    def __init__(self, to_train: Sequence[TrainingJob], to_evaluate: Sequence[CellJob], console: Console) -> None:
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
        self._done: dict[type, TaskID] = {}
        for kind, title, jobs in ((TrainingJob, "trainings", to_train), (CellJob, "cells", to_evaluate)):
            self._done[kind] = self._bars.add_task(title, total=len(jobs), note="", visible=bool(jobs))
        self._running: dict[str, TaskID] = {}

    def __enter__(self) -> "ComparisonDisplay":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def __call__(self, event: Event) -> None:
        job, name = event.job, event.job.contender.name
        if event.kind == "progress":
            self._advance(job, event.value)
        elif event.kind == "failed":
            self._line("failed", f"{job}: {event.value}", "red", job)
        elif event.kind == "finished" and isinstance(job, CellJob):
            result = event.value[0].result
            self._rates.append(result["capture"]["rate"])
            told = f"capture {result['capture']['rate']:.1%}, {result['collision']['count']:,} collisions"
            self._line("judged", f"{job}: {told}", "green", job)
        elif event.kind == "finished":
            rate = self._last.get(name, {}).get("pursuit/capture_rate")
            told = f", capture {rate:.1%} at the end" if rate is not None and rate == rate else ""
            self._line("trained", f"{name}: {job.contender.steps:,} steps{told}", "green", job)

    def _advance(self, job: TrainingJob | CellJob, metrics: Mapping[str, float]) -> None:
        name = job.contender.name
        self._last[name] = metrics
        if name not in self._running:
            self._running[name] = self._bars.add_task(f"  {name}", total=job.contender.config.iterations, note="")
        rate = metrics.get("pursuit/capture_rate", float("nan"))
        note = f"capture {rate:.1%}" if rate == rate else ""
        self._bars.update(self._running[name], completed=metrics["iteration"], note=note)

    def _line(self, word: str, text: str, colour: str, job: TrainingJob | CellJob) -> None:
        if isinstance(job, TrainingJob) and job.contender.name in self._running:
            self._bars.remove_task(self._running.pop(job.contender.name))
        rates = self._rates if isinstance(job, CellJob) else []
        note = f"mean capture {sum(rates) / len(rates):.1%}" if rates else ""
        self._bars.update(self._done[type(job)], advance=1, note=note)
        (task,) = (task for task in self._bars.tasks if task.id == self._done[type(job)])
        count = f"{task.completed:g}/{task.total:g}"
        self._console.print(f"[{colour}]{word:8}[/{colour}]{count:>9}  {escape(text)}", highlight=False, soft_wrap=True)
