"""`stress`."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from safepursuit.attack.stress import ENOUGH, IMPERFECTIONS, stress, suggest
from safepursuit.cli.usage import Debug, Run, UsageError, check_folders, listed, save_json, say
from safepursuit.experiment import load_run, open_run
from safepursuit.robot import Budget


@dataclass(frozen=True)
class Stress:
    """Capture and own contacts of a run against one imperfection at a time: errors, delay, weak brakes, slip …"""

    run_folder: Run
    """The run folder."""
    imperfection: str = "all"
    """Some of budget, pose, heading, delay, brakes, bias, slip, dropped, radius, step, evader-speed, separated by
    commas, or all."""
    suggest: bool = False
    """Instead: the smallest budget for the errors named by --budget.… under which the run touches nothing in a million
    steps."""
    budget: Annotated[Budget, tyro.conf.arg(prefix_name=True)] = field(default_factory=Budget)
    """The errors of your robot, for --suggest."""
    evader: str | None = None
    """Opponent of a pursuer (default: the one of the training)."""
    pursuer: str | None = None
    """Opponent of an evader, likewise."""
    episodes: int = 500
    """Episodes per size, and those after which --suggest looks for contacts."""
    json: Path | None = None
    """Write the figures to this file as well."""
    debug: Debug = False

    def run(self, console: Console) -> None:
        check_folders(self.json)
        if self.suggest == (self.budget == Budget()):
            raise UsageError("--suggest and the errors of the robot, --budget.…, go together.")
        trained = load_run(open_run(self.run_folder))
        against = {"evader": self.evader, "pursuer": self.pursuer}
        rows: list[dict[str, Any]] = []
        if self.suggest:
            with console.status("trying budgets …") as status:
                for one in suggest(trained.policy, trained.config, self.budget, episodes=self.episodes, **against):
                    name = f"budget of {one.share:.0%} of the errors"
                    status.update(f"{name}: {one.steps:,} of {ENOUGH:,} steps without a contact …")
                    if one.touched or one.steps >= ENOUGH:
                        tried = {"budget": asdict(one.budget), "share": one.share, "steps_with_budget": one.steps}
                        rows.append(one.judged.result | tried)
                        seen = f"contact in {one.touched} episodes" if one.touched else "no contact"
                        say(console, f"{name}: {seen} after {one.steps:,} steps")
            flags = " ".join(f"--budget.{k.replace('_', '-')} {v:g}" for k, v in rows[-1]["budget"].items() if v)
            say(console, f"{flags or 'no budget'}: captures {rows[-1]['capture']['rate']:.1%} of the evaders")
            say(console, "Only errors within the declared budget are covered by the theorem: declare them in full.")
        else:
            names = () if self.imperfection == "all" else listed(self.imperfection, IMPERFECTIONS)
            for case, judged in stress(trained.policy, trained.config, names=names, episodes=self.episodes, **against):
                about = {"imperfection": case.imperfection, "size": case.size, "within": case.within}
                rows.append(about | judged.result)
                say(console, f"{case.imperfection} {case.size:g}: {judged.result['collision']['count']} contacts")
            console.print(_table(rows))
        save_json(self.json, rows)


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(
        caption="contacts: episodes with an own collision, judged by the referee; * declared in the budget",
        caption_justify="left",
    )
    for name in ("imperfection", "captured (95 %)", "contacts", "clearance"):
        table.add_column(name, justify="left" if name == "imperfection" else "right", no_wrap=name != "imperfection")
    for row in rows:
        capture, name, size = row["capture"], row["imperfection"], row["size"]
        about = f"{name} {size:g} {IMPERFECTIONS[name].unit}" if size else name
        least = row["min_clearance"]
        table.add_row(
            about + (" *" if row["within"] and size else ""),
            f"{capture['rate']:.1%} ({capture['low']:.1%} – {capture['high']:.1%})",
            str(row["collision"]["count"]),
            "–" if least is None else f"{1e3 * least:.1f} mm",
        )
    return table
