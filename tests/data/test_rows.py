"""Files of every kind, whole and broken, and files made to flood."""

import csv
import gzip
import json
import os
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imitation.data import rows
from imitation.data.rows import Row, read_file
from imitation.errors import UserError
from imitation.values import Refused

GOOD = [{"prompt": f"q{n}", "answer": "ä\u2028"} for n in range(3)]


def read(path):
    return list(read_file(path))


def values(found):
    return [item.value for item in found if isinstance(item, Row)]


def refusals(found):
    return [(item.line, item.reason) for item in found if isinstance(item, Refused)]


def write(path, data):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def lines(items=GOOD):
    return "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)


def test_jsonl(tmp_path):
    found = read(write(tmp_path / "a.jsonl", "\ufeff" + lines() + "\n  \n"))
    assert values(found) == GOOD
    assert [item.line for item in found] == [1, 2, 3]


@pytest.mark.parametrize("indent", [None, 1])
def test_arrays_are_read_piece_by_piece(tmp_path, monkeypatch, indent):
    monkeypatch.setattr(rows, "_CHUNK", 16)
    items = [{"prompt": "x" * n, "answer": 'é{[]}\\"'} for n in range(40)]
    text = json.dumps(items, indent=indent, ensure_ascii=False)
    assert values(read(write(tmp_path / "a.json", text))) == items


def test_csv(tmp_path):
    path = tmp_path / "a.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, ["prompt", "answer"])
        writer.writeheader()
        writer.writerows([*GOOD, {"prompt": 'two\nlines, "quoted"', "answer": "b"}])
        file.write("only one field\n")
    found = read(path)
    assert values(found) == [*GOOD, {"prompt": 'two\nlines, "quoted"', "answer": "b"}]
    assert refusals(found) == [(7, "fewer fields than the header names")]


def test_parquet_gzip_and_zip(tmp_path):
    pq.write_table(pa.Table.from_pylist(GOOD), tmp_path / "a.parquet")
    assert values(read(tmp_path / "a.parquet")) == GOOD
    with gzip.open(tmp_path / "a.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(lines())
    assert values(read(tmp_path / "a.jsonl.gz")) == GOOD
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../../etc/passwd", lines())
        archive.writestr("more/b.json", json.dumps(GOOD))
        archive.write(tmp_path / "a.parquet", "inner.parquet")
    before = set(tmp_path.rglob("*"))
    found = read(tmp_path / "a.zip")
    assert values(found) == GOOD * 2
    assert refusals(found) == [(0, "Parquet or zip inside a zip; unpack it first")]
    assert set(tmp_path.rglob("*")) == before, "nothing is unpacked"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": ', "not JSON"),
        (b"[1]", "a list where"),
        (b'"text"', "text where"),
        (b"12", "a number where"),
        (b'{"a": "\xff"}', "not UTF-8: byte 0xff"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too many digits"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_bad_line_is_refused_with_its_place(tmp_path, line, reason):
    found = read(
        write(tmp_path / "a.jsonl", lines(GOOD[:1]).encode() + line + b"\n" + lines().encode())
    )
    assert values(found) == [GOOD[0], *GOOD]
    ((place, why),) = refusals(found)
    assert place == 2
    assert reason in why


def test_a_line_too_long_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "MAX_ROW", 1000)
    monkeypatch.setattr(rows, "_CHUNK", 300)
    text = lines(GOOD[:1]) + json.dumps({"a": "x" * 5000}) + "\n" + lines(GOOD[1:])
    found = read(write(tmp_path / "a.jsonl", text))
    assert values(found) == GOOD
    assert refusals(found)[0][0] == 2


@pytest.mark.parametrize(
    "text",
    ['[{"a": 1}, {"a": }, {"a": 3}]', '[{"a": 1}, {"a"', '[{"a": 1} {"a": 2}]', '[{"a": 1}, \xff'],
)
def test_a_broken_array_gives_what_came_before(tmp_path, text):
    found = read(write(tmp_path / "a.json", text.encode("latin-1")))
    assert values(found)[:1] == [{"a": 1}][: len(values(found))]
    assert "the rest was not read" in refusals(found)[0][1]


def test_wrong_encodings(tmp_path):
    utf16 = read(write(tmp_path / "a.jsonl", lines().encode("utf-16")))
    assert refusals(utf16) == [(0, "the file is UTF-16; save it as UTF-8")]
    latin = read(write(tmp_path / "b.csv", "prompt,answer\nä,b\n".encode("latin-1")))
    assert "not UTF-8" in refusals(latin)[0][1]
    assert values(latin) == []


def test_what_is_no_data_at_all_is_given_up(tmp_path):
    found = read(write(tmp_path / "a.jsonl", "no json\n" * 5000))
    assert len(found) == rows.GIVE_UP + 1
    assert "the rest was not read" in found[-1].reason


def test_broken_containers_are_refused(tmp_path):
    pq.write_table(pa.Table.from_pylist(GOOD), tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    for name, data in {
        "cut.parquet": whole[: len(whole) // 2],
        "flipped.parquet": whole[:8] + bytes(b ^ 255 for b in whole[8:60]) + whole[60:],
        "cut.jsonl.gz": gzip.compress(lines().encode())[:-12],
        "cut.zip": b"PK\x03\x04" + b"0" * 100,
    }.items():
        found = read(write(tmp_path / name, data))
        assert isinstance(found[-1], Refused), name


@pytest.fixture
def small_limits(monkeypatch):
    monkeypatch.setattr(rows, "FREE_UNFOLDING", 1_000_000)


def test_bombs_are_left_early(tmp_path, small_limits):
    flood = lines(GOOD[:1]).encode() + b'{"prompt": "' + b"a" * 8_000_000 + b'"}\n'
    write(tmp_path / "a.jsonl.gz", gzip.compress(flood))
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jsonl", flood)
    for name in ("a.jsonl.gz", "a.zip"):
        found = read(tmp_path / name)
        assert "unfolds" in refusals(found)[-1][1], name


def test_parquet_bombs(tmp_path, small_limits):
    many = pa.table({"prompt": pa.array(["x" * 50_000] * 20_000).dictionary_encode()})
    pq.write_table(many, tmp_path / "refers.parquet")  # a gigabyte of one value
    one = pa.table({"prompt": ["x" * 90_000_000]})
    pq.write_table(one, tmp_path / "folds.parquet", compression="zstd", use_dictionary=False)
    for name in ("refers.parquet", "folds.parquet"):
        assert (tmp_path / name).stat().st_size < 200_000
        found = read(tmp_path / name)
        assert "unfolds" in refusals(found)[-1][1], name
        assert len(found) < 500


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "none.jsonl", tmp_path / "pipe", Path("/dev/null/x")):
        with pytest.raises(UserError):
            read(path)
    assert read(write(tmp_path / "empty.jsonl", "")) == []
    assert read(write(tmp_path / "empty.csv", "")) == []
