"""A measured value with its interval, in words; one way of writing it for every page."""

from __future__ import annotations

from imitation.values import Interval


def percent(value: Interval, places: int = 1, missing: str = "not defined") -> str:
    """A share as "30.3% [25.1, 36.1]", without brackets where it has no ends."""
    return _written(value, 100, places, "%", missing)


def number(value: Interval, places: int = 3, missing: str = "not defined") -> str:
    """A number as "0.424 [0.401, 0.446]"."""
    return _written(value, 1, places, "", missing)


def points(value: Interval, places: int = 1, missing: str = "not measured") -> str:
    """A difference of shares as "+22.0 points [+10.0, +34.0]"."""
    if value.value is None:
        return missing
    text = f"{100 * value.value:+.{places}f} points"
    if value.low is None or value.high is None:
        return text
    return f"{text} [{100 * value.low:+.{places}f}, {100 * value.high:+.{places}f}]"


def _written(value: Interval, factor: float, places: int, unit: str, missing: str) -> str:
    if value.value is None:
        return missing
    text = f"{factor * value.value:.{places}f}{unit}"
    if value.low is None or value.high is None:
        return text
    return f"{text} [{factor * value.low:.{places}f}, {factor * value.high:.{places}f}]"
