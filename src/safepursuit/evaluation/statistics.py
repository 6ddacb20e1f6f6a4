"""The statistics that make a claim believable: intervals, paired comparisons, aggregates over seeds and tasks.

Pure functions of arrays; a bootstrap takes a seed and returns the same figures for the same seed. Intervals are
two-sided and at 95 % unless something else is said. The interval of a single rate is `evaluation.metrics.rate`; where
nothing happened in N episodes, the upper end of its exact interval, 3.69/N, is what the zero rules out.

    time to capture                `restricted_mean`, `capture_curve`
    two methods, same scenarios    `paired_comparison`, `paired_shares`; several such p-values: `holm`
    methods over seeds and tasks   `interquartile_mean`, `probability_of_improvement`
    two pools against each other   `bradley_terry`
"""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy  # loads its parts when they are used
from numpy.typing import ArrayLike

from safepursuit.evaluation.metrics import CONFIDENCE, rate

RESAMPLES = 9999
"""Bootstrap samples behind an interval."""

_CELLS = 2_000_000
"""Numbers that a bootstrap holds at once."""


class Estimate(NamedTuple):
    value: float
    low: float
    high: float


class CaptureCurve(NamedTuple):
    """The share of episodes captured by each time of a grid, with a pointwise band; arrays (times,)."""

    time: np.ndarray
    share: np.ndarray
    low: np.ndarray
    high: np.ndarray


class PairedComparison(NamedTuple):
    """Two methods on the same scenarios."""

    total: int
    first_only: int
    """Scenarios in which the first method succeeded and the second did not."""
    second_only: int
    difference: Estimate
    """Rate of the first minus rate of the second."""
    p_value: float
    """Of McNemar's exact test; two-sided."""


def restricted_mean(time: ArrayLike, captured: ArrayLike, horizon: float, seed: int = 0) -> Estimate:
    """Mean of min(capture time, horizon) [s] with its interval: the restricted mean survival time at the horizon.

    `time` (episodes,) is the capture time [s] where `captured` (episodes,) is true. Any other episode counts as the
    full horizon, whatever ended it. As no episode is censored before the horizon, the area under the Kaplan–Meier curve
    is this plain mean.

    The interval is a BCa bootstrap: the times are skewed, with a lump at the horizon, and BCa follows the skew and
    stays between 0 and the horizon, where a t interval need not. Where all times are equal a resample cannot differ;
    then the interval rests on the share of other times that so many episodes rule out.
    """
    times = _restricted(time, captured, horizon)
    value = float(times.mean())
    if np.ptp(times) == 0:
        unseen = rate(0, times.size, "exact")["high"]
        return Estimate(value, value * (1 - unseen), value + (horizon - value) * unseen)
    return _bootstrap((times,), np.mean, seed, "BCa")


def capture_curve(time: ArrayLike, captured: ArrayLike, horizon: float, grid: ArrayLike) -> CaptureCurve:
    """The share of episodes captured by each time of `grid` (times,) [s], all within the horizon.

    `time`, `captured` and `horizon` as in `restricted_mean`. As no episode is censored before the horizon, this is one
    minus the Kaplan–Meier curve, and at each time a binomial rate. Its Wilson interval is the band: unlike Greenwood's
    it does not vanish where the share is 0 or 1. The band holds at each time, not at all at once.
    """
    times = np.where(np.asarray(captured, bool), _restricted(time, captured, horizon), np.inf)
    at = np.asarray(grid, float)
    if at.size and not (at.min() >= 0 and at.max() <= horizon):
        raise ValueError(f"the grid must lie between 0 and the horizon of {horizon:g} s: beyond it nothing was seen.")
    found = [rate(int(np.sum(times <= moment)), times.size, "wilson") for moment in at]
    share, low, high = (np.array([one[name] for one in found]) for name in ("rate", "low", "high"))
    return CaptureCurve(at, share, low, high)


