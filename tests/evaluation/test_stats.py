import math
import time

import numpy as np
import pytest

from imitation.evaluation import stats
from imitation.evaluation.stats import bootstrap_gap, no_change
from imitation.values import Interval


def test_gap_closed_is_never_clipped():
    assert stats.gap_closed(0.2, 0.5, 0.8) == pytest.approx(0.5)
    assert stats.gap_closed(0.2, 0.1, 0.7) == pytest.approx(-0.2)
    assert stats.gap_closed(0.2, 0.9, 0.7) == pytest.approx(1.4)


def test_gap_closed_is_undefined_without_a_gap():
    assert stats.gap_closed(0.5, 0.6, 0.5) is None
    assert stats.gap_closed(0.6, 0.6, 0.5) is None
    assert stats.gap_closed(0.2, 0.5, math.nan) is None
    assert stats.gap_closed(0.2, 0.5, 0.8, Interval(0.6, -0.1, 1.3, 9)) is None
    assert stats.gap_closed(0.2, 0.5, 0.8, Interval(0.6, None, None, 1)) is None
    assert stats.gap_closed(0.2, 0.5, 0.8, Interval(0.6, 0.1, 1.1, 9)) == pytest.approx(0.5)


def test_bootstrap_mean_agrees_with_the_normal_interval():
    x = np.random.default_rng(1).normal(5, 2, 2000)
    interval = stats.bootstrap_mean(x)
    half = 1.96 * x.std() / math.sqrt(len(x))
    assert interval.value == pytest.approx(x.mean())
    assert interval.low == pytest.approx(x.mean() - half, abs=half / 10)
    assert interval.high == pytest.approx(x.mean() + half, abs=half / 10)
    assert interval.n == 2000


def test_bootstrap_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(2)
    hits = 0
    for seed in range(300):
        interval = stats.bootstrap_mean(rng.exponential(1, 60), resamples=1000, seed=seed)
        hits += interval.low <= 1 <= interval.high
    assert 0.89 <= hits / 300 <= 0.98


def test_same_seed_same_interval():
    x = np.random.default_rng(0).random(40)
    assert stats.bootstrap_mean(x, seed=3) == stats.bootstrap_mean(x, seed=3)
    assert stats.bootstrap_mean(x, seed=3) != stats.bootstrap_mean(x, seed=4)


def test_too_few_items_have_no_interval():
    assert stats.bootstrap_mean([]) == Interval(None, None, None, 0)
    assert stats.bootstrap_mean([0.4]) == Interval(0.4, None, None, 1)
    assert stats.bootstrap_correlation([1], [2]) == Interval(None, None, None, 1)
    assert stats.bootstrap_correlation([1, 2], [2, 1]) == Interval(-1.0, None, None, 2)
    assert stats.wilson(0, 0) == Interval(None, None, None, 0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_missing_values_are_refused_not_counted_as_zero(bad):
    with pytest.raises(ValueError, match="item 1"):
        stats.bootstrap_mean([0.0, bad])
    with pytest.raises(ValueError, match="item 1"):
        stats.bootstrap_correlation([0.0, bad], [1.0, 2.0])


def test_pairs_must_match():
    with pytest.raises(ValueError, match="2 values against 1"):
        stats.bootstrap_paired([1, 2], [1])


def test_pairing_narrows_the_interval():
    rng = np.random.default_rng(4)
    hard = rng.normal(0, 5, 300)
    a, b = hard + 1 + rng.normal(0, 0.1, 300), hard + rng.normal(0, 0.1, 300)
    interval = stats.bootstrap_paired(a, b)
    assert interval.value == pytest.approx((a - b).mean())
    assert 0 < interval.high - interval.low < 0.1


def test_bootstrap_correlation_agrees_with_fishers_interval():
    rng = np.random.default_rng(5)
    x = rng.normal(0, 1, 1500)
    y = 0.6 * x + 0.8 * rng.normal(0, 1, 1500)
    interval = stats.bootstrap_correlation(x, y)
    r = np.corrcoef(x, y)[0, 1]
    half = 1.96 / math.sqrt(1500 - 3)
    assert interval.value == pytest.approx(r)
    assert interval.low == pytest.approx(math.tanh(math.atanh(r) - half), abs=0.008)
    assert interval.high == pytest.approx(math.tanh(math.atanh(r) + half), abs=0.008)


def test_correlation_keeps_its_digits_far_from_zero():
    x = np.arange(50.0)
    assert stats.bootstrap_correlation(x + 1e9, 3 * x - 1e9).value == pytest.approx(1)


def test_correlation_without_variance_is_undefined():
    assert stats.bootstrap_correlation([3, 3, 3], [1, 2, 3]) == Interval(None, None, None, 3)


def test_correlation_leaves_out_resamples_without_variance():
    interval = stats.bootstrap_correlation([0, 0, 0, 1], [0, 0, 0, 1])
    assert interval.value == pytest.approx(1)
    assert interval.low == pytest.approx(1)


def test_wilson_matches_published_values():
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263, 0 of 20, 1 of 29.
    assert stats.wilson(81, 263).low == pytest.approx(0.2553, abs=5e-5)
    assert stats.wilson(81, 263).high == pytest.approx(0.3662, abs=5e-5)
    assert stats.wilson(0, 20).low == 0
    assert stats.wilson(0, 20).high == pytest.approx(0.1611, abs=5e-5)
    assert stats.wilson(1, 29).low == pytest.approx(0.0061, abs=5e-5)
    assert stats.wilson(20, 20).high == 1
    with pytest.raises(ValueError, match="3 successes of 2"):
        stats.wilson(3, 2)


def test_statistics_are_fast_and_silent(capsys):
    x, y = np.random.default_rng(6).random((2, 1000))
    started = time.perf_counter()
    stats.bootstrap_mean(x)
    stats.bootstrap_correlation(x, y)
    assert time.perf_counter() - started < 2
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
    assert no_change(first, second) == pytest.approx(112 / 1024)
    assert no_change(second, first) == no_change(first, second)
    assert no_change(first, first) == 1.0
    assert no_change([1.0], [0.0]) is None


def test_no_change_of_other_values_comes_from_the_bootstrap():
    rng = np.random.default_rng(0)
    first = rng.normal(0, 1, 200)
    assert no_change(first.tolist(), (first + 0.5).tolist()) == 2 / 10_001
    assert no_change(first.tolist(), rng.permutation(first).tolist()) > 0.05
