"""Measured values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interval:
    """A measured value with its interval and the number of items behind it.

    Attributes:
        value: The estimate; None where it is undefined (no items, no variance).
        low: Lower end, None where undefined.
        high: Upper end, None where undefined.
        n: Items the value rests on.
        least: Items it takes to say anything; below it what people read says so instead.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    least: int = 0

    def too_few(self, unit: str = "item") -> str:
        """That n is below the least, in words in place of the value; "" where it is not."""
        if self.n >= self.least:
            return ""
        return f"too few to say: {self.n:,} {unit}{'s' * (self.n != 1)}, needs {self.least:,}"
