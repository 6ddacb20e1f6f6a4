"""Every statistic against a published example, another library or its definition by enumeration.

Constants from other libraries were computed with statsmodels 0.15.0 and lifelines 0.30.3; the call stands beside them.
"""

import math
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import CensoredData, binom, ecdf, mannwhitneyu, norm

from safepursuit.evaluation.metrics import rate
from safepursuit.evaluation.statistics import (
    capture_curve,
    holm,
    interquartile_mean,
    paired_comparison,
    probability_of_improvement,
    restricted_mean,
)

PLACEBO = np.array([1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23.0])
"""Weeks of remission under placebo, Freireich et al., Blood 21 (1963); looked at here as if the study had ended after
10 weeks, so that eight are censored at the horizon."""
WEEKS = 10.0

# --- a zero, and what it rules out -------------------------------------------------------------------------------


@pytest.mark.parametrize(("total", "bound"), [(200, 0.01828), (1000, 0.00368), (10_000, 0.000369)])
def test_a_zero_rules_out_what_would_have_shown_itself(total, bound):
    found = rate(0, total, "exact")["high"]
    assert found == pytest.approx(bound, rel=2e-3)
    assert binom.pmf(0, total, found) == pytest.approx(0.025)
    assert 3.62 / total < found < 3.69 / total


# --- time to capture ---------------------------------------------------------------------------------------------


def placebo(horizon=WEEKS):
    return np.minimum(PLACEBO, horizon), horizon >= PLACEBO, horizon


def test_restricted_mean_is_the_area_under_the_kaplan_meier_curve():
    # lifelines.utils.restricted_mean_survival_time(KaplanMeierFitter().fit(minimum(t, 10), t <= 10), t=10)
    assert restricted_mean(*placebo()).value == pytest.approx(6.619047619047619)


def test_an_episode_without_capture_counts_as_the_horizon_whatever_ended_it():
    found = restricted_mean([2.0, 1.0, 30.0], [True, False, False], 30.0)
    assert found.value == pytest.approx((2 + 30 + 30) / 3)


def test_the_interval_of_the_restricted_mean_by_enumeration():
    """All 6^6 resamples, each as likely as the other, and the BCa limits from their definition (Efron, JASA 82, 1987).

    The bias correction and the acceleration shift the two percentiles; the acceleration of a mean is a sixth of the
    skewness of its values over √n.
    """
    times = np.array([1.3, 2.1, 2.9, 4.6, 7.4, 10.0])
    found = restricted_mean(times, times < 10, 10.0)
    means = np.sort(np.array(list(product(times, repeat=6))).mean(axis=1))
    middle = times.mean()
    bias = norm.ppf((np.mean(means < middle - 1e-9) + np.mean(means < middle + 1e-9)) / 2)
    deviation = times - middle
    acceleration = (deviation**3).sum() / (6 * (deviation**2).sum() ** 1.5)
    for limit, tail in ((found.low, 0.025), (found.high, 0.975)):
        z = bias + norm.ppf(tail)
        share = norm.cdf(bias + z / (1 - acceleration * z))
        # 9,999 resamples know a share of 2.5 % to ± 0.3 % (two standard deviations).
        assert np.quantile(means, share - 0.006) <= limit <= np.quantile(means, min(share + 0.006, 1))
    assert found.low > middle - 1.96 * times.std(ddof=1) / math.sqrt(6)  # skewed to the right


def test_with_many_episodes_the_interval_is_that_of_the_central_limit_theorem():
    times = np.random.default_rng(1).uniform(2, 8, 900)
    found = restricted_mean(times, np.ones(900, bool), 30.0)
    half = 1.96 * times.std(ddof=1) / 30
    assert found.low == pytest.approx(found.value - half, abs=0.05 * half)
    assert found.high == pytest.approx(found.value + half, abs=0.05 * half)


