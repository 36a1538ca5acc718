"""One way to open text: its mark, its encoding, its lines; and nobody splits lines otherwise."""

import re
from pathlib import Path

import pytest

from imitation.reading.text import NotUtf8, check_bytes, decode, lines_of

ROOT = Path(__file__).parents[2]


def test_lines_end_at_line_feeds_only():
    inside = "a\u2028b\u0085c\x0bd\x0ce\x1cf\rg"
    assert lines_of(f"{inside}\n{inside}\r\n\nend") == [inside, inside, "", "end"]
    assert lines_of("") == []
    assert lines_of("\n") == [""]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("é".encode("cp1252"), "byte 0xe9, 'é' in Windows-1252"),
        (b"\x81", "byte 0x81; save"),
        ("x".encode("utf-16"), "UTF-16"),
        ("some text".encode("utf-16-le"), "UTF-16"),
        ("some text".encode("utf-16-be"), "UTF-16"),
    ],
)
def test_other_encodings_are_named(data, said):
    with pytest.raises(NotUtf8, match=said):
        decode(data)


def test_utf8_with_and_without_a_mark():
    assert decode("\ufeffé".encode()) == decode("é".encode()) == "é"
    assert check_bytes("é\ud83d") == "é\ud83d", "half of an emoji is no byte that was let through"
    with pytest.raises(NotUtf8, match="0xe9"):
        check_bytes(b"caf\xe9".decode("utf-8", "surrogateescape"))


SPLITS = re.compile(r"\.splitlines\(")
MAY = re.compile(r"str\(error\)|stderr|printed")
"""What libraries and programs say, cut to its first or last line for people."""
ELSEWHERE = {
    # Answers as prose or code, where every kind of line end ends a line for their reader too.
    "imitation/evaluation/harness/humaneval_program.py",
    "imitation/evaluation/harness/humaneval_problems.py",
    "imitation/evaluation/judging/rubrics.py", "imitation/evaluation/judging/verdicts.py",
    "imitation/evaluation/sandbox/execute.py", "imitation/models/catalog_writer.py",
}  # fmt: skip


def test_nobody_splits_lines_of_data_another_way():
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for top in ("imitation", "training", "dashboards")
        for path in (ROOT / top).rglob("*.py")
        if str(path.relative_to(ROOT)) not in ELSEWHERE
        for number, line in enumerate(lines_of(path.read_text("utf-8")), 1)
        if SPLITS.search(line) and not MAY.search(line) and "`" not in line
    ]
    assert not found, "use imitation.reading.text.lines_of"
