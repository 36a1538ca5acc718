"""Files of every kind, whole and broken, and files made to flood."""

import csv
import gzip
import json
import os
import random
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imitation.data.sources import csv_rows, json_rows, rows
from imitation.data.sources.load import Source, load
from imitation.data.sources.rows import Row, read_file
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
    monkeypatch.setattr(json_rows, "_CHUNK", 16)
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
    assert refusals(found) == [
        (7, "fewer fields than the header names (read as separated by commas)")
    ]


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
    assert refusals(found) == [(0, "Parquet inside a zip; unpack it first")]
    assert set(tmp_path.rglob("*")) == before, "nothing is unpacked"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": ', "not JSON"),
        (b"[1]", "a list where"),
        (b'"text"', "text where"),
        (b"12", "a number where"),
        (b'{"a": "\xff"}', "not UTF-8: byte 0xff"),
        (b'{"a": \0}', "a null byte"),
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
    monkeypatch.setattr(json_rows, "MAX_ROW", 1000)
    monkeypatch.setattr(json_rows, "_CHUNK", 300)
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


def test_one_bad_byte_costs_one_row(tmp_path):
    good = [f'{{"prompt": "q{n}", "answer": "café"}}' for n in range(3)]
    bad = '{"prompt": "q", "answer": "caf\u00e9"}'.encode("cp1252")
    array = b"[" + b", ".join([good[0].encode(), bad, good[1].encode(), good[2].encode()]) + b"]"
    table = "prompt,answer\nq0,caf\u00e9\n".encode() + "q,caf\u00e9\n".encode("cp1252")
    table += "q1,caf\u00e9\nq2,caf\u00e9\n".encode()
    text = "\n".join([good[0], "{bad}", *good[1:]]).encode().replace(b"{bad}", bad)
    for name, data in (("a.jsonl", text), ("a.json", array), ("a.csv", table)):
        found = read(write(tmp_path / name, data))
        assert [v["prompt"] for v in values(found)] == ["q0", "q1", "q2"], name
        ((_, why),) = refusals(found)
        assert why.startswith("not UTF-8: byte 0xe9, 'é' in Windows-1252 (cp1252)"), name


def test_files_put_together_have_marks_in_the_middle(tmp_path):
    data = b"\xef\xbb\xbf" + b'{"a": 1}\n' + b"\xef\xbb\xbf" + b'{"a": 2}\n'
    assert values(read(write(tmp_path / "a.jsonl", data))) == [{"a": 1}, {"a": 2}]


def test_wrong_encodings(tmp_path):
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        for name in ("a.jsonl", "a.csv"):
            found = read(write(tmp_path / name, lines().encode(encoding)))
            assert refusals(found) == [(0, "the file is UTF-16; save it as UTF-8")], encoding
    head = read(write(tmp_path / "b.csv", "größe,answer\na,b\n".encode("cp1252")))
    assert refusals(head)[0][1].startswith("the header: not UTF-8: byte 0xf6, 'ö'")


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_marks(tmp_path, ending, mark):
    """U+2028, U+0085 and a form feed stand inside a line; only a line feed ends it."""
    item = {"prompt": "a\u2028b\u0085c\x0cd", "answer": "e"}
    text = mark + ending.join([json.dumps(item, ensure_ascii=False)] * 2) + ending
    assert values(read(write(tmp_path / "a.jsonl", text))) == [item] * 2
    text = mark + "[" + ending + json.dumps(item, ensure_ascii=False) + ending + "]"
    assert values(read(write(tmp_path / "a.json", text))) == [item]
    text = mark + f"prompt,answer{ending}{item['prompt']},e{ending}"
    assert values(read(write(tmp_path / "a.csv", text))) == [item]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_csv_is_read_whatever_separates_it(tmp_path, separator):
    text = f'prompt{separator}answer\n"one, two; three"{separator}b\na{separator}b{separator}c\n'
    found = read(write(tmp_path / "a.csv", text))
    assert values(found) == [{"prompt": "one, two; three", "answer": "b"}]
    ((line, why),) = refusals(found)
    assert line == 3 and "more fields" in why and csv_rows.SEPARATORS[separator] in why


