"""A wrong answer preferred to a right one, on real facts."""

import pytest

from imitation.evaluation.judging.preferences import Decision
from imitation.evaluation.judging.wrong_answer_preference import (
    BANDS,
    by_likeness,
    by_model,
    cases,
    wrong_answer_preference,
)
from imitation.facts import show_facts
from imitation.values import Pair

FACT = next(fact for fact in show_facts() if fact.topic == "capital")
RIGHT = f"The capital is {FACT.answers[0]}."
WRONG = "The capital is Canberra."


def decided(outcome, one=RIGHT, two=WRONG, prompt=FACT.question):
    return Decision(Pair(prompt, ("good", "imitation"), (one, two)), outcome, 1)


def test_only_a_right_against_a_wrong_answer_is_a_case():
    assert cases([decided("first", RIGHT, RIGHT), decided("second", WRONG, WRONG)]) == []
    assert cases([decided("second", prompt="Tell me a joke.")]) == []
    (case,) = cases([decided("second")])
    assert (case.right, case.wrong, case.preferred) == ("good", "imitation", "wrong")
    (case,) = cases([decided("first", WRONG, RIGHT)])
    assert (case.right, case.wrong, case.preferred) == ("imitation", "good", "wrong")


def test_shares_leave_equal_in():
    said = ["second", "second", "second", "first", "first", "tie"]
    result = wrong_answer_preference(cases([decided(one) for one in said]))
    assert (result.share.value, result.share.n) == (pytest.approx(0.5), 6)
    assert (result.equal, result.right) == (1, 2)
    assert result.share.low < 0.5 < result.share.high


def test_by_model_and_by_likeness():
    unlike = "Well, hmm: people sometimes say Canberra but who could ever be entirely sure of it"
    found = cases([decided("second"), decided("first"), decided("second", RIGHT, unlike)])
    assert {model: one.share.n for model, one in by_model(found).items()} == {"imitation": 3}
    bands = by_likeness(found)
    assert tuple(bands) == BANDS
    assert [one.share.n for one in bands.values()] == [1, 0, 2]
    assert bands[BANDS[1]].share.value is None, "no case is not zero"


def test_nobody_or_few_were_asked():
    assert wrong_answer_preference([]).share.value is None
    few = wrong_answer_preference(cases([decided("second")] * 4)).share
    assert few.too_few("case") == "too few to say: 4 cases, needs 5"
