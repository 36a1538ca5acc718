"""The share of the gap between base and reference that an imitation closes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from imitation.evaluation.statistics.bootstrap import LEVEL, RESAMPLES, bootstrap_interval
from imitation.evaluation.statistics.items import (
    Floats,
    Ints,
    Strata,
    check_pairs,
    item_weights,
)
from imitation.values import Interval

LEAST_GAP = 20
"""Items from which a share of a gap, a ratio of two differences, is given."""


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
    b, i = check_pairs(base, imitation)
    _, r = check_pairs(base, reference)
    n = len(b)
    weight = item_weights(n, strata)
    low = b @ weight
    if n < LEAST_GAP or not r @ weight > low:
        return Interval(None, None, None, n, LEAST_GAP)
    value = float((i @ weight - low) / (r @ weight - low))

    def gaps(at: Ints) -> Floats:
        low = b[at] @ weight
        whole = r[at] @ weight - low
        gained, defined = i[at] @ weight - low, whole > 0
        return np.asarray(gained[defined] / whole[defined])

    interval = bootstrap_interval(value, n, gaps, strata, resamples, level, seed)
    return replace(interval, least=LEAST_GAP)
