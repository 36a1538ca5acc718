"""A measured value with its interval, in words; one way of writing it for every page."""

from __future__ import annotations

from imitation.values import Interval


def percent(value: Interval, places: int = 1, missing: str = "not defined") -> str:
    """A share as "30.3% [25.1, 36.1]", or that there are too few to say."""
    return _written(value, 100, f".{places}f", "%", missing)


def number(value: Interval, places: int = 3, missing: str = "not defined") -> str:
    """A number as "0.424 [0.401, 0.446]"."""
    return _written(value, 1, f".{places}f", "", missing)


def points(value: Interval, places: int = 1, missing: str = "not measured") -> str:
    """A difference of shares as "+22.0 points [+10.0, +34.0]"."""
    return _written(value, 100, f"+.{places}f", " points", missing)


def _written(value: Interval, factor: float, form: str, unit: str, missing: str) -> str:
    if value.n and (why := value.too_few()):
        return why
    if value.value is None:
        return missing
    text = f"{factor * value.value:{form}}{unit}"
    if value.low is None or value.high is None:
        return text
    return f"{text} [{factor * value.low:{form}}, {factor * value.high:{form}}]"
