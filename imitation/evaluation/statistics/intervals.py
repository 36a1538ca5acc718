"""Intervals and the gap closed.

Every function is pure, seeded and silent. Bootstrap intervals are expanded percentile intervals
over items drawn with replacement: the percentiles are taken further out, so that for a mean the
interval is as long as Student's (Hesterberg, The American Statistician 69, 2015, section 4.3); the
plain ones (Efron and Tibshirani 1993) cover 84% instead of 95% for five items. The tests hold the
coverage of each by simulation down to its least n; below that there is no interval, or no value,
and `Interval.too_few` says so. Missing values are the caller's to drop: a NaN is refused, never
counted as zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from imitation.values import Interval

RESAMPLES = 10_000
LEVEL = 0.95
LEAST_SHARE = 5
"""Items from which a share of people's or judges' verdicts is given: with fewer, one more would
move it by over 15 points."""
LEAST_ENDS = 8
"""Items from which a mean gets an interval."""
LEAST_CORRELATION = 10
LEAST_GAP = 20
"""Items from which a share of a gap, a ratio of two differences, is given."""
_BLOCK = 1_000_000
"""Draws held in memory at once: 8 MB each of indices and values."""
_EXACT = 12
"""Items that differ up to which all changes of sign are tried."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Strata:
    """Items of several tasks, whose means are weighted.

    Attributes:
        of: (items,) number of each item's task.
        weights: (tasks,) what each task's mean counts; they add up to 1.
    """

    of: Sequence[int]
    weights: Sequence[float]

    def per_item(self) -> Floats:
        """(items,) what each item counts in the whole mean.

        Raises:
            ValueError: A task has no item.
        """
        sizes = np.bincount(self.of, minlength=len(self.weights))
        if not sizes.all():
            raise ValueError(f"task {int(np.flatnonzero(sizes == 0)[0])} has no item")
        return np.asarray((np.asarray(self.weights) / sizes)[np.asarray(self.of)])


def gap_closed(
    base: float, imitation: float, reference: float, difference: Interval | None = None
) -> float | None:
    """Share of the base-to-reference gap that imitation closes; 1.0 is all of it.

    (imitation - base) / (reference - base), never clipped: below 0 the imitation is worse than
    its base, over 1 better than the reference.

    Args:
        base: Score of the base.
        imitation: Score of the imitation, in the same unit.
        reference: Score of the reference, in the same unit.
        difference: Interval of reference - base, where known.

    Returns:
        None where undefined: the reference is no better than the base, or the interval of
        their difference reaches 0.
    """
    if not reference > base:
        return None
    if difference is not None and (difference.low is None or difference.low <= 0):
        return None
    return (imitation - base) / (reference - base)


def mean(
    values: Sequence[float], *, strata: Strata | None = None, resamples: int = RESAMPLES
) -> Interval:
    """Mean with its interval: Wilson's for right and wrong (0 and 1), else by bootstrap.

    Raises:
        ValueError: A value is NaN or infinite.
    """
    if strata is None and len(values) and set(values) <= {0.0, 1.0}:
        return wilson(int(sum(values)), len(values))
    return bootstrap_mean(values, strata=strata, resamples=resamples)