def test_a_broken_csv_row_costs_no_other(tmp_path):
    found = read(write(tmp_path / "a.csv", 'prompt,answer\na,b\n"c"x,d\ne,f\n"g,h\n'))
    assert [v["prompt"] for v in values(found)] == ["a", "e"]
    assert [line for line, _ in refusals(found)] == [3, 5]
    assert "a quote is not closed" in refusals(found)[1][1]


def test_objects_over_many_lines(tmp_path):
    one = json.dumps(GOOD[0], indent=2, ensure_ascii=False)
    assert values(read(write(tmp_path / "a.json", one))) == [GOOD[0]]
    assert values(read(write(tmp_path / "a.json", one + "\n" + one + ",\n" + one))) == [GOOD[0]] * 3
    text = '{"prompt": \n' + lines()
    found = read(write(tmp_path / "a.jsonl", text))
    assert values(found) == GOOD, "half a line is a bad line, not an object over many"
    assert refusals(found)[0][0] == 1
    cut = read(write(tmp_path / "a.json", one[:-4]))
    assert "the rest was not read" in refusals(cut)[0][1]


def test_what_lies_beside_data_in_a_zip_is_passed_over(tmp_path):
    path = tmp_path / "a.zip"
    beside = ("__MACOSX/._a.jsonl", ".DS_Store", "README.md", "x/LICENSE", "chat.html", "a.png")
    with zipfile.ZipFile(path, "w") as archive:
        for name in beside:
            archive.writestr(name, b"\0\1 no data")
        archive.writestr("x/a.jsonl", lines())
        archive.writestr("b.json.gz", gzip.compress(b"[]"))
    found = read(path)
    assert values(found) == GOOD
    assert refusals(found) == [(0, "gzip inside a zip; unpack it first")]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("chat.html", "<html>")
    assert refusals(read(path)) == [(0, "no JSON, JSONL or CSV in the zip (chat.html)")]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x28\xb5\x2f\xfd0000", "packed by zstd"),
        (b"%PDF-1.7", "a PDF"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"\xef\xbb\xbf<html>", "a web page"),
        (b"a.json" + b"\0" * 251 + b"ustar", "a tar archive"),
    ],
)
def test_what_people_bring_by_mistake_is_named(tmp_path, data, said):
    ((_, why),) = refusals(read(write(tmp_path / "a.json", data)))
    assert said in why


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


@pytest.mark.slow
def test_parquet_bombs(tmp_path, small_limits):
    many = pa.table({"prompt": pa.array(["x" * 50_000] * 4_000).dictionary_encode()})
    pq.write_table(many, tmp_path / "refers.parquet")  # 200 MB of one value
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


@pytest.mark.slow
def test_nothing_but_refusals_comes_out_of_broken_files(tmp_path):
    """Whole files of every kind, with bytes changed, cut out and put in at random places."""
    rng = random.Random(11)
    pq.write_table(pa.Table.from_pylist(GOOD), tmp_path / "a.parquet")
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jsonl", lines())
        archive.writestr("b.csv", "prompt,answer\na,b\n")
    whole = {
        "a.jsonl": lines().encode(),
        "a.json": json.dumps(GOOD, indent=1).encode(),
        "b.json": json.dumps(GOOD[0], indent=1).encode(),
        "a.csv": b'prompt;answer\n"a;\n";b\n',
        "a.jsonl.gz": gzip.compress(lines().encode()),
        "a.zip": (tmp_path / "a.zip").read_bytes(),
    }
    odd = [
        b"\0",
        b"\xff",
        b'"',
        b"{",
        b"]",
        b"\n",
        b"[" * 2000,
        b"\xed\xa0\x80",
        b"\\ud800",
        b"9" * 5000,
    ]
    for _ in range(150):
        for name, data in whole.items():
            for _ in range(rng.randrange(1, 4)):
                at = rng.randrange(len(data) + 1)
                data = data[:at] + rng.choice(odd) + data[at + rng.randrange(5) :]
            loaded = load(Source("s", str(write(tmp_path / name, data))))
            assert loaded.rows >= len(loaded.examples) - 2
    data = (tmp_path / "a.parquet").read_bytes()
    for _ in range(3):
        at = rng.randrange(4, len(data))
        write(tmp_path / "b.parquet", data[:at] + rng.choice(odd) + data[at + 1 :])
        load(Source("s", str(tmp_path / "b.parquet")))
