import math
from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import binomtest

from imitation.evaluation.statistics import bootstrap, gap_closed, intervals, items
from imitation.evaluation.statistics.gap_closed import bootstrap_gap
from imitation.evaluation.statistics.paired_test import paired_p_value
from imitation.values import Interval


def test_gap_closed_is_never_clipped():
    assert gap_closed.gap_closed(0.2, 0.5, 0.8) == pytest.approx(0.5)
    assert gap_closed.gap_closed(0.2, 0.1, 0.7) == pytest.approx(-0.2)
    assert gap_closed.gap_closed(0.2, 0.9, 0.7) == pytest.approx(1.4)


def test_gap_closed_is_undefined_without_a_gap():
    assert gap_closed.gap_closed(0.5, 0.6, 0.5) is None
    assert gap_closed.gap_closed(0.6, 0.6, 0.5) is None
    assert gap_closed.gap_closed(0.2, 0.5, math.nan) is None
    assert gap_closed.gap_closed(0.2, 0.5, 0.8, Interval(0.6, -0.1, 1.3, 9)) is None
    assert gap_closed.gap_closed(0.2, 0.5, 0.8, Interval(0.6, None, None, 1)) is None
    assert gap_closed.gap_closed(0.2, 0.5, 0.8, Interval(0.6, 0.1, 1.1, 9)) == pytest.approx(0.5)


def test_bootstrap_mean_agrees_with_the_normal_interval():
    x = np.random.default_rng(1).normal(5, 2, 2000)
    interval = bootstrap.bootstrap_mean(x)
    half = 1.96 * x.std() / math.sqrt(len(x))
    assert interval.value == pytest.approx(x.mean())
    assert interval.low == pytest.approx(x.mean() - half, abs=half / 10)
    assert interval.high == pytest.approx(x.mean() + half, abs=half / 10)
    assert interval.n == 2000


DRAWN = {
    "normal": (lambda rng, n: rng.normal(0, 1, n), 0.0),
    "skewed": (lambda rng, n: rng.exponential(1, n), 1.0),
    "shares": (lambda rng, n: rng.beta(0.5, 0.5, n), 0.5),
}


@pytest.mark.parametrize(
    ("kind", "n", "least"),
    [
        ("normal", bootstrap.LEAST_ENDS, 0.93), ("shares", bootstrap.LEAST_ENDS, 0.92),
        ("skewed", bootstrap.LEAST_ENDS, 0.86), ("skewed", 30, 0.90), ("shares", 20, 0.93),
    ],
)  # fmt: skip
def test_a_means_interval_covers_the_truth_from_its_least_n(kind, n, least):
    """Plain percentiles cover 84 to 90% of such; skewed data stay hard for every interval."""
    draw, truth = DRAWN[kind]
    rng, hits = np.random.default_rng(2), []
    for seed in range(400):
        found = bootstrap.bootstrap_mean(draw(rng, n), resamples=2000, seed=seed)
        assert found.low <= found.value <= found.high
        hits.append(found.low <= truth <= found.high)
    assert least <= np.mean(hits) <= 0.98, f"{np.mean(hits):.3f}"


@pytest.mark.slow
def test_a_mean_over_tasks_covers_the_truth():
    """Two tasks of 8 and 60 items, each counting half."""
    rng, hits = np.random.default_rng(3), []
    tasks = items.Strata([0] * 8 + [1] * 60, [0.5, 0.5])
    for seed in range(300):
        values = [*rng.normal(1, 1, 8), *rng.normal(3, 1, 60)]
        found = bootstrap.bootstrap_mean(values, strata=tasks, resamples=2000, seed=seed)
        hits.append(found.low <= 2 <= found.high)
    assert 0.90 <= np.mean(hits) <= 0.98, f"{np.mean(hits):.3f}"


@pytest.mark.parametrize("n", [5, 10, 40])
def test_the_difference_of_right_and_wrong_covers_the_truth_exactly(n):
    """All tables of n pairs by their chances; the point is always inside."""
    ends = {}
    for won in range(n + 1):
        for lost in range(n + 1 - won):
            same = n - won - lost
            first, second = [1.0] * won + [0.0] * lost, [0.0] * won + [1.0] * lost
            found = intervals.paired_difference(first + [1.0] * same, second + [1.0] * same)
            assert found.low <= found.value <= found.high
            ends[won, lost] = found.low, found.high
    covered = []
    for p, q in ((0, 0.1), (0.05, 0.05), (0.1, 0.3), (0.2, 0.2), (0.5, 0.2), (0.02, 0.4)):
        total = 0.0
        for (won, lost), (low, high) in ends.items():
            same = n - won - lost
            ways = math.factorial(n) / (
                math.factorial(won) * math.factorial(lost) * math.factorial(same)
            )
            total += ways * p**won * q**lost * (1 - p - q) ** same * (low <= p - q <= high)
        covered.append(total)
    assert np.mean(covered) >= 0.95 and min(covered) > 0.88


