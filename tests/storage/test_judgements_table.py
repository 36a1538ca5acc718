"""Runs of judges: they go on where they stopped, and nothing said is lost."""

from pathlib import Path

import pytest

from imitation.errors import UserError
from imitation.storage import judgements
from imitation.storage.database import Store, connect
from imitation.values import Pair, Preference, Verdict

ONE = Pair("q1", ("a", "b"), ("a1", "b1"))
TWO = Pair("q2", ("b", "a"), ("b2", "a2"))
FIRST = Verdict("first", (9.0, 8.0))


@pytest.fixture
def db(tmp_path: Path) -> Store:
    return connect(tmp_path / "lab.sqlite3")


def add(db, pairs=(ONE, TWO), **options):
    values = {"name": "run", "judge": "j", "rubric": "r", "source": "s", **options}
    return judgements.add(db, pairs, **values)


def test_both_orders_wait_and_are_shown_as_asked(db):
    run = add(db)
    tasks = judgements.left(db, run)
    assert [task.pair for task in tasks] == [ONE, ONE.swapped, TWO, TWO.swapped]
    assert len(judgements.left(db, add(db, both_orders=False))) == 2


def test_what_was_said_stays_and_the_rest_is_asked_again(db):
    run = add(db)
    judged, nonsense, failed, _ = judgements.left(db, run)
    judgements.record(db, run, judged.row, FIRST, "9 8\nBecause.", 100, 5)
    judgements.record(db, run, nonsense.row, Verdict(None, problem="refusal"), "Sorry.", 50, 2)
    judgements.record_failure(db, run, failed.row, "It is down.")
    counts = judgements.counts(db, run)
    assert counts.states == {"judged": 1, "unparsed": 1, "failed": 1, "waiting": 1}
    assert (counts.pairs, counts.total, counts.left) == (2, 4, 2)
    assert counts.problems == {"refusal": 1} and counts.faults == {"It is down.": 1}
    assert (counts.prompt_tokens, counts.completion_tokens) == (150, 7)
    assert judgements.left(db, run)[0].row == failed.row
    assert judgements.preferences(db, run) == [Preference(ONE, "first", "j")]
    texts = {row["text"] for row in db.execute("SELECT text FROM judgements")}
    assert {"9 8\nBecause.", "Sorry."} <= texts


def test_a_verdict_on_the_other_order_keeps_its_order(db):
    run = add(db, [ONE])
    judgements.record(db, run, judgements.left(db, run)[1].row, FIRST, "")
    assert judgements.preferences(db, run) == [Preference(ONE.swapped, "first", "j")]


def test_the_same_answers_are_judged_again_by_another(db):
    run = add(db)
    again = add(db, judgements.pairs_of(db, run), judge="k", rubric="other")
    assert judgements.pairs_of(db, again) == [ONE, TWO]
    assert db.execute("SELECT count(*) FROM pairs").fetchone()[0] == 2, "kept once"


def test_reviews_made_elsewhere(db):
    add(db, [ONE])
    run = judgements.add_reviews(
        db,
        [(ONE.swapped, FIRST, "9 8"), (TWO, Verdict(None, problem="empty answer"), "")],
        name="", judge="GPT-4", source="file",
    )  # fmt: skip
    kept = judgements.get(db, run)
    assert (kept.imported, kept.name, kept.judge) == (True, "GPT-4", "GPT-4")
    assert judgements.preferences(db, run) == [Preference(ONE.swapped, "first", "GPT-4")]
    assert judgements.counts(db, run).states == {"judged": 1, "unparsed": 1}


def test_who_sees_and_deletes(db):
    mine, everyones = add(db, visitor="me"), add(db)
    assert {run.id for run in judgements.runs(db, "me")} == {mine, everyones}
    assert {run.id for run in judgements.runs(db, "you")} == {everyones}
    assert len(judgements.runs(db, None)) == 2
    assert not judgements.delete(db, mine, "you") and not judgements.delete(db, everyones, "me")
    assert judgements.delete(db, mine, "me")
    assert db.execute("SELECT count(*) FROM pairs").fetchone()[0] == 2, "the other run's"
    assert judgements.delete(db, everyones, None)
    assert db.execute("SELECT count(*) FROM pairs").fetchone()[0] == 0
    with pytest.raises(UserError, match="no run"):
        judgements.get(db, mine)


def test_no_pairs_no_run(db):
    with pytest.raises(UserError, match="no pair"):
        add(db, [])
    assert judgements.runs(db, None) == []
