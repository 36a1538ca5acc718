"""Datasets on disk."""

import json

import pytest

from imitation.data.format import read_examples, write_examples
from imitation.errors import StorageError
from imitation.values import Example, Message


def test_what_is_written_is_read(tmp_path):
    examples = [
        Example(
            (Message("user", "line\u2028separator \u00e9"), Message("assistant", "ok")),
            "s",
            "1",
            {"a": 1},
        ),
        Example(
            (Message("system", "be"), Message("user", "x"), Message("assistant", "")), "s", "2"
        ),
        Example((Message("user", "x"), Message("assistant", "y")), "s", "3", {}, (1,)),
    ]
    path = tmp_path / "new" / "data.jsonl"
    write_examples(path, examples)
    assert read_examples(path) == (examples, [])


def test_bad_lines_are_named_and_good_ones_kept(tmp_path):
    good = {"messages": [{"role": "user", "content": "x"}]}
    lines = [
        json.dumps(good), "{", "[]", '{"messages": []}',
        '{"messages": [{"role": "robot", "content": "x"}]}',
        '{"messages": [{"role": "user", "content": 3}]}', "",
        *(json.dumps({**good, "meta": meta}) for meta in (1, None)),
    ]  # fmt: skip
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    examples, refused = read_examples(path)
    assert [dict(e.meta) for e in examples[1:]] == [{}, {}]  # no meta refuses a row
    assert [r.line for r in refused] == [2, 3, 4, 5, 6]
    assert all(r.reason and r.file == str(path) for r in refused)


def test_a_byte_order_mark_is_no_text(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "x"}]}\r\n', encoding="utf-8-sig")
    examples, refused = read_examples(path)
    assert (len(examples), refused) == (1, [])


def test_another_encoding_is_named(tmp_path):
    path = tmp_path / "data.jsonl"
    row = '{"messages": [{"role": "user", "content": "caf\u00e9"}]}\n'
    path.write_text(row, "utf-16")
    with pytest.raises(StorageError, match="UTF-16"):
        read_examples(path)
    path.write_bytes(row.encode("cp1252") + row.encode())  # a bad byte costs its row
    (example,), (refused,) = read_examples(path)
    assert example.messages[0].content == "caf\u00e9"
    assert refused.line == 1 and "Windows-1252" in refused.reason


def test_a_missing_file_is_said_in_words(tmp_path):
    with pytest.raises(StorageError, match="cannot be read"):
        read_examples(tmp_path / "none.jsonl")
