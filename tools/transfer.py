"""Write docs/benchmarks/transfer.md from a finished comparison on the suite `rooms`: `make transfer`.

usage: python tools/transfer.py COMPARISON
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from safepursuit.benchmark.tables import Table, grid
from safepursuit.evaluation.metrics import rate
from safepursuit.experiment import load_config
from safepursuit.report.comparison.contrasts import OVERALL, contrasts
from safepursuit.report.comparison.numbers import Comparison, load
from safepursuit.runs.folder import RunFolder, write_text

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks" / "transfer.md"

TEXT = """\
# A pursuer in rooms it has not seen

Written by `make transfer` (`tools/transfer.py`); do not edit by hand. {seeds} of `configs/rooms.yaml`,
{steps:,} environment steps each, in 32 random rooms{taught};
judged on the suite [`rooms`](../evaluation.md#suites), {scenarios:,} episodes for each seed and evader, beside the
scripted `{rival}`, which finds its way by the same [shortest ways](../rooms.md#shortest-ways). Capture within 30 s in
per cent with its 95 % interval; the difference is that of the same scenarios, in points. *Holds* says whether the lower
end of its interval is above −2 points.

{table}

Own contacts of the trained pursuer, by the referee: {contacts} of {episodes:,} episodes (95 % upper bound {bound:.3%}).

```text
{command}
```
"""


def per_cent(flags: np.ndarray) -> str:
    found = rate(int(flags.sum()), flags.size, "wilson")
    return f"{100 * found['rate']:.1f} [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"


def row(contrast: dict[str, Any], own: np.ndarray, rival: np.ndarray) -> tuple[str, ...]:
    low, middle, high = (100 * contrast["difference"][name] for name in ("low", "value", "high"))
    points = f"{middle:+.1f} [{low:+.1f}, {high:+.1f}]".replace("-", "−")
    name = "all together" if contrast["evader"] == OVERALL else contrast["evader"]
    return name, per_cent(own), per_cent(rival), points, "yes" if low > -2 else "no"


def page(comparison: Comparison, folder: Path) -> str:
    plan = comparison.plan
    (suite,) = (one for one in plan.suites if one.name == "rooms")
    ours, rival = plan.groups
    captured = {
        group: np.array(
            [[record.outcomes.captured for record in comparison.of(suite, group, evader)] for evader in suite.evaders]
        )
        for group in (ours, rival)
    }
    rows = []
    for contrast in contrasts(captured, suite.evaders):
        everyone = contrast["evader"] == OVERALL
        which = slice(None) if everyone else slice(*(suite.evaders.index(contrast["evader"]) + i for i in (0, 1)))
        rows.append(row(contrast, captured[ours][which], captured[rival][which]))
    head = ("evader", "trained", rival, "difference", "holds")
    collided = np.concatenate([record.outcomes.collided for record in comparison.of(suite, ours)])
    members = plan.members(ours)
    teacher = load_config(RunFolder.open(folder / str(members[0].run))).teacher
    return TEXT.format(
        seeds=f"{len(members)} seed{'s' * (len(members) > 1)}",
        steps=members[0].steps,
        taught=f", first [taught](../methods.md#what-all-share) by `{teacher}`" if teacher else "",
        scenarios=plan.episodes,
        rival=rival,
        table=grid(Table("", head, rows)),
        contacts=int(collided.sum()),
        episodes=collided.size,
        bound=rate(int(collided.sum()), collided.size, "exact")["high"],
        command=plan.command,
    )


def main() -> None:
    folder = Path(sys.argv[1])
    write_text(PAGE, page(load(folder), folder))


if __name__ == "__main__":
    main()
