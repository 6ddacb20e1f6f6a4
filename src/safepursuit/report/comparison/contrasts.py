"""The first group of a comparison against every other one, on the same scenarios.

How the pairs are formed. Scenario i is the same start and the same random stream of the evader for every contender, and
scenarios are drawn independently of each other: they are the units of the test and of the interval. Where a group has
several seeds, or several evaders are taken together, its score in scenario i is the share of those episodes in which it
captured; a scripted pursuer's one episode thus meets the mean of all seeds, and no episode is counted twice. Both
speak of the policies as they were trained: how another training might have come out is in
`statistics.probability_of_improvement`, over the seeds.
"""

from typing import Any

import numpy as np

from safepursuit.evaluation import statistics

OVERALL = "all"


def contrasts(captured: dict[str, np.ndarray], evaders: tuple[str, ...]) -> list[dict[str, Any]]:
    """One row for each other group and evader, and one for all evaders together where there are several.

    `captured` has for each group, the first one first, (evaders, seeds, scenarios) flags. Differences are the first
    group's rate less the other's. The p-values are adjusted by Holm's method over all rows.
    """
    first, *others = captured
    rows: list[dict[str, Any]] = []
    for other in others:
        pair = captured[first], captured[other]
        for number, evader in enumerate(evaders):
            rows.append({"against": other, "evader": evader, **contrast(*(one[number : number + 1] for one in pair))})
        if len(evaders) > 1:
            rows.append({"against": other, "evader": OVERALL, **contrast(*pair)})
        if min(one.shape[1] for one in pair) > 1:
            scores = (one.mean(axis=2).T for one in pair)
            rows[-1]["improvement"] = statistics.probability_of_improvement(*scores)._asdict()
    adjusted = statistics.holm([row["p_value"] for row in rows])
    return [row | {"p_holm": float(p)} for row, p in zip(rows, adjusted, strict=True)]


def contrast(first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
    """Two groups' captures (evaders, seeds, scenarios), compared scenario by scenario.

    The test is the exact sign test on the scenarios in which one group captured the greater share; with one seed on
    each side and one evader it is McNemar's.
    """
    one, other = (flags.reshape(-1, flags.shape[2]) for flags in (first, second))
    excess = one.sum(axis=0) * len(other) - other.sum(axis=0) * len(one)  # whole numbers: ties are exact
    tested = statistics.paired_comparison(excess > 0, excess < 0)
    single = len(one) == len(other) == 1
    difference = tested.difference if single else statistics.paired_shares(one.mean(axis=0), other.mean(axis=0))
    return {
        "scenarios": tested.total,
        "better": tested.first_only,
        "worse": tested.second_only,
        "difference": difference._asdict(),
        "p_value": tested.p_value,
    }
