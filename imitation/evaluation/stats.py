"""Intervals and the gap closed.

Every function is pure, seeded and silent. Bootstrap intervals are percentile intervals (Efron
and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13) over items drawn with
replacement. Missing values are the caller's to drop: a NaN is refused, never counted as zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from imitation.values import Interval

RESAMPLES = 10_000
LEVEL = 0.95
_BLOCK = 1_000_000
"""Draws held in memory at once: 8 MB each of indices and values."""

Floats = NDArray[np.float64]


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


def bootstrap_mean(
    values: Sequence[float], *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> Interval:
    """Mean with its bootstrap interval; no ends below two items, no value without any.

    Raises:
        ValueError: A value is NaN or infinite.
    """
    x = _finite(values)
    if len(x) == 0:
        return Interval(None, None, None, 0)
    return _interval(float(x.mean()), len(x), lambda i: x[i].mean(axis=1), resamples, level, seed)


def bootstrap_paired(
    first: Sequence[float],
    second: Sequence[float],
    *,
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
    return bootstrap_mean((a - b).tolist(), resamples=resamples, level=level, seed=seed)


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
    without variance; no ends below three pairs, where every resample gives +1 or -1.

    Raises:
        ValueError: The lengths differ, or a value is NaN or infinite.
    """
    a, b = _pairs(x, y)
    n = len(a)
    if n < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return Interval(None, None, None, n)
    # Standard scores first: the moments of a resample then lose nothing to cancellation.
    a = (a - a.mean()) / a.std()
    b = (b - b.mean()) / b.std()
    value = float(np.clip((a * b).mean(), -1, 1))
    if n < 3:
        return Interval(value, None, None, n)

    def correlations(i: NDArray[np.int64]) -> Floats:
        da, db = a[i], b[i]
        da -= da.mean(axis=1, keepdims=True)
        db -= db.mean(axis=1, keepdims=True)
        top = np.einsum("ij,ij->i", da, db)
        bottom = np.sqrt(np.einsum("ij,ij->i", da, da) * np.einsum("ij,ij->i", db, db))
        defined = bottom > 1e-9 * n
        return np.asarray(np.clip(top[defined] / bottom[defined], -1, 1))

    return _interval(value, n, correlations, resamples, level, seed)


def bootstrap_gap(
    base: Sequence[float],
    imitation: Sequence[float],
    reference: Sequence[float],
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """`gap_closed` of the three means with its interval, items drawn for all three together.

    Resamples in which the reference is no better than the base have no gap and are left out.
    The caller sees to it that the gap is defined (`bootstrap_paired` of reference and base).

    Raises:
        ValueError: The lengths differ, or a value is NaN or infinite.
    """
    b, i = _pairs(base, imitation)
    _, r = _pairs(base, reference)
    if len(b) == 0 or not r.mean() > b.mean():
        return Interval(None, None, None, len(b))
    value = float((i.mean() - b.mean()) / (r.mean() - b.mean()))

    def gaps(at: NDArray[np.int64]) -> Floats:
        low = b[at].mean(axis=1)
        whole = r[at].mean(axis=1) - low
        gained, defined = i[at].mean(axis=1) - low, whole > 0
        return np.asarray(gained[defined] / whole[defined])

    return _interval(value, len(b), gaps, resamples, level, seed)


def no_change(
    first: Sequence[float], second: Sequence[float], *, resamples: int = RESAMPLES, seed: int = 0
) -> float | None:
    """Two-sided p-value of "these paired values have the same mean".

    For right and wrong (values 0 and 1) McNemar's test in its exact form (Psychometrika 12, 1947):
    the discordant pairs as fair coin throws. Otherwise twice the smaller share of bootstrap means
    of the differences on one side of 0, the data counted as one of them so that it is never 0
    (Davison and Hinkley 1997, section 4.2). None below two pairs.

    Raises:
        ValueError: The lengths differ, or a value is NaN or infinite.
    """
    a, b = _pairs(first, second)
    if len(a) < 2:
        return None
    if set(np.unique(np.concatenate([a, b]))) <= {0.0, 1.0}:
        gained, lost = int(((a == 0) & (b == 1)).sum()), int(((a == 1) & (b == 0)).sum())
        n = gained + lost
        tail = sum(math.comb(n, k) for k in range(min(gained, lost) + 1))
        return min(1.0, float(2 * tail / 2**n))
    rng, d = np.random.default_rng(seed), b - a
    rows = max(1, _BLOCK // len(d))
    parts = [
        d[rng.integers(0, len(d), size=(min(rows, resamples - at), len(d)))].mean(axis=1)
        for at in range(0, resamples, rows)
    ]
    drawn = np.concatenate(parts)
    fewer = int(min((drawn <= 0).sum(), (drawn >= 0).sum()))
    return min(1.0, 2 * (fewer + 1) / (len(drawn) + 1))


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
    z = NormalDist().inv_cdf(0.5 + level / 2)
    p = successes / n
    shrink = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / shrink
    half = z / shrink * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # Exact at the ends, where rounding would leave p just outside.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Interval(p, low, high, n)


def _interval(
    value: float,
    n: int,
    statistic: Callable[[NDArray[np.int64]], Floats],
    resamples: int,
    level: float,
    seed: int,
) -> Interval:
    if n < 2:
        return Interval(value, None, None, n)
    rng = np.random.default_rng(seed)
    rows = max(1, _BLOCK // n)
    parts = [
        statistic(rng.integers(0, n, size=(min(rows, resamples - start), n)))
        for start in range(0, resamples, rows)
    ]
    drawn = np.concatenate(parts)
    if len(drawn) == 0:
        return Interval(value, None, None, n)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), n)


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
