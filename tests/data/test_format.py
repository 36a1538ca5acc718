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
        '{"messages": [{"role": "user", "content": 3}]}', "", json.dumps({**good, "meta": 1}),
    ]  # fmt: skip
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    examples, refused = read_examples(path)
    assert len(examples) == 1
    assert [r.line for r in refused] == [2, 3, 4, 5, 6, 8]
    assert all(r.reason and r.file == str(path) for r in refused)


def test_a_byte_order_mark_is_no_text(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "x"}]}\r\n', encoding="utf-8-sig")
    examples, refused = read_examples(path)
    assert (len(examples), refused) == (1, [])


def test_another_encoding_is_named(tmp_path):
    path = tmp_path / "data.jsonl"
    for encoding, said in (("cp1252", "Windows-1252"), ("utf-16", "UTF-16")):
        path.write_text('{"messages": [{"role": "user", "content": "caf\u00e9"}]}', encoding)
        with pytest.raises(StorageError, match=said):
            read_examples(path)


def test_a_missing_file_is_said_in_words(tmp_path):
    with pytest.raises(StorageError, match="cannot be read"):
        read_examples(tmp_path / "none.jsonl")
