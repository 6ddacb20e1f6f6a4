"""The display of a training: one line per few iterations, and a live panel on a terminal."""

from collections.abc import Mapping

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

_LINES = 25
"""Lines of a long training, roughly."""

_COLUMNS = (
    ("iter.", "iteration", "{:5.0f}"),
    ("steps", "steps", "{:11,.0f}"),
    ("capture", "pursuit/capture_rate", "{:7.1%}"),
    ("QP time", "qp/time_us", "{:6.2f} µs"),
    ("infeasible", "qp/infeasible_rate", "{:10.2%}"),
    ("intervention", "qp/intervention_rate", "{:12.2%}"),
    ("correction", "qp/correction", "{:10.4f}"),
    ("steps/s", "time/steps_per_second", "{:7,.0f}"),
)
"""Title, metric and format, for 80 columns."""

_ESCAPES = ("escapes", "escapes", "{:7.1%}")
"""Of an evader, in the place of captures."""

_PANEL = (
    ("return", "pursuit/return", "{:.2f}"),
    ("collisions", "safety/collisions", "{:.0f}"),
    ("least clearance", "safety/min_clearance", "{:.3f} m"),
    ("zero gradient", "qp/zero_gradient_share", "{:.1%}"),
    ("policy loss", "ppo/policy_loss", "{:.4f}"),
    ("value loss", "ppo/value_loss", "{:.4f}"),
    ("entropy", "ppo/entropy", "{:.3f}"),
    ("KL", "ppo/kl", "{:.4f}"),
    ("clipped", "ppo/clip_fraction", "{:.1%}"),
    ("explained variance", "ppo/explained_variance", "{:.3f}"),
    ("gradient norm", "ppo/grad_norm", "{:.3f}"),
    ("learning rate", "ppo/learning_rate", "{:.2e}"),
    ("std of v", "ppo/std_v", "{:.3f}"),
    ("std of ω", "ppo/std_omega", "{:.3f}"),
)
_SIDE_BY_SIDE = 3


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.fields.get('speed', 0):,.0f} steps/s", style="cyan")


class TrainingDisplay:
    """An observer of each iteration's metrics, and a context manager around the training.

    On a terminal the lines scroll above a live panel with progress, speed, time left, losses and safety; a file or pipe
    receives the lines alone.
    """

    def __init__(
        self, iterations: int, steps_per_iteration: int, console: Console | None = None, role: str = "pursuer"
    ) -> None:
        self.console = console or Console()
        self._columns = _COLUMNS if role == "pursuer" else (*_COLUMNS[:2], _ESCAPES, *_COLUMNS[3:])
        self._every = max(1, -(-iterations // _LINES))
        self._iterations = iterations
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("steps"),
            _Speed(),
            TimeRemainingColumn(),
            console=self.console,
            expand=True,
        )
        self._task = self._progress.add_task("training", total=iterations * steps_per_iteration)
        self._live = Live(self._progress, console=self.console, transient=True, auto_refresh=True, refresh_per_second=4)
        self._header_due = True

    def __enter__(self) -> "TrainingDisplay":
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self._live.stop()

    def __call__(self, metrics: Mapping[str, float]) -> None:
        if self._header_due:
            header = " ".join(title.rjust(_width(form)) for title, _, form in self._columns)
            self.console.print(Text(header, style="bold"), soft_wrap=True)
            self._header_due = False
        metrics = dict(metrics) | {"escapes": 1 - metrics.get("pursuit/capture_rate", float("nan"))}
        iteration = int(metrics["iteration"])
        if iteration % self._every == 0 or iteration in (1, self._iterations):
            line = " ".join(_cell(metrics.get(name), form).rjust(_width(form)) for _, name, form in self._columns)
            self.console.print(line, highlight=False, soft_wrap=True)
        if self.console.is_terminal:
            speed = metrics.get("time/steps_per_second", 0.0)
            self._progress.update(self._task, completed=metrics["steps"], speed=speed)
            self._live.update(Group(_panel(metrics), self._progress))


def _width(form: str) -> int:
    return len(form.format(0.0))


def _cell(value: float | None, form: str) -> str:
    return "–" if value is None or value != value else form.format(value)


def _panel(metrics: Mapping[str, float]) -> Table:
    table = Table.grid(padding=(0, 2))
    lines = -(-len(_PANEL) // _SIDE_BY_SIDE)
    for line in range(lines):
        cells = []
        for title, name, form in _PANEL[line::lines]:
            cells += [Text(title, style="dim"), Text(_cell(metrics.get(name), form), justify="right")]
        table.add_row(*cells)
    return table
