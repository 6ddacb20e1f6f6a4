"""The worst episodes of a recording."""

import numpy as np

from safepursuit.evaluation.referee import Verdict, separation
from safepursuit.play.recording import Recording


def worst(recording: Recording, verdict: Verdict, count: int) -> np.ndarray:
    """The indices of the `count` worst episodes (of all, if there are fewer), worst first:

    1. invalid episodes
    2. other episodes with a collision of the pursuer's own, by the number of steps in which it collided, most first
    3. other episodes without capture, by the least distance of the two centres, largest first
    4. captures without collision, by their duration, slowest first

    Of an evader: 3. captures, the quickest first, 4. escapes, the narrowest first; collisions are its own.

    Among equals the lower index comes first. Raises ValueError for a count below 1.
    """
    if count < 1:
        raise ValueError(f"the number of episodes to pick must be at least 1, not {count}.")
    kind, severity = ranks(recording, verdict)
    return np.lexsort((np.arange(len(kind)), -severity, kind))[:count]


def ranks(recording: Recording, verdict: Verdict) -> tuple[np.ndarray, np.ndarray]:
    """The kind of each episode (0 to 3, in the order above) and its severity within the kind, both (episodes,); they
    compare episodes of different recordings."""
    collisions = np.sum(verdict.wall | verdict.obstacle | verdict.robot, axis=1)
    missed = np.fmin.reduce(separation(recording.pursuer, recording.evader), axis=1)
    captured, invalid = recording.outcome == "capture", recording.outcome == "invalid"
    if recording.role == "evader":
        kind = np.select([invalid, verdict.collided, captured], [0, 1, 2], 3)
        return kind, np.choose(kind, [0, collisions, -recording.length, -missed])
    kind = np.select([invalid, verdict.collided, ~captured], [0, 1, 2], 3)
    return kind, np.choose(kind, [0, collisions, missed, recording.length])
