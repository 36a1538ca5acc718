"""Preferences counted by item: majorities, orders, agreement."""

import pytest

from imitation.evaluation.judging.preferences import (
    Decision,
    against,
    agreement_between,
    agreement_within,
    consistency,
    decide,
    majority,
    order_effect,
    win_rates,
)
from imitation.evaluation.statistics.intervals import share
from imitation.values import Pair, Preference


def pair(n=0, one="a", two="b"):
    return Pair(f"question {n}", (one, two), (f"{one} says {n}", f"{two} says {n}"))


def said(outcome, n=0, rater="r", swapped=False):
    shown = pair(n).swapped if swapped else pair(n)
    return Preference(shown, outcome, rater)


def test_a_pair_is_the_same_item_in_either_order():
    assert pair().key == pair().swapped.key
    assert pair().key != pair(1).key
    assert pair().key != Pair("question 0", ("b", "a"), pair().answers).key


@pytest.mark.parametrize(
    ("outcomes", "decided"),
    [
        (["first"], "first"),
        (["first", "first", "second"], "first"),
        (["first", "second", "tie"], "tie"),
        (["first", "tie"], "tie"),
        (["first", "second"], "tie"),
        (["tie", "tie", "second"], "tie"),
    ],
)
def test_more_than_half_decide(outcomes, decided):
    assert majority(outcomes) == decided


def test_a_judge_that_follows_the_order_prefers_nobody():
    (decision,) = decide([said("first"), said("first", swapped=True)])
    assert (decision.outcome, decision.verdicts) == ("tie", 2)
    (decision,) = decide([said("first"), said("second", swapped=True)])
    assert decision.outcome == "first" and decision.pair.models == ("a", "b")


def test_an_answer_is_not_compared_with_its_own_model():
    assert decide([Preference(pair(0, "a", "a"), "first", "r")]) == []


def test_win_rates_of_both_sides():
    outcomes = ["first"] * 5 + ["tie"] * 2 + ["second"] * 3
    decisions = decide(said(outcome, n) for n, outcome in enumerate(outcomes))
    (rate,) = win_rates(decisions)
    assert (rate.model, rate.wins, rate.ties, rate.losses, rate.n) == ("a", 5, 2, 3, 10)
    assert rate.better == share(5, 10)
    assert rate.equal_or_better == share(7, 10)
    (other,) = against(decisions, "a")
    assert (other.model, other.other) == ("b", "a")
    assert other.equal_or_better == share(5, 10)


def test_the_order_effect_leaves_ties_out():
    outcomes = ["first"] * 4 + ["second"] * 2 + ["tie"] * 3
    effect = order_effect([said(outcome, n) for n, outcome in enumerate(outcomes)])
    assert (effect.value, effect.n) == (pytest.approx(2 / 3), 6)


def test_consistency_needs_both_orders():
    preferences = [
        said("first", 0), said("second", 0, swapped=True),  # the same answer twice
        said("first", 1), said("first", 1, swapped=True),  # the place twice
        *(said("tie", n) for n in (2, 3, 4)), *(said("tie", n, swapped=True) for n in (2, 3, 4)),
        said("first", 5),
    ]  # fmt: skip
    found = consistency(preferences)
    assert (found.value, found.n) == (pytest.approx(4 / 5), 5)


def test_agreement_of_raters_is_over_items():
    preferences = [
        *(said("first", n, rater) for n in (0, 3, 4, 5) for rater in "xyz"),  # all three agree
        said("first", 1, "x"), said("first", 1, "y"), said("tie", 1, "z"),  # one pair of three
        said("second", 2, "x"),  # nobody to agree with
    ]  # fmt: skip
    found = agreement_within(preferences)
    assert found.share.value == pytest.approx((4 + 1 / 3) / 5) and found.share.n == 5
    assert found.chance == pytest.approx((14 / 15) ** 2 + (1 / 15) ** 2)


def test_agreement_of_two_parties_is_over_what_both_judged():
    said_by_people = ["first", "second", "tie", "first", "first", "tie"]
    people = [Decision(pair(n), o, 3) for n, o in enumerate(said_by_people)]
    said_by_it = ["first", "first", "tie", "first", "second"]
    machine = [Decision(pair(n), o, 2) for n, o in enumerate(said_by_it)]
    found = agreement_between(people, machine)
    assert found.share == share(3, 5)
    assert found.chance == pytest.approx((3 * 3 + 1 * 1 + 1 * 1) / 25)
    nothing = agreement_between(people, [])
    assert (nothing.share.n, nothing.share.value, nothing.chance) == (0, None, None)


def test_raters_who_agree_on_the_few_items_there_are_are_no_certainty():
    """A bootstrap would say 100% [100%, 100%]."""
    agreed = [said("first", n, rater) for n in range(5) for rater in "xyz"]
    found = agreement_within(agreed).share
    assert found.value == 1.0 and found.low == share(5, 5).low < 0.6 and found.high == 1.0
    few = agreement_within(agreed[:12]).share
    assert few.too_few() == "too few to say: 4 items, needs 5"


def test_nothing_comes_to_nothing():
    assert decide([]) == [] and win_rates([]) == []
    assert order_effect([]).value is None and consistency([]).value is None
    assert agreement_within([]).share.n == 0
