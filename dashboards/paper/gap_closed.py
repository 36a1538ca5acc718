"""The share of the gap closed, of published records, with what reading errors make of it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from imitation.evaluation.statistics.gap_closed import gap_closed
from imitation.published import Record


@dataclass(frozen=True, slots=True)
class Gap:
    """A share of the base-to-reference gap; 1.0 is all of it, never clipped.

    Attributes:
        value: From the values as read.
        low: Lowest the reading errors allow; None where no error is known.
        high: Highest the reading errors allow; None where no error is known.
    """

    value: float
    low: float | None
    high: float | None

    @property
    def text(self) -> str:
        """Whole percent."""
        return f"{self.value:.0%}"


def gap_of(imitation: Record, base: Record | None, reference: Record | None) -> Gap | None:
    """Gap closed by one imitation record.

    Returns:
        None where it is undefined: the base or the reference is not reported, or the reference
        is no better than the base, be it only within the reading errors.

    Raises:
        ValueError: The three are not of one benchmark and metric, so they don't belong on one line.
    """
    if base is None or reference is None:
        return None
    trio = (base, imitation, reference)
    if len({(r.benchmark, r.metric) for r in trio}) > 1:
        raise ValueError(f"gap closed across different metrics: {[r.metric for r in trio]}")
    value = gap_closed(base.value, imitation.value, reference.value)
    if value is None:
        return None
    if all(r.digitised_error is None for r in trio):
        return Gap(value, None, None)
    # The share is monotone in each of the three, so its extremes are at the corners.
    ends = [(r.value - (r.digitised_error or 0), r.value + (r.digitised_error or 0)) for r in trio]
    corners = [gap_closed(low, mid, high) for low, mid, high in product(*ends)]
    known = [corner for corner in corners if corner is not None]
    if len(known) < len(corners):
        return None
    return Gap(value, min(known), max(known))