def test_where_all_times_are_equal_the_interval_rests_on_what_was_not_seen():
    """100 time-outs: up to 1 − 0.025^(1/100) = 3.622 % may be captured at once, which takes 1.087 s off 30 s."""
    never = restricted_mean(np.full(100, 30.0), np.zeros(100, bool), 30.0)
    assert (never.value, never.high) == (30, 30)
    assert never.low == pytest.approx(30 - 1.0865, abs=1e-4)
    always = restricted_mean(np.full(100, 10.0), np.ones(100, bool), 30.0)
    assert always.value == 10
    assert always.low == pytest.approx(10 - 0.3622, abs=1e-4)
    assert always.high == pytest.approx(10 + 20 * 0.03622, abs=1e-4)


def test_the_capture_curve_is_one_minus_kaplan_meier():
    found = capture_curve(*placebo(), [0, 0.9, 1, 2, 3, 4, 5, 8, 9.9])
    # KaplanMeierFitter().fit(minimum(t, 10), t <= 10).survival_function_at_times([1, 2, 3, 4, 5, 8, 9.9])
    survival = [0.9047619, 0.80952381, 0.76190476, 0.66666667, 0.57142857, 0.38095238, 0.38095238]
    np.testing.assert_allclose(found.share, [0, 0, *(1 - np.array(survival))], atol=1e-8)
    # proportion_confint(k, 21, method="wilson") for k = 0, 2, 9, 13
    for at, low, high in ((0, 0, 0.154639), (2, 0.026519, 0.289141), (6, 0.244700, 0.634534), (8, 0.408787, 0.792490)):
        assert found.low[at] == pytest.approx(low, abs=1e-6)
        assert found.high[at] == pytest.approx(high, abs=1e-6)


def test_the_capture_curve_agrees_with_scipys_for_censored_data():
    rng = np.random.default_rng(2)
    times = np.round(rng.gamma(3, 4, 500), 1)
    captured = times <= 15
    grid = np.linspace(0, 15, 61)
    found = capture_curve(np.minimum(times, 15), captured, 15.0, grid)
    data = CensoredData.right_censored(np.minimum(times, 15), ~captured)
    np.testing.assert_allclose(found.share, ecdf(data).cdf.evaluate(grid), atol=1e-12)
    assert (np.diff(found.low) >= 0).all()
    assert (np.diff(found.high) >= 0).all()
    assert found.share[-1] == captured.mean()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, 2.0], [True], 3.0), "do not match"),
        (([], np.zeros(0, bool), 3.0), "do not match"),
        (([1.0, 4.0], [True, True], 3.0), "between 0 and the horizon of 3 s"),
        (([1.0, math.nan], [True, True], 3.0), "between 0 and the horizon"),
        (([1.0, 2.0], [1, 0], 3.0), "flat list of booleans"),
    ],
)
def test_times_that_make_no_sense_are_refused(arguments, message):
    for statistic in (restricted_mean, lambda *these: capture_curve(*these, [1.0])):
        with pytest.raises(ValueError, match=message):
            statistic(*arguments)


def test_the_curve_ends_at_the_horizon():
    with pytest.raises(ValueError, match="beyond it nothing was seen"):
        capture_curve([1.0], [True], 3.0, [3.1])


# --- two methods on the same scenarios ---------------------------------------------------------------------------


def outcomes(both, first_only, second_only, neither):
    counts = (both, first_only, second_only, neither)
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


@pytest.mark.parametrize(
    ("table", "low", "high", "p_value", "digits"),
    [
        # Complete response before and after consolidation (Cavo et al. 2012), a table of Fagerland, Lydersen & Laake,
        # Statistical Analysis of Contingency Tables, ch. 8; figures from the tests of the R package contingencytables.
        ((59, 6, 16, 80), -0.1240, -0.0054, 0.052479, 5e-5),
        # Airway hyper-responsiveness (Bentur et al. 2009), ibid.; limits as in the sources of the R package ratesci.
        # p: statsmodels mcnemar([[1, 1], [7, 12]], exact=True)
        ((1, 1, 7, 12), -0.517, -0.026, 0.0703125, 5e-4),
    ],
)
def test_published_tables(table, low, high, p_value, digits):
    found = paired_comparison(*outcomes(*table))
    assert (found.total, found.first_only, found.second_only) == (sum(table), table[1], table[2])
    assert found.difference.value == pytest.approx((table[1] - table[2]) / sum(table))
    assert found.difference.low == pytest.approx(low, abs=digits)
    assert found.difference.high == pytest.approx(high, abs=digits)
    assert found.p_value == pytest.approx(p_value, abs=1e-6)