def paired_comparison(first: ArrayLike, second: ArrayLike, confidence: float = CONFIDENCE) -> PairedComparison:
    """Compare the successes (scenarios,) of two methods on the same scenarios.

    The test is McNemar's, exact: given the discordant pairs, each is as likely to favour either method. The interval is
    Tango's score interval (Statistics in Medicine 17, 1998, 891–908): it inverts the test that McNemar's is at 0,
    depends on the discordant pairs alone, never leaves [−1, 1], and with no discordant pair among n still has the
    width ± z²/(n + z²). Near 0 % or 100 % with few discordant pairs its coverage is nearer to 95 % than that of
    Newcombe's hybrid score interval (method 10), which is wider and covers more than it says. The exact test is the
    more cautious of the two: at the border its p-value may exceed 5 % while the interval leaves out 0.
    """
    first, second = _flags(first), _flags(second)
    if first.shape != second.shape or first.size == 0:
        raise ValueError(f"the pairs do not match: {first.size} outcomes against {second.size}.")
    total, first_only, second_only = first.size, int(np.sum(first & ~second)), int(np.sum(second & ~first))
    discordant = first_only + second_only
    return PairedComparison(
        total,
        first_only,
        second_only,
        _tango(first_only, second_only, total, confidence),
        float(scipy.stats.binomtest(first_only, discordant).pvalue) if discordant else 1.0,
    )


def paired_shares(first: np.ndarray, second: np.ndarray) -> Estimate:
    """The mean difference of two shares (scenarios,) of the same scenarios, with its interval.

    The adjusted Wald interval of Bonett and Price (J. Educational and Behavioral Statistics 37, 2012, 479–488), which
    adds one pair for either side, here with a scenario's shares in place of a pair's outcomes: it has a width even
    where all scenarios agree, and reduces to theirs for shares of 0 and 1.
    """
    difference = np.asarray(first, float) - np.asarray(second, float)
    if not np.all(np.isfinite(difference)):
        raise ValueError("shares must be finite numbers.")
    padded = np.concatenate([difference, [1.0, -1.0]])
    half = float(scipy.stats.norm.isf((1 - CONFIDENCE) / 2) * padded.std() / np.sqrt(padded.size))
    centre = float(padded.mean())
    return Estimate(float(difference.mean()), max(-1.0, centre - half), min(1.0, centre + half))


def holm(p_values: ArrayLike) -> np.ndarray:
    """Adjusted p-values of a family (tests,), in the order given (Holm, Scand. J. Statistics 6, 1979, 65–70).

    Those at or below α can all be called significant, with a chance below α that any of them is false.
    """
    p = np.asarray(p_values, float)
    if p.ndim != 1 or not np.all((p >= 0) & (p <= 1)):
        raise ValueError("p-values must be a flat list of numbers between 0 and 1.")
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)))
    return adjusted


def interquartile_mean(scores: ArrayLike, seed: int = 0) -> Estimate:
    """The mean of the middle half of all runs' scores (seeds, tasks) of a method, with its interval.

    The interval is a percentile bootstrap that draws seeds anew within each task (Agarwal et al., NeurIPS 2021). It
    speaks of new seeds on these tasks, not of new tasks, and has no width where all seeds score alike.
    """

    def pooled(*tasks: np.ndarray, axis: int) -> Any:
        return scipy.stats.trim_mean(np.concatenate(tasks, axis=axis), 0.25, axis=axis)

    return _bootstrap(tuple(_matrix(scores).T), pooled, seed, "percentile")


def probability_of_improvement(first: ArrayLike, second: ArrayLike, seed: int = 0) -> Estimate:
    """P(a run of the first method scores higher than one of the second), mean over the tasks, with its interval.

    Scores (seeds, tasks) of each; the numbers of seeds may differ. Ties count one half. Bootstrap as in
    `interquartile_mean`, over the seeds of both methods (Agarwal et al., NeurIPS 2021).
    """
    first, second = _matrix(first), _matrix(second)
    tasks = first.shape[1]
    if tasks != second.shape[1]:
        raise ValueError(f"the methods were scored on {tasks} and {second.shape[1]} tasks; they must be the same.")

    def mean_over_tasks(*columns: np.ndarray, axis: int) -> Any:
        pairs = zip(columns[:tasks], columns[tasks:], strict=True)
        wins = [_wins(np.moveaxis(one, axis, -1), np.moveaxis(other, axis, -1)) for one, other in pairs]
        return np.mean(wins, axis=0)

    return _bootstrap((*first.T, *second.T), mean_over_tasks, seed, "percentile")


