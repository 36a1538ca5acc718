"""Every shape becomes the same conversations; what cannot is counted with place and reason."""

import json

import pytest

from imitation.data.load import Source, load, preview
from imitation.data.shapes import MAX_MESSAGE, recognise
from imitation.errors import UserError
from imitation.values import Message

ASKED, SAID = Message("user", "Name a river."), Message("assistant", "The Ebro.")
SHAPES = {
    "ShareGPT": {
        "id": "x",
        "conversations": [
            {"from": "human", "value": ASKED.content},
            {"from": "gpt", "value": SAID.content},
        ],
    },
    "OpenAI messages": {
        "id": "x",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": ASKED.content}]},
            {"role": "assistant", "content": SAID.content},
        ],
    },
    "chat logs": {
        "conversation_id": "x",
        "conversation": [
            {"role": "user", "content": ASKED.content, "language": "English"},
            {"role": "assistant", "content": SAID.content},
        ],
    },
    "Alpaca": {"id": "x", "instruction": ASKED.content, "input": "", "output": SAID.content},
    "Dolly": {
        "id": "x",
        "instruction": ASKED.content,
        "context": "",
        "response": SAID.content,
        "category": "open_qa",
    },
    "HC3": {
        "id": "x",
        "question": ASKED.content,
        "human_answers": ["Thames"],
        "chatgpt_answers": [SAID.content],
    },
    "prompts and answers": {"id": "x", "prompt": ASKED.content, "answer": SAID.content},
}


def source(path, *rows, raw=""):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + raw, encoding="utf-8")
    return Source("s", str(path))


def talk(*turns):
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(tmp_path, name):
    assert recognise(SHAPES[name]).name == name
    loaded = load(source(tmp_path / "a.jsonl", SHAPES[name]))
    (example,) = loaded.examples
    assert (example.messages, example.id, example.source) == ((ASKED, SAID), "x", "s")
    assert loaded.shapes == {name: 1}
    assert not loaded.refused


def test_context_joins_the_query_and_categories_are_kept(tmp_path):
    row = SHAPES["Dolly"] | {"context": "Rivers of Spain."}
    (example,) = load(source(tmp_path / "a.jsonl", row)).examples
    assert example.messages[0].content == "Name a river.\n\nRivers of Spain."
    assert example.meta == {"type": "open_qa"}


def test_each_answer_of_hc3_is_a_conversation(tmp_path):
    row = SHAPES["HC3"] | {"chatgpt_answers": ["a", "b"]}
    loaded = load(source(tmp_path / "a.jsonl", row))
    assert [e.id for e in loaded.examples] == ["x/1", "x/2"]


def test_opening_and_hanging_turns_are_cut(tmp_path):
    row = talk(
        ("system", "Be brief."),
        ("assistant", "Hello!"),
        ("user", "q"),
        ("assistant", "a"),
        ("user", "more"),
    )
    (example,) = load(source(tmp_path / "a.jsonl", row)).examples
    assert [m.role for m in example.messages] == ["system", "user", "assistant"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (talk(("user", "q")), "no assistant turn"),
        (talk(("user", "q"), ("user", "r"), ("assistant", "a")), "turn 2 is by the user"),
        (talk(("user", "q"), ("assistant", " ")), "turn 2 is empty"),
        (talk(("user", "q"), ("function", "a")), "no known speaker"),
        (talk(("user", "q\0"), ("assistant", "a")), "not text"),
        (talk(("user", "q\ud800"), ("assistant", "a")), "not text"),
        (talk(("user", 3), ("assistant", "a")), "content is not text"),
        (talk(("user", "q"), ("assistant", "x" * (MAX_MESSAGE + 1))), "1,000,001 characters"),
        ({"messages": []}, "no assistant turn"),
        ({"messages": "text"}, "not a list"),
        ({"messages": [1]}, "not a message"),
        ({"conversations": ["a"]}, "not a message"),
        ({"question": "q", "chatgpt_answers": []}, "no assistant turn"),
        ({"instruction": ["q"], "output": "a"}, "not text"),
        (SHAPES["Alpaca"] | {"id": "\ud800"}, "an id or meta"),
        (SHAPES["Alpaca"] | {"meta": {"a": "\ud800"}}, "an id or meta"),
        ({"a": 1}, "fields of no known shape: a"),
    ],
)
def test_malformed_rows_are_refused_with_place_and_reason(tmp_path, row, reason):
    good = SHAPES["Alpaca"]
    loaded = load(source(tmp_path / "a.jsonl", good, row, good | {"id": "y"}))
    assert len(loaded.examples) == 2
    (refused,) = loaded.refused
    assert (refused.file, refused.line) == ("a.jsonl", 2)
    assert reason in refused.reason
    assert sum(loaded.reasons.values()) == 1
    assert loaded.rows == 3


def test_a_message_of_a_megabyte_is_fine(tmp_path):
    row = talk(("user", "q"), ("assistant", "x" * MAX_MESSAGE))
    assert len(load(source(tmp_path / "a.jsonl", row)).examples) == 1


def test_ids_become_unique_and_are_made_up_where_missing(tmp_path):
    nameless = {key: value for key, value in SHAPES["Alpaca"].items() if key != "id"}
    same = SHAPES["Alpaca"]
    loaded = load(source(tmp_path / "a.jsonl", same, same, nameless, same, same | {"id": "x~2"}))
    assert [e.id for e in loaded.examples] == ["x", "x~2", "a.jsonl:3", "x~3", "x~2~2"]
    assert loaded.renamed == 3


def test_many_refusals_are_counted_by_kind(tmp_path):
    rows = [talk(("user", "q"), ("user", f"{n}"), ("assistant", "a")) for n in range(150)]
    loaded = load(source(tmp_path / "a.jsonl", SHAPES["Alpaca"], *rows))
    assert loaded.reasons == {"turn N is by the user, not by the assistant": 150}
    assert len(loaded.refused) == 100


def test_preview_reads_no_further(tmp_path):
    loaded = preview(source(tmp_path / "a.jsonl", *[SHAPES["Alpaca"]] * 9), 2)
    assert (len(loaded.examples), loaded.rows) == (2, 2)


@pytest.mark.slow
def test_hub_datasets_stream(tmp_path, monkeypatch):
    """A local folder goes the same way through `datasets` as a dataset of the hub."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    folder = tmp_path / "set"
    folder.mkdir()
    source(folder / "train.jsonl", *[SHAPES["ShareGPT"] | {"id": str(n)} for n in range(7)])
    loaded = preview(Source("h", f"hub:{folder}@train"), 3)
    assert [e.id for e in loaded.examples] == ["0", "1", "2"]
    assert loaded.examples[0].messages == (ASKED, SAID)
    with pytest.raises(UserError, match="can't be had"):
        load(Source("h", f"hub:{folder}@test"))
