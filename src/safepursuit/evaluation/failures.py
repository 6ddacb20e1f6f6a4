"""The worst episodes of a recording."""

import numpy as np

from safepursuit.evaluation.referee import Verdict, separation
from safepursuit.play.recording import Recording


def worst(recording: Recording, verdict: Verdict, count: int) -> np.ndarray:
    """The indices of the `count` worst episodes (of all, if there are fewer), worst first:

    1. episodes with a collision of the pursuer's own, by the number of steps in which it collided, most first
    2. other episodes without capture, by the least distance of the two centres, largest first
    3. captures without collision, by their duration, slowest first

    Among equals the lower index comes first. Raises ValueError for a count below 1.
    """
    if count < 1:
        raise ValueError(f"the number of episodes to pick must be at least 1, not {count}.")
    kind, severity = ranks(recording, verdict)
    return np.lexsort((np.arange(len(kind)), -severity, kind))[:count]


def ranks(recording: Recording, verdict: Verdict) -> tuple[np.ndarray, np.ndarray]:
    """The kind of each episode (0, 1 or 2, in the order above) and its severity within the kind, both (episodes,); they
    compare episodes of different recordings."""
    collisions = np.sum(verdict.wall | verdict.obstacle | verdict.robot, axis=1)
    missed = np.nanmin(separation(recording.pursuer, recording.evader), axis=1)
    captured = recording.outcome == "capture"
    kind = np.where(verdict.collided, 0, np.where(captured, 2, 1))
    return kind, np.choose(kind, [collisions, missed, recording.length])
