"""Whether two models differ on the same items, by an exact or a drawn test of signs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np

from imitation.evaluation.statistics.bootstrap import RESAMPLES
from imitation.evaluation.statistics.items import Strata, check_pairs, is_binary, item_weights

_BLOCK = 1_000_000
"""Signs held in memory at once, 8 MB."""
_EXACT = 12
"""Items that differ up to which all changes of sign are tried: 4,096 of them."""


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
    a, b = check_pairs(first, second)
    if len(a) < 2:
        return None
    if strata is None and is_binary(a, b):
        gained, lost = int((a < b).sum()), int((a > b).sum())
        n = gained + lost
        tail = sum(math.comb(n, k) for k in range(min(gained, lost) + 1))
        return min(1.0, float(2 * tail / 2**n))
    d = (b - a) * item_weights(len(a), strata)
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
