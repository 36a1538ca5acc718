"""Every shape becomes the same conversations; what cannot is counted with place and reason."""

import json
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imitation.data.sources.load import LOOKED_AT, Source, load, preview
from imitation.data.sources.messages import MAX_MESSAGE
from imitation.data.sources.schemas import recognise
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
        ({"conversations": ["a"]}, "no assistant turn"),
        ({"conversations": ["a", 1]}, "not a message"),
        ({"messages": "[not json"}, "no JSON list"),
        ({"instruction": "q", "output": "<nooutput>"}, "no answer (<nooutput>)"),
        (talk(("user", "q"), ("assistant", "<nooutput>")), "no answer (<nooutput>)"),
        ({"conversations": ["q", "<nooutput>"]}, "no answer (<nooutput>)"),
        ({"instruction": "q", "output": "a", "history": [["only"]]}, "history holds"),
        ({"question": "q", "chatgpt_answers": ["", None]}, "no answer that is not empty"),
        ({"message_id": "1", "parent_id": None, "text": "a"}, "file of whole trees"),
        ({"question": "q", "chatgpt_answers": []}, "no assistant turn"),
        ({"instruction": ["q"], "output": "a"}, "not text"),
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


def test_preview_of_a_small_file_with_many_rows_is_over_soon(tmp_path):
    many = {"prompt": pa.nulls(1_000_000, pa.string()), "answer": pa.nulls(1_000_000, pa.string())}
    pq.write_table(pa.table(many), tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size < 100_000
    loaded = preview(Source("s", str(tmp_path / "a.parquet")))
    assert (loaded.examples, loaded.rows) == ([], LOOKED_AT)


def turns(example):
    return [(m.role, m.content) for m in example.messages]


ONE = [("user", ASKED.content), ("assistant", SAID.content)]
TWO = [*ONE, ("user", "And a lake?"), ("assistant", "Lake Como.")]
BRIEF = ("system", "Be brief.")


def node(parent, role, text, *children, **more):
    content = {"content_type": "text", "parts": [text]}
    said = {"author": {"role": role}, "content": content, "weight": 1.0, **more}
    return {"message": said, "parent": parent, "children": list(children)}


def reply(text, rank, *replies, role="assistant", **more):
    return {"role": role, "text": text, "rank": rank, "replies": list(replies), **more}


EXPORT = {
    "title": "Rivers",
    "id": "x",
    "current_node": "e",
    "mapping": {
        "root": {"message": None, "parent": None, "children": ["s"]},
        "s": node("root", "system", "", "a", weight=0.0),
        "a": node("s", "user", ASKED.content, "b", "c"),
        "b": node("a", "assistant", "The first try."),
        "c": node("a", "assistant", SAID.content, "d"),
        "d": node("c", "user", "And a lake?", "e", "f"),
        "e": node("d", "assistant", "Lake Como."),
        "f": node("d", "assistant", "Not this one."),
    },
}
THOUGHT = node("d", "assistant", "")
THOUGHT["message"]["content"] = {"content_type": "thoughts", "thoughts": [{"content": "Como?"}]}
WITH_THOUGHTS = EXPORT | {
    "mapping": EXPORT["mapping"] | {"t": THOUGHT, "e": node("t", "assistant", "Lake Como.")}
}
TREE = {
    "message_tree_id": "x",
    "prompt": {
        "role": "prompter",
        "text": ASKED.content,
        "replies": [
            reply("Worse.", 1, reply("Why?", None, role="prompter")),
            reply("Deleted.", -1, deleted=True),
            reply(
                SAID.content,
                0,
                reply("And a lake?", None, reply("Lake Como.", None), role="prompter"),
            ),
        ],
    },
}
FORMS = {
    "LLaMA-Factory's Alpaca": (
        {
            "instruction": "And a lake?",
            "input": "",
            "output": "Lake Como.",
            "system": "Be brief.",
            "history": [[ASKED.content, SAID.content]],
        },
        [BRIEF, *TWO],
    ),
    "a system beside ShareGPT": (SHAPES["ShareGPT"] | {"system": "Be brief."}, [BRIEF, *ONE]),
    "a system in both": (
        SHAPES["ShareGPT"]
        | {"system": "Overruled."}
        | {
            "conversations": [
                {"from": "system", "value": "Be brief."},
                *SHAPES["ShareGPT"]["conversations"],
            ]
        },
        [BRIEF, *ONE],
    ),
    "developer": (talk(("developer", "Be brief."), *ONE), [BRIEF, *ONE]),
    "prompt and completion": ({"prompt": ASKED.content, "completion": SAID.content}, ONE),
    "prompt and completion as messages": (
        {"prompt": talk(*TWO[:3])["messages"], "completion": talk(TWO[3])["messages"]},
        TWO,
    ),
    "query and response": ({"query": ASKED.content, "response": SAID.content}, ONE),
    "question and answer": ({"question": ASKED.content, "answer": SAID.content}, ONE),
    "UltraChat": ({"id": "0", "data": [text for _, text in TWO]}, TWO),
    "LIMA": ({"conversations": [text for _, text in TWO], "source": "wiki"}, TWO),
    "items": ({"items": SHAPES["ShareGPT"]["conversations"]}, ONE),
    "OASST": (TREE, TWO),
    "Orca": (
        {"system_prompt": "Be brief.", "question": ASKED.content, "response": SAID.content},
        [BRIEF, *ONE],
    ),
    "ChatGPT's export": (EXPORT, TWO),
    "ChatGPT's export without a current node": (
        {k: v for k, v in EXPORT.items() if k != "current_node"},
        [*TWO[:3], ("assistant", "Not this one.")],
    ),
    "ChatGPT's export with thoughts": (WITH_THOUGHTS, TWO),
    "messages as JSON text": ({"messages": json.dumps(talk(*TWO)["messages"])}, TWO),
    "no input": (SHAPES["Alpaca"] | {"input": "<noinput>"}, ONE),
    "no input in words": (SHAPES["Alpaca"] | {"input": "No input"}, ONE),
    "an empty first answer of HC3": (
        SHAPES["HC3"] | {"chatgpt_answers": ["", " ", SAID.content]},
        ONE,
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms_keep_system_and_history(tmp_path, name):
    row, wanted = FORMS[name]
    loaded = load(source(tmp_path / "a.jsonl", row))
    assert not loaded.refused, loaded.refused
    assert [turns(example) for example in loaded.examples] == [wanted]


@pytest.mark.parametrize(
    "who", ["gpt-4", "GPT-3.5-turbo", "claude", "claude-2", "ai", "bot", "bing", "bard", "chatgpt"]
)
def test_models_by_their_names(tmp_path, who):
    row = {"conversations": [{"from": "human", "value": "q"}, {"from": who, "value": "a"}]}
    (example,) = load(source(tmp_path / "a.jsonl", row)).examples
    assert turns(example) == [("user", "q"), ("assistant", "a")]


def test_turns_of_weight_0_are_kept_and_not_learned(tmp_path):
    row = talk(*TWO)
    row["messages"][1]["weight"] = 0
    row["messages"][3]["weight"] = 1
    (example,) = load(source(tmp_path / "a.jsonl", talk(("assistant", "Hello!")), row)).examples
    assert (turns(example), example.unlearned) == (TWO, (1,))
    row["messages"][3]["weight"] = 0
    (refused,) = load(source(tmp_path / "b.jsonl", row)).refused
    assert "no assistant turn has a weight over 0" in refused.reason


def test_datasets_of_other_tools_by_columns_and_under_names(tmp_path):
    by_rows = [{"prompt": f"q{n}", "answer": f"a{n}"} for n in range(3)]
    columns = {"prompt": [r["prompt"] for r in by_rows], "answer": [r["answer"] for r in by_rows]}
    numbered = {key: {str(n): v for n, v in enumerate(values)} for key, values in columns.items()}
    rows = [[r["prompt"], r["answer"]] for r in by_rows]
    split = {"columns": ["prompt", "answer"], "index": [0, 1, 2], "data": rows}
    talks = {"messages": [talk(*ONE)["messages"], talk(*TWO)["messages"], talk(*ONE)["messages"]]}
    under_a_name = [{"version": 1, "data": by_rows}, {"data": by_rows}, {"items": by_rows}]
    under_a_name += [{"train": by_rows, "test": by_rows}]
    for value in (columns, numbered, split, *under_a_name, talks):
        for indent in (None, 2):
            (tmp_path / "a.json").write_text(json.dumps(value, indent=indent))
            loaded = load(Source("s", str(tmp_path / "a.json")))
            assert (len(loaded.examples), loaded.rows, loaded.refused) == (3, 3, ()), value
    (tmp_path / "a.json").write_text(json.dumps(columns | {"prompt": ["q0", "", "q2"]}))
    loaded = load(Source("s", str(tmp_path / "a.json")))
    assert [(r.line, r.reason) for r in loaded.refused] == [(2, "turn 1 is empty")]
    assert len(loaded.examples) == 2


def test_meta_that_is_not_needed_refuses_nothing(tmp_path):
    deep = []
    for _ in range(500):
        deep = [deep]
    bad = {"a": "\ud800", "b": float("nan"), "c": deep, "d": "\0", "kept": [1, {"x": "y"}]}
    rows = [SHAPES["Alpaca"] | {"meta": meta} for meta in (bad, "{broken", 3, ["x"], "[" * 900)]
    loaded = load(source(tmp_path / "a.jsonl", *rows, SHAPES["Alpaca"] | {"id": "\ud800"}))
    assert not loaded.refused
    assert [e.meta for e in loaded.examples] == [{"kept": [1, {"x": "y"}]}, {}, {}, {}, {}, {}]
    assert loaded.examples[-1].id == "a.jsonl:6"
    (tmp_path / "d.parquet").touch()
    dated = [{"prompt": "q", "answer": "a", "meta": {"when": datetime(2023, 5, 1)}, "raw": b"x"}]
    pq.write_table(pa.Table.from_pylist(dated), tmp_path / "d.parquet")
    assert len(load(Source("s", str(tmp_path / "d.parquet"))).examples) == 1


def test_answers_in_html_are_counted(tmp_path):
    page = '<div class="markdown prose w-full"><p>Two <strong>words</strong>.</p></div>'
    rows = [talk(("user", "q"), ("assistant", text)) for text in (
        page, "Use `<p>` for paragraphs.", "```html\n<div class='markdown'>\n```",
        "```\npythonCopy codeprint(1)\n```", "a < b > c",
    )]  # fmt: skip
    assert load(source(tmp_path / "a.jsonl", *rows)).html == 2


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
