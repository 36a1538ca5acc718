"""The quality of a study's raters: how fast, how steady, and whether they favour a place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from imitation.evaluation.judging.preferences import order_effect, oriented
from imitation.evaluation.statistics.intervals import share
from imitation.storage.study_ratings import Rated
from imitation.values import Interval, Outcome

HASTY_S = 5.0
"""A median below this is faster than two answers are read."""


@dataclass(frozen=True, slots=True)
class Rater:
    """One rater's work, for a look at its quality.

    Attributes:
        number: In the order they began.
        ratings: Items rated, repeats left out.
        seconds: Median time of a rating.
        order: Share of their preferences that went to the answer shown first.
        same: Share of the repeated items on which they said the same again.
        doubts: What should make one look closer, in words.
    """

    number: int
    ratings: int
    seconds: float
    order: Interval
    same: Interval
    doubts: tuple[str, ...]


def raters(ratings: Sequence[Rated]) -> tuple[Rater, ...]:
    """Who gave these ratings, in the order they began."""
    names = list(dict.fromkeys(rating.preference.rater for rating in ratings))
    return tuple(
        _rater(number, [rating for rating in ratings if rating.preference.rater == name])
        for number, name in enumerate(names, 1)
    )


def _rater(number: int, ratings: Sequence[Rated]) -> Rater:
    first = [rating for rating in ratings if not rating.again]
    outcomes: dict[str, Outcome] = {
        rating.preference.pair.key: oriented(rating.preference)[1] for rating in first
    }
    agreements = [
        outcomes[rating.preference.pair.key] == oriented(rating.preference)[1]
        for rating in ratings
        if rating.again and rating.preference.pair.key in outcomes
    ]
    seconds = median(rating.seconds for rating in ratings)
    order = order_effect(rating.preference for rating in first)
    same = share(sum(agreements), len(agreements))
    doubts = []
    if seconds < HASTY_S:
        doubts.append(f"half of the ratings in under {HASTY_S:g} s")
    if not order.too_few() and not (order.low or 0.0) <= 0.5 <= (order.high or 1.0):
        doubts.append("prefers a place, not an answer")
    if not same.too_few() and (same.value or 0.0) < 0.5:
        doubts.append("says otherwise when asked again")
    return Rater(number, len(first), seconds, order, same, tuple(doubts))
