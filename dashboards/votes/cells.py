"""What the tables of the Votes page write into a cell."""

from __future__ import annotations

from typing import NamedTuple

from imitation.values import Interval


class Measured(NamedTuple):
    """A value and its interval, as text; the interval is "" where there is none."""

    text: str
    interval: str = ""


def share_cell(share: Interval, unit: str = "item") -> Measured:
    """A share as a percentage, or that there are too few units to say."""
    if why := share.too_few(unit):
        return Measured(why)
    if share.value is None:
        return Measured("not defined")
    if share.low is None or share.high is None:
        return Measured(f"{share.value:.0%}")
    return Measured(f"{share.value:.0%}", f"[{share.low:.0%}, {share.high:.0%}]")


def count(n: int, word: str) -> str:
    """So many things, such as "1 item" or "2,000 items"."""
    return f"{n:,} {plural(n, word)}"


def plural(n: int, word: str) -> str:
    """The word for so many."""
    return word if n == 1 else f"{word}s"