def test_another_level_of_confidence():
    # R: PropCIs::scoreci.mp(25, 28, 618, 0.9), which subtracts the first from the second.
    found = paired_comparison(*outcomes(565, 28, 25, 0), confidence=0.9).difference
    assert found.low == pytest.approx(-0.0148, abs=5e-5)
    assert found.high == pytest.approx(0.0247, abs=5e-5)


def test_mcnemar_by_hand():
    """10 against 2 of 12 discordant pairs: 2 · (C(12,0) + C(12,1) + C(12,2)) / 2^12 = 158 / 4096."""
    assert paired_comparison(*outcomes(5, 10, 2, 5)).p_value == pytest.approx(158 / 4096)
    # Agresti, Categorical Data Analysis (1990), p. 350: presidential approval.
    # statsmodels mcnemar([[794, 150], [86, 570]], exact=True)
    assert paired_comparison(*outcomes(794, 150, 86, 570)).p_value == pytest.approx(3.7159361e-05, rel=1e-6)


@pytest.mark.parametrize("table", [(100, 0, 0, 0), (0, 0, 0, 100), (37, 0, 0, 63)])
def test_without_a_discordant_pair_there_is_still_an_interval(table):
    """1.95996² / (100 + 1.95996²) = 3.84146 / 103.84146: the Wilson limit beside 0 of 100."""
    found = paired_comparison(*outcomes(*table))
    assert found.p_value == 1
    assert found.difference.value == 0
    assert found.difference.high == -found.difference.low == pytest.approx(3.84146 / 103.84146, rel=1e-5)
    assert found.difference.high == pytest.approx(rate(0, 100, "wilson")["high"])


def test_where_one_method_always_wins():
    found = paired_comparison(np.ones(8, bool), np.zeros(8, bool))
    assert found.difference.value == found.difference.high == 1
    assert 0 < found.difference.low < 1
    assert found.p_value == 2 / 2**8


