"""Intervals of means and shares.

Every function of this folder is pure, seeded and silent. Missing values are the caller's to drop: a
NaN is refused, never counted as zero. Where there are too few items there is no interval, or no
value, and `Interval.too_few` says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist

from imitation.evaluation.statistics.bootstrap import (
    LEVEL,
    RESAMPLES,
    bootstrap_mean,
    bootstrap_paired,
)
from imitation.evaluation.statistics.items import Strata, check_finite, check_pairs, is_binary
from imitation.values import Interval

LEAST_SHARE = 5
"""Items from which a share of people's or judges' verdicts is given: with fewer, one more would
move it by over 15 points."""


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
    a, b = check_pairs(first, second)
    if strata is not None or not is_binary(a, b) or len(a) == 0:
        return bootstrap_paired(first, second, strata=strata)
    n, gained, lost = len(a), int((a > b).sum()), int((a < b).sum())
    up, down = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    half = NormalDist().inv_cdf(0.5 + LEVEL / 2) * math.sqrt(
        (up + down - (up - down) ** 2) / (n + 2)
    )
    return Interval((gained - lost) / n, max(-1.0, up - down - half), min(1.0, up - down + half), n)


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
    x, n = check_finite(shares), len(shares)
    if n == 0:
        return Interval(None, None, None, 0, LEAST_SHARE)
    p = float(x.mean())
    # With one item more of the greatest variance: none seen is not none.
    most = p * (1 - p)
    spread = (float(((x - p) ** 2).sum()) + most) / n
    low, high = _score_ends(p, n * most / spread if spread else n, LEVEL)
    return Interval(p, low, high, n, LEAST_SHARE)


def _score_ends(p: float, n: float, level: float) -> tuple[float, float]:
    # By hand, though `scipy.stats.binomtest` has it: importing scipy.stats takes over a second,
    # which the page would take longer to start, and it counts whole successes, where the effective
    # n of `mean_share` is no whole number. A test holds the two equal.
    z = NormalDist().inv_cdf(0.5 + level / 2)
    shrink = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / shrink
    half = z / shrink * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # Exact at the ends, where rounding would leave p just outside.
    return (0.0 if p == 0 else centre - half), (1.0 if p == 1 else centre + half)