def test_no_difference_seen_is_not_no_difference():
    """A bootstrap would say 0 [0, 0]."""
    found = intervals.paired_difference([1.0] * 10, [1.0] * 10)
    assert found.value == 0 and found.low < -0.2 and found.high > 0.2
    alike = bootstrap.bootstrap_mean([0.3] * 10)
    assert (alike.value, alike.low) == (pytest.approx(0.3), None)


@pytest.mark.parametrize("n", [1, 2, 5, 10, 30])
def test_wilsons_interval_covers_a_share_exactly(n):
    ends = [intervals.wilson(k, n) for k in range(n + 1)]
    covered = [
        sum(
            math.comb(n, k) * p**k * (1 - p) ** (n - k)
            for k in range(n + 1)
            if ends[k].low <= p <= ends[k].high
        )
        for p in np.linspace(0.02, 0.98, 49)
    ]
    assert 0.93 <= np.mean(covered) <= 0.98 and min(covered) >= 0.8


@pytest.mark.parametrize("n", [intervals.LEAST_SHARE, 12, 40])
def test_a_mean_of_shares_covers_the_truth_from_its_least_n(n):
    """Agreement of three raters: none, one or all of the pairs of an item."""
    rng, hits = np.random.default_rng(5), []
    for often in ([0.1, 0.4, 0.5], [0.02, 0.08, 0.9], [0.3, 0.4, 0.3]):
        for _ in range(400):
            found = intervals.mean_share(rng.choice([0, 1 / 3, 1], n, p=often).tolist())
            assert found.low <= found.value <= found.high
            hits.append(found.low <= often[1] / 3 + often[2] <= found.high)
    assert 0.93 <= np.mean(hits) <= 0.985, f"{np.mean(hits):.3f}"


@pytest.mark.slow
@pytest.mark.parametrize("n", [bootstrap.LEAST_CORRELATION, 25])
@pytest.mark.parametrize("skewed", [False, True])
def test_a_correlation_covers_the_truth_from_its_least_n(n, skewed):
    """Fisher's interval covers 82 to 87% of such skewed pairs (words of answers), this one 95."""
    rng, hits, rho, sigma = np.random.default_rng(6), [], 0.7, 0.7
    truth = rho
    if skewed:  # of log-normal values
        truth = math.expm1(rho * sigma**2) / math.expm1(sigma**2)
    for seed in range(250):
        x = rng.normal(0, 1, n)
        y = rho * x + math.sqrt(1 - rho**2) * rng.normal(0, 1, n)
        if skewed:
            x, y = np.exp(sigma * x), np.exp(sigma * y)
        found = bootstrap.bootstrap_correlation(x, y, resamples=2000, seed=seed)
        assert found.low <= found.value <= found.high
        hits.append(found.low <= truth <= found.high)
    assert 0.92 <= np.mean(hits) <= 0.985, f"{np.mean(hits):.3f}"


def answered(rng, n, shares):
    """Right and wrong of three models on n questions, some hard for all."""
    hard = rng.normal(0, 1, n)
    return [
        ((hard + rng.normal(0, 1, n)) / math.sqrt(2) < NormalDist().inv_cdf(p)).astype(float)
        for p in shares
    ]


@pytest.mark.slow
@pytest.mark.parametrize("n", [gap_closed.LEAST_GAP, 60])
def test_the_gap_covers_the_truth_where_it_is_shown(n):
    rng, hits = np.random.default_rng(7), []
    for seed in range(250):
        base, imitation, reference = answered(rng, n, (0.2, 0.4, 0.8))
        if intervals.paired_difference(reference, base).low > 0:
            found = bootstrap_gap(base, imitation, reference, resamples=2000, seed=seed)
            assert found.low <= found.value <= found.high
            hits.append(found.low <= 1 / 3 <= found.high)
    assert len(hits) > 200 and 0.92 <= np.mean(hits) <= 0.985, f"{np.mean(hits):.3f}"


