from contextlib import closing

import pytest

from imitation.errors import UserError
from imitation.storage import recordings
from imitation.storage.database import connect
from imitation.values import RecordedPrompt, Recording, Refused

RECORDING = Recording(
    (
        RecordedPrompt("81", "Write about the ÅNGSTRÖM", "writing"),
        RecordedPrompt("81/2", "Rewrite 100% of it_", "writing", ("Write about the ÅNGSTRÖM",)),
        RecordedPrompt("7", "What is <b>bold</b>?", "coding"),
    ),
    {"llama": {"81": "Text", "7": ""}, "gpt": {"81": "T", "81/2": "U", "7": "V"}},
    {"llama": ("a.jsonl",), "gpt": ("b.jsonl", "c.jsonl")},
    (Refused("a.jsonl", 3, "not JSON"),),
)


@pytest.fixture
def db(tmp_path):
    with closing(connect(tmp_path / "lab.sqlite3")) as connection:
        yield connection


def add(db, visitor="me", recording=RECORDING, **more):
    options = {"name": "Mine", "source": "a.jsonl, b.jsonl", "reference": "gpt", **more}
    return recordings.add(db, recording, visitor=visitor, **options)


def test_a_set_comes_back_as_it_was(db):
    add(db, "other")
    identity = add(db)
    assert recordings.load(db, identity) == RECORDING
    found = recordings.get(db, identity, "me")
    assert (found.name, found.reference, found.prompts) == ("Mine", "gpt", 3)
    assert found.models == ("llama", "gpt")
    assert found.refused == RECORDING.refused


def test_it_survives_reopening(db, tmp_path):
    identity = add(db)
    with closing(connect(tmp_path / "lab.sqlite3")) as again:
        assert recordings.load(again, identity) == RECORDING


def test_visitors_see_their_own_sets_and_the_shared_ones(db):
    mine, shared, theirs = add(db), add(db, None), add(db, "other")
    assert {s.id for s in recordings.sets(db, "me")} == {mine, shared}
    assert {s.id for s in recordings.sets(db, None)} == {shared}
    assert recordings.get(db, theirs, "me") is None
    assert recordings.get(db, shared, "me").visitor is None


@pytest.mark.parametrize(
    ("text", "category", "ids"),
    [
        ("", None, ["81", "81/2", "7"]),
        ("ångström", None, ["81"]),
        ("  write  ABOUT ", None, ["81"]),
        ("about write", None, ["81"]),
        ("rite", None, ["81", "81/2"]),
        ("100%", None, ["81/2"]),
        ("%", None, ["81/2"]),
        ("_", None, ["81/2"]),
        ("<b>", None, ["7"]),
        ("'; DROP TABLE recorded_prompts", None, []),
        ("", "coding", ["7"]),
        ("rite", "coding", []),
        ("", "none such", []),
    ],
)
def test_search(db, text, category, ids):
    add(db, "other")
    rows = recordings.search(db, add(db), text=text, category=category)
    assert [prompt.id for prompt in recordings.prompts(db, rows)] == ids


def test_pages(db):
    rows = recordings.search(db, add(db))
    assert recordings.prompts(db, rows[2:4]) == RECORDING.prompts[2:]
    assert recordings.prompts(db, []) == ()


def test_categories_in_the_order_of_the_set(db):
    assert recordings.categories(db, add(db)) == [("writing", 2), ("coding", 1)]


def test_answers_of_one_prompt(db):
    identity = add(db)
    prompt, answers = recordings.answers(db, identity, "81/2")
    assert prompt == RECORDING.prompts[1]
    assert answers == {"gpt": "U"}
    assert recordings.answers(db, identity, "81")[1] == {"llama": "Text", "gpt": "T"}
    assert recordings.answers(db, identity, "99") is None


def test_only_its_maker_deletes_a_set(db):
    mine, shared = add(db), add(db, None)
    assert not recordings.delete(db, mine, "other")
    assert not recordings.delete(db, shared, "me")
    assert recordings.delete(db, mine, "me")
    assert recordings.get(db, mine, "me") is None
    with pytest.raises(UserError, match="gone"):
        recordings.load(db, mine)
    assert recordings.load(db, shared) == RECORDING, "the other set is untouched"
    counts = [
        db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in ("recording_sets", "recorded_prompts", "recorded_answers")
    ]
    assert counts == [1, 3, 5]


def test_nothing_is_stored_without_answers_or_reference(db):
    with pytest.raises(UserError, match="no usable answer"):
        add(db, recording=Recording(RECORDING.prompts, {"gpt": {}}))
    with pytest.raises(UserError, match=r"no model 'claude'.*'llama', 'gpt'"):
        add(db, reference="claude")
    assert recordings.sets(db, "me") == []


def test_an_id_used_twice_stores_nothing(db):
    twice = Recording((RECORDING.prompts[0],) * 2, {"gpt": {"81": "T"}})
    with pytest.raises(Exception, match="UNIQUE"):
        add(db, recording=twice)
    assert recordings.sets(db, "me") == []
    assert db.execute("SELECT count(*) FROM recorded_prompts").fetchone()[0] == 0
