"""Datasets on disk: whole or not there, and the same again."""

import json

import pyarrow.parquet as pq
import pytest

from imitation.data import manifest
from imitation.data.format import read_examples, sha256_of
from imitation.data.sources.load import Source, load
from imitation.errors import StorageError, UserError
from imitation.values import Example, Message

EXAMPLES = [
    Example(
        (Message("system", "s"), Message("user", f"q{n}"), Message("assistant", "ä\n")),
        "mine",
        str(n),
        {"type": "QA", "n": n} if n % 2 else {},
    )
    for n in range(5001)
]


@pytest.mark.slow
def test_both_files_hold_the_same_and_can_be_sources_again(tmp_path):
    whole = manifest.write_dataset(tmp_path / "set", EXAMPLES, {"seed": 0})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set"]
    assert json.loads((tmp_path / "set" / "manifest.json").read_text()) == whole
    assert read_examples(tmp_path / "set" / "data.jsonl") == (EXAMPLES, [])
    for name in ("data.jsonl", "data.parquet"):
        path = tmp_path / "set" / name
        assert whole["files"][name]["sha256"] == sha256_of(path)
        loaded = load(Source("mine", str(path)))
        assert not loaded.refused
        assert loaded.examples == EXAMPLES
    assert pq.read_metadata(tmp_path / "set" / "data.parquet").num_row_groups == 2


@pytest.mark.slow
def test_turns_without_loss_stay_so_in_both_files(tmp_path):
    talk = (Message("user", "q"), Message("assistant", "a")) * 2
    examples = [Example(talk, "mine", "1", {}, (1,)), Example(talk, "mine", "2")]
    manifest.write_dataset(tmp_path / "set", examples, {})
    for name in ("data.jsonl", "data.parquet"):
        loaded = load(Source("mine", str(tmp_path / "set" / name)))
        assert [example.unlearned for example in loaded.examples] == [(1,), ()]


def test_the_same_data_has_the_same_hashes(tmp_path):
    first = manifest.write_dataset(tmp_path / "a", EXAMPLES[:9], {})
    again = manifest.write_dataset(tmp_path / "b", EXAMPLES[:9], {})
    other = manifest.write_dataset(tmp_path / "c", EXAMPLES[:8], {})
    assert first["files"] == again["files"]
    assert first["sha256"] == again["sha256"] != other["sha256"]


def test_nothing_is_overwritten(tmp_path):
    manifest.write_dataset(tmp_path / "set", EXAMPLES[:1], {})
    (tmp_path / "file").write_text("x")
    for name in ("set", "file"):
        with pytest.raises(UserError, match="exists already"):
            manifest.write_dataset(tmp_path / name, EXAMPLES[:2], {})
    assert read_examples(tmp_path / "set" / "data.jsonl")[0] == EXAMPLES[:1]


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(path, examples):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(manifest, "_write_parquet", full)
    with pytest.raises(StorageError, match="No space"):
        manifest.write_dataset(tmp_path / "set", EXAMPLES[:9], {})
    assert list(tmp_path.iterdir()) == []


def test_contents_count_turns_and_tokens_by_source():
    table = manifest.contents(EXAMPLES[:4], len, "characters")
    assert table == {
        "conversations": 4,
        "answers": 4,
        "tokens": 20,
        "output_tokens": 8,
        "tokens_counted_by": "characters",
        "by_source": {"mine": {"conversations": 4, "tokens": 20}},
    }
