"""What the statistics are computed over: items, pairs of them, and tasks that weigh them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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


def item_weights(n: int, strata: Strata | None) -> Floats:
    """(items,) what each of n items counts in the mean."""
    if strata is not None:
        return strata.per_item()
    return np.full(n, 1 / n) if n else np.zeros(0)


def is_binary(a: Floats, b: Floats) -> bool:
    """Whether all values are right or wrong, 1 or 0."""
    return set(np.unique(np.concatenate([a, b]))) <= {0.0, 1.0}


def check_finite(values: Sequence[float]) -> Floats:
    """The values as an array.

    Raises:
        ValueError: One is NaN or infinite: what is missing is the caller's to drop, never zero.
    """
    array = np.asarray(values, dtype=float)
    if not np.isfinite(array).all():
        where = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ValueError(f"item {where} is {array[where]}: drop missing values first")
    return array


def check_pairs(x: Sequence[float], y: Sequence[float]) -> tuple[Floats, Floats]:
    """Paired values as arrays.

    Raises:
        ValueError: The lengths differ, or a value is NaN or infinite.
    """
    if len(x) != len(y):
        raise ValueError(f"{len(x)} values against {len(y)}: pairs are needed")
    return check_finite(x), check_finite(y)
