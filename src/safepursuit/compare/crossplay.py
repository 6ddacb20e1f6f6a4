"""Cross-play: every pursuer against every evader, in one table."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from safepursuit.evaluation.metrics import rate
from safepursuit.evaluation.statistics import bradley_terry


def crossplay(pursuers: Sequence[str], evaders: Sequence[str], captured: np.ndarray) -> dict[str, Any]:
    """Who catches whom, from the outcomes (pursuers, evaders, episodes) of the same scenarios; as JSON has it:

    episodes: of each pair; pursuers, evaders: by name their `mean` rate of captures, that against the `worst` opponent
    for them, who that is (`against`), and their `elo` rating; captures: by pursuer and evader, with the 95 % Wilson
    interval.
    """
    captured = np.asarray(captured, bool)
    episodes = captured.shape[2]
    counts, rates = captured.sum(axis=2), captured.mean(axis=2)
    ratings = bradley_terry(counts, np.full(counts.shape, episodes))

    def side(names: Sequence[str], others: Sequence[str], rates: np.ndarray, elo: np.ndarray, worst: Any) -> Any:
        hardest = worst(rates, axis=1)
        return {
            name: {
                "mean": float(rates[row].mean()),
                "worst": float(rates[row, hardest[row]]),
                "against": others[hardest[row]],
                "elo": float(elo[row]),
            }
            for row, name in enumerate(names)
        }

    return {
        "episodes": episodes,
        "pursuers": side(pursuers, evaders, rates, ratings[0], np.argmin),
        "evaders": side(evaders, pursuers, rates.T, ratings[1], np.argmax),
        "captures": {
            one: {two: rate(int(counts[row, column]), episodes, "wilson") for column, two in enumerate(evaders)}
            for row, one in enumerate(pursuers)
        },
    }