def bootstrap_mean(
    values: Sequence[float],
    *,
    strata: Strata | None = None,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Mean with its bootstrap interval; no value without items.

    No ends below LEAST_ENDS items, nor where all are alike: they cannot tell how much others vary.

    Args:
        values: One an item.
        strata: Tasks of the items and their weights; drawn within each.
        resamples: How often to draw.
        level: Of the interval.
        seed: Of the draws.

    Raises:
        ValueError: A value is NaN or infinite.
    """
    x = _finite(values)
    if len(x) == 0:
        return Interval(None, None, None, 0)
    weight = _weights(len(x), strata)
    value = float(x @ weight)
    if len(x) < LEAST_ENDS or np.ptp(x) == 0:
        return Interval(value, None, None, len(x))
    return _interval(value, len(x), lambda i: x[i] @ weight, strata, resamples, level, seed)


def paired_difference(
    first: Sequence[float], second: Sequence[float], *, strata: Strata | None = None
) -> Interval:
    """Mean of `first - second` over the same items, with its interval.

    For right and wrong the adjusted Wald interval of Bonett and Price (Journal of Educational and
    Behavioral Statistics 37, 2012), which says something also where no item tells the two apart;
    else, and over strata, `bootstrap_paired`.

    Raises:
        ValueError: The lengths differ, or a value is NaN or infinite.
    """
    a, b = _pairs(first, second)
    if strata is not None or not _binary(a, b) or len(a) == 0:
        return bootstrap_paired(first, second, strata=strata)
    n, gained, lost = len(a), int((a > b).sum()), int((a < b).sum())
    up, down = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    half = NormalDist().inv_cdf(0.5 + LEVEL / 2) * math.sqrt(
        (up + down - (up - down) ** 2) / (n + 2)
    )
    return Interval((gained - lost) / n, max(-1.0, up - down - half), min(1.0, up - down + half), n)


def bootstrap_paired(
    first: Sequence[float],
    second: Sequence[float],
    *,
    strata: Strata | None = None,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Mean of `first - second` over the same items, with its bootstrap interval.

    Items are drawn in pairs, so what makes an item hard for both cancels out.

    Raises:
        ValueError: The lengths differ, or a value is NaN or infinite.
    """
    a, b = _pairs(first, second)
    return bootstrap_mean(
        (a - b).tolist(), strata=strata, resamples=resamples, level=level, seed=seed
    )


def bootstrap_correlation(
    x: Sequence[float],
    y: Sequence[float],
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Pearson correlation with its bootstrap interval, pairs drawn together.

    Resamples without variance have no correlation and are left out. No value below two pairs or
    without variance, no ends below three; it says nothing to people below LEAST_CORRELATION.

    Raises:
        ValueError: The lengths differ, or a value is NaN or infinite.
    """
    a, b = _pairs(x, y)
    n = len(a)
    if n < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return Interval(None, None, None, n, LEAST_CORRELATION)
    # Standard scores first: the moments of a resample then lose nothing to cancellation.
    a = (a - a.mean()) / a.std()
    b = (b - b.mean()) / b.std()
    value = float(np.clip((a * b).mean(), -1, 1))
    if n < 3:
        return Interval(value, None, None, n, LEAST_CORRELATION)

    def correlations(i: Ints) -> Floats:
        da, db = a[i], b[i]
        da -= da.mean(axis=1, keepdims=True)
        db -= db.mean(axis=1, keepdims=True)
        top = np.einsum("ij,ij->i", da, db)
        bottom = np.sqrt(np.einsum("ij,ij->i", da, da) * np.einsum("ij,ij->i", db, db))
        defined = bottom > 1e-9 * n
        return np.asarray(np.clip(top[defined] / bottom[defined], -1, 1))

    found = _interval(value, n, correlations, None, resamples, level, seed)
    return replace(found, least=LEAST_CORRELATION)


def bootstrap_gap(
    base: Sequence[float],
    imitation: Sequence[float],
    reference: Sequence[float],
    *,
    strata: Strata | None = None,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """`gap_closed` of the three means with its interval, items drawn for all three together.

    Resamples in which the reference is no better than the base have no gap and are left out. No
    value below LEAST_GAP items. The caller sees to it that the gap is defined
    (`paired_difference` of reference and base).

    Raises:
        ValueError: The lengths differ, or a value is NaN or infinite.
    """
    b, i = _pairs(base, imitation)
    _, r = _pairs(base, reference)
    n = len(b)
    weight = _weights(n, strata)
    low = b @ weight
    if n < LEAST_GAP or not r @ weight > low:
        return Interval(None, None, None, n, LEAST_GAP)
    value = float((i @ weight - low) / (r @ weight - low))

    def gaps(at: Ints) -> Floats:
        low = b[at] @ weight
        whole = r[at] @ weight - low
        gained, defined = i[at] @ weight - low, whole > 0
        return np.asarray(gained[defined] / whole[defined])

    found = _interval(value, n, gaps, strata, resamples, level, seed)
    return replace(found, least=LEAST_GAP)


def paired_p_value(
    first: Sequence[float],
    second: Sequence[float],
    *,
    strata: Strata | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> float | None:
    """Two-sided p-value of "these paired values have the same mean".

    The share of all changes of sign of the differences whose mean is as far from 0 (Fisher, The
    Design of Experiments, 1935, section 21), which for right and wrong (0 and 1) is McNemar's test
    in its exact form (Psychometrika 12, 1947). Where there are too many, of signs drawn at random,
    the data counted as one of them so that it is never 0. None below two pairs.

    Raises:
        ValueError: The lengths differ, or a value is NaN or infinite.
    """
    a, b = _pairs(first, second)
    if len(a) < 2:
        return None
    if strata is None and _binary(a, b):
        gained, lost = int((a < b).sum()), int((a > b).sum())
        n = gained + lost
        tail = sum(math.comb(n, k) for k in range(min(gained, lost) + 1))
        return min(1.0, float(2 * tail / 2**n))
    d = (b - a) * _weights(len(a), strata)
    d = d[d != 0]
    seen = abs(d.sum()) * (1 - 1e-9)  # as far, but for rounding
    if len(d) <= _EXACT:
        signs = np.array(list(product((-1.0, 1.0), repeat=len(d))))
        return float((np.abs(signs @ d) >= seen).mean())
    rng, rows = np.random.default_rng(seed), max(1, _BLOCK // len(d))
    farther = 0
    for at in range(0, resamples, rows):
        signs = rng.choice((-1.0, 1.0), size=(min(rows, resamples - at), len(d)))
        farther += int((np.abs(signs @ d) >= seen).sum())
    return (farther + 1) / (resamples + 1)


def share(successes: int, n: int) -> Interval:
    """`wilson`, which says nothing to people below LEAST_SHARE items.

    Raises:
        ValueError: Not 0 <= successes <= n.
    """
    return replace(wilson(successes, n), least=LEAST_SHARE)


def wilson(successes: int, n: int, *, level: float = LEVEL) -> Interval:
    """A share of successes with Wilson's score interval (J. Am. Stat. Assoc. 22, 1927).

    Unlike a bootstrap it stays honest for few items and for shares of 0 or 1.

    Raises:
        ValueError: Not 0 <= successes <= n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}")
    if n == 0:
        return Interval(None, None, None, 0)
    p = successes / n
    low, high = _score_ends(p, n, level)
    return Interval(p, low, high, n)


def mean_share(shares: Sequence[float]) -> Interval:
    """Mean of shares of 0 to 1, one an item; it says nothing to people below LEAST_SHARE items.

    Wilson's interval for as many right-or-wrong items as would vary as much (Korn and Graubard,
    Survey Methodology 24, 1998): a bootstrap would be certain wherever all items happen to agree.

    Raises:
        ValueError: A value is NaN or infinite.
    """
    x, n = _finite(shares), len(shares)
    if n == 0:
        return Interval(None, None, None, 0, LEAST_SHARE)
    p = float(x.mean())
    # With one item more of the greatest variance: none seen is not none.
    most = p * (1 - p)
    spread = (float(((x - p) ** 2).sum()) + most) / n
    low, high = _score_ends(p, n * most / spread if spread else n, LEVEL)
    return Interval(p, low, high, n, LEAST_SHARE)


def _score_ends(p: float, n: float, level: float) -> tuple[float, float]:
    z = NormalDist().inv_cdf(0.5 + level / 2)
    shrink = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / shrink
    half = z / shrink * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # Exact at the ends, where rounding would leave p just outside.
    return (0.0 if p == 0 else centre - half), (1.0 if p == 1 else centre + half)


def _interval(
    value: float,
    n: int,
    statistic: Callable[[Ints], Floats],
    strata: Strata | None,
    resamples: int,
    level: float,
    seed: int,
) -> Interval:
    """The ends of the statistic over draws of items, given as (draws, items) numbers of items."""
    rng = np.random.default_rng(seed)
    size, start, order = np.array(n), np.array(0), None
    if strata is not None:
        sizes = np.bincount(strata.of)
        order = np.argsort(strata.of, kind="stable")
        size = sizes[np.asarray(strata.of)]
        start = (np.cumsum(sizes) - sizes)[np.asarray(strata.of)]
    rows = max(1, _BLOCK // n)
    parts = []
    for at in range(0, resamples, rows):
        shape = (min(rows, resamples - at), n)
        drawn = start + rng.integers(0, size, size=shape)
        parts.append(statistic(drawn if order is None else order[drawn]))
    found = np.concatenate(parts)
    if len(found) == 0:
        return Interval(value, None, None, n)
    tail = _tail(n, strata, level)
    low, high = np.quantile(found, [tail, 1 - tail])
    return Interval(value, min(float(low), value), max(float(high), value), n)


def _tail(n: int, strata: Strata | None, level: float) -> float:
    """The percentile that makes the interval of a mean as long as Student's.

    Over strata with Satterthwaite's degrees of freedom (Biometrics Bulletin 2, 1946), as if items
    varied alike in all of them.
    """
    from scipy.special import stdtrit

    sizes, weights = np.array([n]), np.ones(1)
    if strata is not None:
        sizes, weights = np.bincount(strata.of), np.asarray(strata.weights)
    variance, free = weights**2 / sizes, np.maximum(1, sizes - 1)
    student = float(stdtrit(variance.sum() ** 2 / (variance**2 / free).sum(), 0.5 + level / 2))
    longer = math.sqrt((variance * sizes / free).sum() / variance.sum())
    return NormalDist().cdf(-longer * student)


def _weights(n: int, strata: Strata | None) -> Floats:
    if strata is not None:
        return strata.per_item()
    return np.full(n, 1 / n) if n else np.zeros(0)


def _binary(a: Floats, b: Floats) -> bool:
    return set(np.unique(np.concatenate([a, b]))) <= {0.0, 1.0}


def _finite(values: Sequence[float]) -> Floats:
    array = np.asarray(values, dtype=float)
    if not np.isfinite(array).all():
        where = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ValueError(f"item {where} is {array[where]}: drop missing values first")
    return array


def _pairs(x: Sequence[float], y: Sequence[float]) -> tuple[Floats, Floats]:
    if len(x) != len(y):
        raise ValueError(f"{len(x)} values against {len(y)}: pairs are needed")
    return _finite(x), _finite(y)