def likeliest(first_only, second_only, total, delta):
    """Shares of the two discordant kinds and of the rest that make the counts most likely, given their difference."""
    same = total - first_only - second_only

    def unlikely(second):
        shares = np.array([second + delta, second, 1 - delta - 2 * second])
        counts = np.array([first_only, second_only, same])
        return -np.sum(counts[counts > 0] * np.log(np.maximum(shares[counts > 0], 1e-300)))

    bounds = (max(0.0, -delta), (1 - delta) / 2)
    return minimize_scalar(unlikely, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x


@pytest.mark.parametrize(
    ("first_only", "second_only", "total"), [(6, 16, 161), (1, 0, 44), (0, 3, 500), (12, 9, 40), (2, 2, 200)]
)
def test_at_its_limits_the_score_test_just_rejects(first_only, second_only, total):
    """By definition, with the likelihood maximised numerically: the distance of the difference from δ, in standard
    deviations if δ were true, is 1.96."""
    found = paired_comparison(*outcomes(total - first_only - second_only, first_only, second_only, 0)).difference
    for delta, sign in ((found.low, 1), (found.high, -1)):
        second = likeliest(first_only, second_only, total, delta)
        deviation = math.sqrt((2 * second + delta - delta**2) / total)
        assert sign * (found.value - delta) / deviation == pytest.approx(1.959964, rel=1e-4)


@given(counts=st.tuples(*[st.integers(0, 60)] * 4).filter(lambda counts: sum(counts) > 0))
def test_laws_of_the_paired_comparison(counts):
    first, second = outcomes(*counts)
    found, mirrored = paired_comparison(first, second), paired_comparison(second, first)
    (value, low, high), b, c = found.difference, counts[1], counts[2]
    assert -1 <= low <= value <= high <= 1
    assert low < high
    np.testing.assert_allclose([-value, -high, -low], mirrored.difference, atol=1e-9)
    assert found.p_value == mirrored.p_value
    # McNemar's asymptotic statistic rejects equality exactly where the interval leaves out 0.
    if abs(statistic := (b - c) ** 2 / max(b + c, 1) - 3.841459) > 1e-4:
        assert (statistic > 0) == (low > 0 or high < 0)


@pytest.mark.parametrize(
    ("total", "first_only", "second_only"), [(500, 0.01, 0.01), (500, 0.015, 0.001), (100, 0.05, 0.01), (500, 0.03, 0)]
)
def test_coverage_with_few_discordant_pairs(total, first_only, second_only):
    """Exact, over all tables: the interval holds the true difference in 93 % of experiments or more."""
    covered = known = 0.0
    for b in range(total + 1):
        for c in range(total + 1 - b):
            chance = binom.pmf(b, total, first_only) * binom.pmf(c, total - b, second_only / (1 - first_only))
            if chance < 1e-6:
                if c > total * second_only:
                    break
                continue
            found = paired_comparison(*outcomes(total - b - c, b, c, 0)).difference
            covered += chance * (found.low <= first_only - second_only <= found.high)
            known += chance
        if b > 10 * total * first_only + 10:
            break
    assert known > 0.999
    assert covered > 0.93


def test_pairs_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="3 outcomes against 2"):
        paired_comparison([True, False, True], [True, False])
    with pytest.raises(ValueError, match="0 outcomes"):
        paired_comparison(np.zeros(0, bool), np.zeros(0, bool))


