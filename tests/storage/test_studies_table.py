"""Studies: who is shown what, three ratings an item, and every vote that is refused."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imitation.errors import UserError
from imitation.storage import studies, study_ratings, votes
from imitation.storage.database import Store, connect
from imitation.values import Pair


@pytest.fixture
def db(tmp_path: Path) -> Store:
    return connect(tmp_path / "lab.sqlite3")


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    found = Clock()
    for module in (studies, study_ratings):
        monkeypatch.setattr(module, "time", found)
    return found


def pairs(n):
    return [Pair(f"q{i}", ("a", "b"), (f"a{i}", f"b{i}")) for i in range(n)]


def make(db, n=4, **options):
    values = {"name": "S", "guidelines": "g", "source": "s", "visitor": "me", **options}
    return studies.get(db, studies.create(db, pairs(n), **values))


def rate(db, study, rater, clock, outcome="first"):
    """Rate all that is left for a rater; the pairs they saw."""
    seen = []
    while showing := study_ratings.show(db, study, rater):
        clock.now += 10
        study_ratings.vote(db, study.invite, rater, showing.token, outcome)
        seen.append(showing.pair)
    return seen


def test_every_item_gets_its_ratings_and_no_more(db, clock):
    study = make(db, 6, raters=3, repeat_every=0)
    for rater in "pqrst":
        rate(db, study, rater, clock)
    found = study_ratings.ratings(db, study.id)
    assert set(Counter(r.preference.pair.key for r in found).values()) == {3}
    assert len(found) == 18 and study_ratings.complete(db, study) == 6
    assert study_ratings.show(db, study, "u") is None


def test_two_at_once_do_not_take_the_same_last_place(db, clock):
    study = make(db, 1, raters=1)
    assert study_ratings.show(db, study, "p") is not None
    assert study_ratings.show(db, study, "q") is None, "held for the first"
    clock.now += study_ratings.HELD_S + 1
    other = study_ratings.show(db, study, "q")
    assert other is not None
    assert study_ratings.show(db, study, "p") is None, "taken over meanwhile"


def test_reloading_shows_the_same_item(db):
    study = make(db)
    one, again = study_ratings.show(db, study, "p"), study_ratings.show(db, study, "p")
    assert (one.token, one.pair) == (again.token, again.pair)


def test_both_orders_come_about_equally(db, clock):
    study = make(db, 200, raters=1, repeat_every=0)
    first = Counter(pair.models[0] for pair in rate(db, study, "p", clock))
    assert 60 < first["a"] < 140


def test_repeats_come_the_other_way_round_and_count_apart(db, clock):
    study = make(db, 9, raters=3, repeat_every=5)
    seen = rate(db, study, "p", clock)
    assert len(seen) == 11 and seen[4] == seen[0].swapped
    found = study_ratings.ratings(db, study.id)
    assert [r.again for r in found].count(True) == 2 and found[4].again
    assert {r.seconds for r in found} == {10.0}
    assert study_ratings.complete(db, study) == 0


@pytest.mark.parametrize(
    ("items", "every", "others"),
    [(9, 5, 0), (9, 10, 0), (4, 2, 0), (7, 0, 0), (18, 10, 0), (8, 0, 3)],
)
def test_a_rater_is_told_how_many_there_are(db, clock, items, every, others):
    study = make(db, items, raters=1, repeat_every=every)
    for _ in range(others):  # one rating an item is enough: these are nobody's any more
        showing = study_ratings.show(db, study, "other")
        clock.now += 10
        study_ratings.vote(db, study.invite, "other", showing.token, "tie")
    told = []
    while showing := study_ratings.show(db, study, "p"):
        told.append((showing.done + 1, showing.of))
        clock.now += 10
        study_ratings.vote(db, study.invite, "p", showing.token, "first")
    assert told == [(number, len(told)) for number in range(1, len(told) + 1)]
    assert len(told) >= items - others


def refused(db, study, *vote):
    with pytest.raises(UserError) as caught:
        study_ratings.vote(db, *vote)
    assert caught.value.hint
    return votes.refused(db, study.id)


def test_votes_that_are_refused_are_counted(db, clock):
    study = make(db, 4, repeat_every=0)
    showing = study_ratings.show(db, study, "p")
    ballot = (study.invite, "p", showing.token)
    assert refused(db, study, *ballot, "first") == {"too fast": 1}
    clock.now += 5
    assert refused(db, study, study.invite, "q", showing.token, "first")["not shown"] == 1
    assert refused(db, study, study.invite, "p", "guessed", "first")["not shown"] == 2
    assert refused(db, study, *ballot, "all")["not shown"] == 3
    study_ratings.vote(db, *ballot, "second")
    assert refused(db, study, *ballot, "first")["twice"] == 1
    (kept,) = study_ratings.ratings(db, study.id)
    assert kept.preference.outcome == "second"
    later = study_ratings.show(db, study, "p")
    clock.now += 5
    assert studies.set_open(db, study.id, "me", False)
    assert refused(db, study, study.invite, "p", later.token, "first")["after closing"] == 1
    with pytest.raises(UserError, match="opens no study"):
        study_ratings.vote(db, "guessed", "p", later.token, "first")
    assert study_ratings.show(db, studies.get(db, study.id), "p") is None
    assert len(study_ratings.ratings(db, study.id)) == 1


def test_of_votes_at_once_one_counts(db, clock, tmp_path):
    study = make(db, 1)
    showing = study_ratings.show(db, study, "p")
    clock.now += 5

    def vote(_):
        own = connect(tmp_path / "lab.sqlite3")
        try:
            study_ratings.vote(own, study.invite, "p", showing.token, "first")
            return 1
        except UserError:
            return 0
        finally:
            own.close()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(vote, range(16))) == 1
    assert votes.refused(db, study.id) == {"twice": 15}


def test_only_its_maker_closes_and_deletes(db, clock):
    study = make(db)
    rate(db, study, "p", clock)
    assert not studies.set_open(db, study.id, "you", False)
    assert not studies.delete(db, study.id, "you")
    assert studies.of_visitor(db, "you") == [] and len(studies.of_visitor(db, None)) == 1
    assert studies.set_open(db, study.id, "me", False)
    assert studies.invited(db, study.invite).closed == clock.now
    assert studies.set_open(db, study.id, "me", True)
    assert studies.delete(db, study.id, "me")
    for table in ("studies", "study_items", "showings", "pairs"):
        assert db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 0
    assert studies.invited(db, study.invite) is None


def test_an_export_says_who_was_preferred_and_no_visitor(db, clock):
    study = make(db, 2, repeat_every=0)
    rate(db, study, "secret-hash", clock, "tie")
    rate(db, study, "other", clock, "first")
    lines = [json.loads(line) for line in study_ratings.export_lines(db, study)]
    assert [line["prompt"] for line in lines] == ["q0", "q1"]
    assert lines[0]["answers"] == {"a": "a0", "b": "b0"}
    by_rater = {r["rater"]: r for r in lines[0]["ratings"]}
    assert by_rater[1]["preferred"] is None
    assert by_rater[2]["preferred"] == by_rater[2]["shown_first"]
    assert "secret-hash" not in json.dumps(lines)


def test_sizes_out_of_range(db):
    for options in ({"n": 0}, {"raters": 0}, {"repeat_every": 1}):
        with pytest.raises(UserError):
            make(db, **options)