def bradley_terry(wins: ArrayLike, games: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Ratings (rows,) and (columns,) in Elo points from wins and games (rows, columns) of rows against columns.

    The model of Bradley and Terry (Biometrika 39, 1952): a row that is rated d points above a column beats it with
    probability 1/(1 + 10^(−d/400)). Ratings maximise the likelihood, with half a win and half a loss added to each pair
    that has played, so that they are finite where one side always wins; their mean over all players is 0. One number
    for each player cannot show who beats whom in a cycle.
    """
    won, played = np.asarray(wins, float), np.asarray(games, float)
    if won.ndim != 2 or won.shape != played.shape or not won.size or not np.all((won >= 0) & (won <= played)):
        raise ValueError("wins and games must be tables of the same size, with no more wins than games.")
    known = played > 0
    won, lost = won + 0.5 * known, played - won + 0.5 * known
    rows, columns = won.shape

    def loss(ratings: np.ndarray) -> tuple[float, np.ndarray]:
        """−log likelihood and its gradient; ratings as natural logarithms of odds."""
        edge = ratings[:rows, None] - ratings[rows:]
        value = np.sum(won * np.logaddexp(0, -edge) + lost * np.logaddexp(0, edge))
        slope = lost * scipy.special.expit(edge) - won * scipy.special.expit(-edge)
        return float(value), np.concatenate([slope.sum(axis=1), -slope.sum(axis=0)])

    scale = played.sum()
    found = scipy.optimize.minimize(
        lambda x: tuple(part / scale for part in loss(x)), np.zeros(rows + columns), jac=True, options={"gtol": 1e-9}
    ).x
    points = 400 / math.log(10) * (found - found.mean())
    return points[:rows], points[rows:]


def _restricted(time: ArrayLike, captured: ArrayLike, horizon: float) -> np.ndarray:
    """min(capture time, horizon) of each episode."""
    times, flags = np.asarray(time, float), _flags(captured)
    if not 0 < horizon < math.inf:
        raise ValueError(f"the horizon must be a positive number of seconds, not {horizon:g}.")
    if times.shape != flags.shape or times.size == 0:
        raise ValueError(f"times and captures do not match: {times.size} against {flags.size} episodes.")
    if not np.all(flags <= ((times >= 0) & (times <= horizon))):
        raise ValueError(f"capture times must lie between 0 and the horizon of {horizon:g} s.")
    return np.where(flags, times, horizon)


def _flags(values: ArrayLike) -> np.ndarray:
    flags = np.asarray(values)
    if flags.ndim != 1 or flags.dtype != bool:
        raise ValueError(f"outcomes must be a flat list of booleans, not {flags.dtype} of shape {flags.shape}.")
    return flags


def _matrix(scores: ArrayLike) -> np.ndarray:
    matrix = np.asarray(scores, float)
    if matrix.ndim != 2 or matrix.shape[0] < 2 or matrix.shape[1] < 1 or not np.all(np.isfinite(matrix)):
        raise ValueError(f"scores must be finite, at least two seeds by one task, not of shape {matrix.shape}.")
    return matrix


def _wins(one: np.ndarray, other: np.ndarray) -> Any:
    """Share of pairs (…, seeds) × (…, seeds) in which the one is greater, ties counting one half."""
    difference = one[..., :, None] - other[..., None, :]
    return np.mean((np.sign(difference) + 1) / 2, axis=(-2, -1))


def _bootstrap(samples: tuple, statistic: Callable, seed: int, method: Literal["BCa", "percentile"]) -> Estimate:
    """The statistic of samples that are drawn independently of each other, with its bootstrap interval."""
    found = scipy.stats.bootstrap(
        samples,
        statistic,
        n_resamples=RESAMPLES,
        batch=max(1, _CELLS // sum(len(sample) for sample in samples)),
        vectorized=True,
        confidence_level=CONFIDENCE,
        method=method,
        rng=np.random.default_rng(seed),
    )
    interval = found.confidence_interval
    return Estimate(float(statistic(*samples, axis=-1)), float(interval.low), float(interval.high))


def _tango(first_only: int, second_only: int, total: int, confidence: float) -> Estimate:
    """Difference of paired rates with Tango's score interval: all δ at which the score test does not reject."""
    excess, z = first_only - second_only, scipy.stats.norm.isf((1 - confidence) / 2)

    def score(delta: float) -> float:
        """Falls from ∞ at −1 through 0 at the estimate to −∞ at 1."""
        distance = excess - total * delta
        b = (2 * total - excess) * delta - first_only - second_only
        c = -second_only * delta * (1 - delta)
        q = (math.sqrt(max(b * b - 8 * total * c, 0)) - b) / (4 * total)  # most likely share of `second_only` given δ
        variance = total * (2 * q + delta * (1 - delta))
        if distance == 0 or variance <= 0:
            return math.copysign(math.inf, distance) if distance else 0.0
        return distance / math.sqrt(variance)

    value = excess / total
    low = -1.0 if value == -1 else scipy.optimize.bisect(lambda delta: score(delta) - z, -1, value)
    high = 1.0 if value == 1 else scipy.optimize.bisect(lambda delta: score(delta) + z, value, 1)
    return Estimate(value, float(low), float(high))