@pytest.mark.parametrize("n", [6, 8, 20])
def test_no_change_is_seldom_called_one(n):
    """At most 5% of true nulls at 5%, however few; a bootstrap called over 10% of eight."""
    rng, called = np.random.default_rng(8), []
    for seed in range(400):
        first = rng.normal(0, 1, n)
        p = paired_p_value(first, first + rng.normal(0, 1, n), resamples=1000, seed=seed)
        called.append(p < 0.05)
    assert np.mean(called) <= 0.075, f"{np.mean(called):.3f}"


def test_same_seed_same_interval():
    x = np.random.default_rng(0).random(40)
    assert bootstrap.bootstrap_mean(x, seed=3) == bootstrap.bootstrap_mean(x, seed=3)
    assert bootstrap.bootstrap_mean(x, seed=3) != bootstrap.bootstrap_mean(x, seed=4)


def test_too_few_items_have_no_interval():
    assert bootstrap.bootstrap_mean([]) == Interval(None, None, None, 0)
    assert bootstrap.bootstrap_mean([0.4]) == Interval(0.4, None, None, 1)
    assert bootstrap.bootstrap_mean([0.4, 0.2] * 3).low is None
    few = bootstrap.bootstrap_correlation([1, 2], [2, 1])
    assert few == Interval(-1.0, None, None, 2, bootstrap.LEAST_CORRELATION)
    assert few.too_few("prompt") == "too few to say: 2 prompts, needs 10"
    assert intervals.wilson(0, 0) == Interval(None, None, None, 0)
    assert intervals.share(1, 1).too_few("case") == "too few to say: 1 case, needs 5"
    assert intervals.share(3, 5).too_few() == ""
    gap = bootstrap_gap([0.0] * 19, [0.0] * 19, [1.0] * 19)
    assert (gap.value, gap.too_few()) == (None, "too few to say: 19 items, needs 20")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_missing_values_are_refused_not_counted_as_zero(bad):
    with pytest.raises(ValueError, match="item 1"):
        bootstrap.bootstrap_mean([0.0, bad])
    with pytest.raises(ValueError, match="item 1"):
        bootstrap.bootstrap_correlation([0.0, bad], [1.0, 2.0])


def test_pairs_must_match():
    with pytest.raises(ValueError, match="2 values against 1"):
        bootstrap.bootstrap_paired([1, 2], [1])


def test_pairing_narrows_the_interval():
    rng = np.random.default_rng(4)
    hard = rng.normal(0, 5, 300)
    a, b = hard + 1 + rng.normal(0, 0.1, 300), hard + rng.normal(0, 0.1, 300)
    interval = bootstrap.bootstrap_paired(a, b)
    assert interval.value == pytest.approx((a - b).mean())
    assert 0 < interval.high - interval.low < 0.1


def test_bootstrap_correlation_agrees_with_fishers_interval():
    rng = np.random.default_rng(5)
    x = rng.normal(0, 1, 1500)
    y = 0.6 * x + 0.8 * rng.normal(0, 1, 1500)
    interval = bootstrap.bootstrap_correlation(x, y)
    r = np.corrcoef(x, y)[0, 1]
    half = 1.96 / math.sqrt(1500 - 3)
    assert interval.value == pytest.approx(r)
    assert interval.low == pytest.approx(math.tanh(math.atanh(r) - half), abs=0.008)
    assert interval.high == pytest.approx(math.tanh(math.atanh(r) + half), abs=0.008)


def test_correlation_keeps_its_digits_far_from_zero():
    x = np.arange(50.0)
    assert bootstrap.bootstrap_correlation(x + 1e9, 3 * x - 1e9).value == pytest.approx(1)


def test_correlation_without_variance_is_undefined():
    found = bootstrap.bootstrap_correlation([3] * 10, range(10))
    assert (found.value, found.n, found.too_few()) == (None, 10, "")


def test_correlation_leaves_out_resamples_without_variance():
    interval = bootstrap.bootstrap_correlation([0] * 9 + [1], [0] * 9 + [1])
    assert interval.value == pytest.approx(1)
    assert interval.low == pytest.approx(1)


