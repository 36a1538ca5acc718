import json
from dataclasses import replace
from pathlib import Path

import pytest

from imitation.errors import UserError
from imitation.storage import comparisons, votes
from imitation.storage.comparisons import Comparison
from imitation.storage.database import Store, connect
from imitation.values import Answer, Done, Message, ModelSpec, Sampling, Sent, Turn

CARDS = tuple(
    ModelSpec(id=role, name=role.title(), role=role, backend="embedded")
    for role in ("base", "imitation", "reference")
)
SENT = Sent("http://x/v1", "m", messages=(Message("user", "hi"),), dropped=(Message("user", "a"),))
DONE = Done("stop", 3, 4, False, 0.1, 0.5)


@pytest.fixture
def db(tmp_path: Path) -> Store:
    return connect(tmp_path / "lab.sqlite3")


def comparison(**changes: object) -> Comparison:
    turn = Turn(
        "Why? é 👀", tuple(Answer("because", state="done", sent=SENT, done=DONE) for _ in CARDS)
    )
    whole = Comparison(
        comparisons.new_id(),
        "anna",
        CARDS,
        False,
        "be brief",
        Sampling(seed=3, stop=("\n",)),
        (turn,),
        created=5.0,
    )
    return replace(whole, **changes)


def test_what_is_saved_is_what_is_loaded(db: Store) -> None:
    failed = Turn("x", (Answer(state="failed", error=("no", "retry")),) * 3)
    whole = comparison(turns=(*comparison().turns, failed))
    comparisons.save(db, whole)
    assert comparisons.load(db, whole.id) == whole


def test_a_card_of_an_older_version_still_loads(db: Store) -> None:
    whole = comparison()
    comparisons.save(db, whole)
    cards = json.loads(db.execute("SELECT cards FROM comparisons").fetchone()[0])
    cards[0]["a_field_of_the_past"] = 1
    with db.writing():
        db.execute("UPDATE comparisons SET cards = ?", (json.dumps(cards),))
    assert comparisons.load(db, whole.id) == whole


def test_share_links_open_for_anyone_and_end_with_the_comparison(db: Store) -> None:
    whole = comparison()
    comparisons.save(db, whole)
    assert comparisons.share(db, whole.id, "bert") is None
    link = comparisons.share(db, whole.id, "anna")
    assert link and link != whole.id and len(link) >= 20
    assert comparisons.share(db, whole.id, "anna") == link
    shared = comparisons.load_shared(db, link)
    assert shared and shared.turns == whole.turns
    comparisons.save(db, replace(whole, system="later"))
    assert comparisons.load_shared(db, link) is not None
    assert not comparisons.unshare(db, whole.id, "bert")
    assert comparisons.unshare(db, whole.id, "anna")
    assert comparisons.load_shared(db, link) is None
    again = comparisons.share(db, whole.id, "anna")
    assert again != link
    assert not comparisons.delete(db, whole.id, "bert")
    assert comparisons.delete(db, whole.id, "anna")
    assert again and comparisons.load_shared(db, again) is None


def test_history_is_one_visitors_own_and_searchable(db: Store) -> None:
    mine, other = comparison(), comparison(visitor="bert")
    later = comparison(turns=(Turn('Say "100%_"', (Answer("ok"),) * 3),))
    for item in (mine, other, later):
        comparisons.save(db, item)
    assert {c.id for c in comparisons.of_visitor(db, "anna")} == {mine.id, later.id}
    assert [c.id for c in comparisons.of_visitor(db, "anna", search='"100%_"')] == [later.id]
    assert [c.id for c in comparisons.of_visitor(db, "anna", search="BECAUSE")] == [mine.id]
    assert [c.id for c in comparisons.of_visitor(db, "anna", search="É 👀")] == [mine.id]
    assert comparisons.of_visitor(db, "anna", search="first_token_s") == []
    assert comparisons.of_visitor(db, "anna", search="' OR 1=1 --") == []


def test_export_has_the_answers_but_neither_visitor_nor_link(db: Store) -> None:
    whole = comparison()
    comparisons.save(db, whole)
    link = comparisons.share(db, whole.id, "anna")
    (line,) = comparisons.export_lines(comparisons.of_visitor(db, "anna"))
    assert json.loads(line)["turns"][0]["answers"][0]["text"] == "because"
    assert "anna" not in line and str(link) not in line


def test_a_vote_keeps_its_own_copy_of_what_was_judged(db: Store) -> None:
    whole = comparison(blind=True)
    comparisons.save(db, whole)
    votes.add(db, whole, "preference", "imitation")
    comparisons.delete(db, whole.id, "anna")
    row = db.execute("SELECT * FROM votes").fetchone()
    assert row["choice"] == "imitation" and row["blind"] == 1
    assert json.loads(row["columns"]) == ["base", "imitation", "reference"]
    assert json.loads(row["states"]) == ["done"] * 3
    assert json.loads(row["conversation"])["turns"][0]["answers"] == ["because"] * 3
    assert json.loads(row["sampling"])["seed"] == 3


def test_votes_are_checked(db: Store) -> None:
    whole = comparison()
    votes.add(db, whole, "preference", votes.TIE)
    with pytest.raises(UserError, match="already"):
        votes.add(db, whole, "preference", "base")
    with pytest.raises(UserError, match="not one of the columns"):
        votes.add(db, comparison(), "preference", "gpt-5")
    with pytest.raises(UserError, match="not one of the columns"):
        votes.add(db, comparison(), "reference", votes.TIE)
    with pytest.raises(UserError, match="nothing to vote on"):
        votes.add(db, comparison(turns=()), "preference", votes.TIE)
    assert db.execute("SELECT count(*) FROM votes").fetchone()[0] == 1


def test_the_running_score_knows_what_chance_would_give(db: Store) -> None:
    for choice in ("reference", "base", "reference"):
        votes.add(db, comparison(), "reference", choice)
    two = comparison(cards=CARDS[1:], turns=(Turn("x", (Answer("a"),) * 2),))
    votes.add(db, two, "reference", "imitation")
    score = votes.guess_score(db, "anna")
    assert (score.right, score.total) == (2, 4)
    assert score.expected == pytest.approx(3 / 3 + 1 / 2)
    assert votes.guess_score(db, "bert").total == 0
