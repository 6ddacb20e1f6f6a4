"""Which episodes went worst: the ones to look at first."""

import numpy as np

from safepursuit.evaluation.referee import Verdict, separation
from safepursuit.play.recording import Recording


def worst(recording: Recording, verdict: Verdict, count: int) -> np.ndarray:
    """The indices of the `count` worst episodes, the worst first; of all of them if there are fewer.

    1. episodes with a collision of the pursuer's own, by the number of steps in which it collided, most first
    2. other episodes without capture, by the least distance of the two centres ever reached, largest first
    3. captures without collision, by their duration, slowest first

    Among equals the lower index comes first, so that the order follows from the recording alone. Raises ValueError for
    a count below 1.
    """
    if count < 1:
        raise ValueError(f"the number of episodes to pick must be at least 1, not {count}.")
    kind, severity = ranks(recording, verdict)
    return np.lexsort((np.arange(len(kind)), -severity, kind))[:count]


def ranks(recording: Recording, verdict: Verdict) -> tuple[np.ndarray, np.ndarray]:
    """For each episode its kind (0, 1 or 2, in the order above), and how bad it is among its kind: the more, the worse;
    both (episodes,). They compare episodes of different recordings."""
    collisions = np.sum(verdict.wall | verdict.obstacle | verdict.robot, axis=1)
    missed = np.nanmin(separation(recording.pursuer, recording.evader), axis=1)
    captured = recording.outcome == "capture"
    kind = np.where(verdict.collided, 0, np.where(captured, 2, 1))
    return kind, np.choose(kind, [collisions, missed, recording.length])