def test_wilson_matches_published_values():
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263, 0 of 20, 1 of 29.
    assert intervals.wilson(81, 263).low == pytest.approx(0.2553, abs=5e-5)
    assert intervals.wilson(81, 263).high == pytest.approx(0.3662, abs=5e-5)
    assert intervals.wilson(0, 20).low == 0
    assert intervals.wilson(0, 20).high == pytest.approx(0.1611, abs=5e-5)
    assert intervals.wilson(1, 29).low == pytest.approx(0.0061, abs=5e-5)
    assert intervals.wilson(20, 20).high == 1
    with pytest.raises(ValueError, match="3 successes of 2"):
        intervals.wilson(3, 2)


def test_statistics_are_silent(capsys):
    x, y = np.random.default_rng(6).random((2, 1000))
    bootstrap.bootstrap_mean(x)
    bootstrap.bootstrap_correlation(x, y)
    assert capsys.readouterr() == ("", "")


def test_the_gap_of_paired_samples_has_an_interval_around_it():
    base, imitation, reference = [0.0] * 100, [1.0] * 25 + [0.0] * 75, [1.0] * 50 + [0.0] * 50
    found = bootstrap_gap(base, imitation, reference)
    assert found.value == 0.5
    assert 0.3 < found.low < 0.5 < found.high < 0.7
    assert bootstrap_gap(base, imitation, reference) == found
    # What the imitation gains it gains where the reference is right: pairing narrows the interval.
    apart = bootstrap_gap(base, imitation[::-1], reference)
    assert apart.high - apart.low > found.high - found.low


def test_no_gap_without_a_better_reference():
    assert bootstrap_gap([1.0, 1.0], [0.0, 1.0], [1.0, 0.0]).value is None
    assert bootstrap_gap([], [], []).n == 0


def test_no_change_by_mcnemar_is_exact():
    # 8 won, 2 lost: 2 * P(at most 2 of 10 coin throws) = 2 * 56 / 1024.
    first, second = [0.0] * 8 + [1.0] * 2 + [1.0] * 50, [1.0] * 8 + [0.0] * 2 + [1.0] * 50
    assert paired_p_value(first, second) == pytest.approx(112 / 1024)
    assert paired_p_value(second, first) == paired_p_value(first, second)
    assert paired_p_value(first, first) == 1.0
    assert paired_p_value([1.0], [0.0]) is None


def test_no_change_of_other_values_by_changes_of_sign():
    rng = np.random.default_rng(0)
    first = rng.normal(0, 1, 200)
    assert paired_p_value(first.tolist(), (first + 0.5).tolist()) == 1 / 10_001
    assert paired_p_value(first.tolist(), rng.permutation(first).tolist()) > 0.05
    # All 2^4 signs: the data and its mirror image are the farthest.
    assert paired_p_value([0.1, 0.2, 0.3, 0.4], [0.2, 0.4, 0.6, 0.8]) == 2 / 16
    assert paired_p_value([0.5] * 3, [0.5] * 3) == 1.0


def test_one_task_counts_as_weighted():
    tasks = items.Strata([0] * 100 + [1] * 10, [0.5, 0.5])
    values = [0.0] * 100 + [1.0] * 5 + [0.0] * 5
    assert intervals.mean(values, strata=tasks).value == pytest.approx(0.25)
    # By items 5 won and none lost; by tasks the same signs, so the same exact test.
    worse = [0.0] * 110
    assert paired_p_value(worse, values, strata=tasks) == pytest.approx(
        paired_p_value(worse, values)
    )
    with pytest.raises(ValueError, match="task 1 has no item"):
        bootstrap.bootstrap_mean([0.1, 0.2], strata=items.Strata([0, 0], [0.5, 0.5]))


def test_shown_only_where_significant_a_share_is_drawn_towards_all():
    """Why `Gap.notes` warns: with a reference barely better, the shares shown are not the true."""
    rng = np.random.default_rng(9)
    shown = {0.0: [], 3.0: []}
    for true, found in shown.items():
        for _ in range(1500):
            base, imitation, reference = rng.normal([0.0, true, 1.0], 0.6)
            if reference - base > 1.96 * 0.6 * math.sqrt(2):
                found.append((imitation - base) / (reference - base))
    assert np.mean(shown[0.0]) > 0.15 and np.mean(shown[3.0]) < 2.4


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (0, 7), (3, 7), (49, 50), (500, 999)])
def test_wilson_is_scipys(successes, n):
    ours = intervals.wilson(successes, n)
    theirs = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
