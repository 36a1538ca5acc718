"""Votes of Compare as preferences, and those not taken."""

from pathlib import Path

import pytest

from imitation.errors import UserError
from imitation.storage import comparisons, votes
from imitation.storage.comparisons import Comparison
from imitation.storage.database import Store, connect
from imitation.values import Answer, ModelSpec, Sampling, Turn


@pytest.fixture
def db(tmp_path: Path) -> Store:
    return connect(tmp_path / "lab.sqlite3")


def voted(db, choice, names="xyz", blind=True, states=("done",) * 4, turns=1):
    cards = tuple(ModelSpec(n, n, "base", "embedded") for n in names)
    answers = tuple(
        Answer(text=f"{c.id} says", state=state) for c, state in zip(cards, states, strict=False)
    )
    comparison = Comparison(
        comparisons.new_id(), "me", cards, blind, "", Sampling(),
        tuple(Turn(f"q{n}", answers) for n in range(turns)),
    )  # fmt: skip
    votes.add(db, comparison, "preference", choice)
    return comparison


def said(db, **options):
    return [(p.pair.models, p.outcome) for p in votes.preferences(db, **options)]


def test_the_best_of_three_beats_the_two_others_only(db):
    voted(db, "y")
    assert said(db) == [(("x", "y"), "second"), (("y", "z"), "first")]


@pytest.mark.parametrize("choice", [votes.TIE, votes.ALL_BAD])
def test_equal_is_equal_for_all(db, choice):
    voted(db, choice)
    assert said(db) == [(("x", "y"), "tie"), (("x", "z"), "tie"), (("y", "z"), "tie")]


def test_votes_with_names_shown_stay_apart(db):
    voted(db, "x", "xy", blind=False)
    assert said(db) == [] and said(db, blind=False) == [(("x", "y"), "first")]


def test_a_failed_column_was_not_judged(db):
    voted(db, "x", states=("done", "failed", "stopped"))
    assert said(db) == [(("x", "z"), "first")]


def test_the_prompt_is_the_whole_conversation(db):
    voted(db, "x", "xy", turns=2)
    (preference,) = votes.preferences(db)
    assert preference.pair.prompt == "q0\n\nq1" and preference.rater == "me"


def test_refused_votes_are_counted(db):
    comparison = voted(db, "x", "xy")
    with pytest.raises(UserError):
        votes.add(db, comparison, "preference", "x")
    with pytest.raises(UserError):
        votes.add(db, comparison, "preference", "z")
    assert votes.refused(db) == {"not shown": 1, "twice": 1}
    assert votes.refused(db, "some study") == {}
    assert len(votes.preferences(db)) == 1