# --- families of tests -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        # The customary example: 4 · 0.005, 3 · 0.01, 2 · 0.03, and 0.04 raised to its predecessor's 0.06.
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        # statsmodels multipletests(p, method="holm")[1]
        ([0.0001, 0.5, 0.02, 0.02, 0.9, 0.011], [0.0006, 1, 0.08, 0.08, 1, 0.055]),
        ([0.2], [0.2]),
        ([], []),
    ],
)
def test_holm_examples(p_values, adjusted):
    np.testing.assert_allclose(holm(p_values), adjusted, rtol=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closure_of_bonferroni(p_values):
    """A hypothesis falls at α when Bonferroni rejects every intersection with others: its adjusted p-value is the
    largest, over all sets it belongs to, of the set's size times its least p-value."""
    tests = range(len(p_values))
    sets = [chosen for size in range(1, len(p_values) + 1) for chosen in combinations(tests, size)]
    closure = [max(min(1.0, len(s) * min(p_values[k] for k in s)) for s in sets if one in s) for one in tests]
    np.testing.assert_allclose(holm(p_values), closure, rtol=1e-12)


@pytest.mark.parametrize("p_values", [[0.1, 1.2], [0.1, math.nan], [[0.1]]])
def test_what_is_no_p_value_is_refused(p_values):
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm(p_values)


# --- seeds and tasks ---------------------------------------------------------------------------------------------

SCORES = np.array([[0.11, 0.52], [0.23, 0.74], [0.37, 0.98]])
OTHERS = np.array([[0.17, 0.60], [0.29, 0.41]])


def bracket(values, limit, share, slack=0.006):
    """The limit is where that share of the enumerated values ends, to within three standard deviations of a bootstrap
    of 9,999 samples."""
    low, high = np.quantile(values, [max(share - slack, 0), min(share + slack, 1)])
    assert low - 1e-12 <= limit <= high + 1e-12


def test_the_interquartile_mean_leaves_out_a_quarter_at_each_end():
    scores = np.array([[7.0, 1.0], [100.0, 3.0], [5.0, -50.0], [4.0, 6.0]])
    # Sorted: −50 1 | 3 4 5 6 | 7 100.
    assert interquartile_mean(scores).value == pytest.approx((3 + 4 + 5 + 6) / 4)


def test_intervals_over_seeds_by_enumeration():
    """Three seeds drawn anew within each of two tasks: 27 · 27 equally likely matrices. Of six scores the
    interquartile mean keeps the middle four (Agarwal et al. trim ⌊6/4⌋ at each end)."""
    draws = [
        np.sort([*one, *two]) for one in product(SCORES[:, 0], repeat=3) for two in product(SCORES[:, 1], repeat=3)
    ]
    values = [d[1:5].mean() for d in draws]
    found = interquartile_mean(SCORES)
    bracket(values, found.low, 0.025)
    bracket(values, found.high, 0.975)
    assert found.low < found.value < found.high


def test_seeds_are_drawn_within_tasks():
    """Tasks of very different difficulty, all seeds alike: nothing varies from seed to seed."""
    value, low, high = interquartile_mean(np.tile([0.1, 0.5, 0.9], (4, 1)))
    assert low == high == value == pytest.approx(0.5)


def test_probability_of_improvement_counts_pairs():
    """Task 1: 0.11 beats none of (0.17, 0.29), 0.23 one, 0.37 both: 3 of 6. Task 2: 0.52 beats 0.41, the others
    both: 5 of 6."""
    found = probability_of_improvement(SCORES, OTHERS)
    assert found.value == pytest.approx((3 / 6 + 5 / 6) / 2)
    draws = []
    for one, two in product(product(range(3), repeat=3), product(range(3), repeat=3)):
        for other, another in product(product(range(2), repeat=2), product(range(2), repeat=2)):
            first = np.mean(np.subtract.outer(SCORES[list(one), 0], OTHERS[list(other), 0]) > 0)
            second = np.mean(np.subtract.outer(SCORES[list(two), 1], OTHERS[list(another), 1]) > 0)
            draws.append((first + second) / 2)
    bracket(draws, found.low, 0.025)
    bracket(draws, found.high, 0.975)


def test_probability_of_improvement_is_the_mann_whitney_statistic():
    rng = np.random.default_rng(3)
    first, second = np.round(rng.normal(0.3, 1, (9, 4)), 1), np.round(rng.normal(0, 1, (7, 4)), 1)  # with ties
    expected = np.mean([mannwhitneyu(first[:, task], second[:, task]).statistic / 63 for task in range(4)])
    found, reverse = probability_of_improvement(first, second), probability_of_improvement(second, first)
    assert found.value == pytest.approx(expected)
    assert found.value + reverse.value == pytest.approx(1)
    assert found.low < found.value < found.high
    assert probability_of_improvement(first + 100, second) == (1, 1, 1)


def test_the_same_seed_gives_the_same_interval():
    rng = np.random.default_rng(4)
    scores, others = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    times, captured = rng.uniform(1, 9, 40), np.ones(40, bool)
    for statistic in (
        lambda seed: interquartile_mean(scores, seed=seed),
        lambda seed: probability_of_improvement(scores, others, seed=seed),
        lambda seed: restricted_mean(times, captured, 10.0, seed=seed),
    ):
        assert statistic(1) == statistic(1)
        assert statistic(1) != statistic(2)
        assert statistic(1).value == statistic(2).value


@pytest.mark.parametrize("scores", [np.ones((1, 3)), np.ones(4), np.ones((3, 0)), np.full((3, 2), np.nan)])
def test_scores_that_allow_no_interval_are_refused(scores):
    with pytest.raises(ValueError, match="at least two seeds by one task"):
        interquartile_mean(scores)
    with pytest.raises(ValueError, match="at least two seeds by one task"):
        probability_of_improvement(SCORES, scores)


def test_methods_scored_on_different_tasks_are_refused():
    with pytest.raises(ValueError, match="on 2 and 1 tasks"):
        probability_of_improvement(SCORES, SCORES[:, :1])
