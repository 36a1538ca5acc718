"""Rows of data files as they come, never the whole file at once; what is no row is refused.

JSONL, JSON, CSV and Parquet, plain, gzipped or in a zip, told apart by their first bytes (CSV by
its name). Sizes are checked while reading, so a small file cannot unfold into a flood.
"""

from __future__ import annotations

import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from imitation.data.sources import csv_rows, json_rows
from imitation.data.sources.json_rows import Row
from imitation.errors import UserError
from imitation.reading import parquet
from imitation.reading.text import BOM, UTF16, is_utf16
from imitation.values import Refused

__all__ = ["Row", "read_file"]

MAX_UNFOLDED = 200
"""A compressed file may become this many times larger, once beyond FREE_UNFOLDING."""
FREE_UNFOLDING = 64_000_000
"""Bytes that any compressed file may become."""
GIVE_UP = 1_000
"""Refused rows after which a file without a single good one is left."""

_BUFFER = 1 << 20
_DATA = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".txt", ".parquet", ".gz")
_BESIDE = re.compile(
    r"(^|/)(__MACOSX/|\._|\.DS_Store$|Thumbs\.db$|desktop\.ini$)"
    r"|(^|/)(readme|licen[sc]es?|notice|changelog|citation|copying)(\.\w+)?$",
    re.IGNORECASE,
)
"""Files that lie in an archive beside its data."""
_PACKED = {b"PAR1": "Parquet", b"PK\x03\x04": "a zip", b"\x1f\x8b": "gzip"}
_OTHERS = {
    b"\x28\xb5\x2f\xfd": "packed by zstd",
    b"\xfd7zXZ\0": "packed by xz",
    b"BZh": "packed by bzip2",
    b"7z\xbc\xaf": "packed by 7-Zip",
    b"Rar!": "packed by RAR",
    b"%PDF": "a PDF",
    b"SQLite format 3\0": "an SQLite database",
    b"ARROW1": "Arrow IPC",
    b"<!doctype": "a web page",
    b"<html": "a web page",
}
"""First bytes of what people bring by mistake."""


class UnfoldsTooFar(Exception):
    """A compressed file became larger than any text does."""


_BROKEN = (
    UnfoldsTooFar, OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, ValueError,
)  # fmt: skip
"""What gzip and zipfile raise on broken files (ValueError on headers that contradict)."""


def read_file(path: Path, label: str = "") -> Iterator[Row | Refused]:
    """Rows of a file in order, refusals among them under the name `label`.

    Raises:
        UserError: The file cannot be opened, or is no regular file.
    """
    label = label or path.name[:200]
    try:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist or is no regular file"
            raise UserError(f"{path} {what}.", "Name a JSON, JSONL, Parquet or CSV file.")
        opened = path.open("rb")
    except (OSError, ValueError) as error:  # ValueError: a null byte
        why = getattr(error, "strerror", None) or error
        raise UserError(f"{path} cannot be read: {why}.") from error
    with opened:
        yield from _until_hopeless(_opened(opened, path, label), label)


def _opened(file: io.BufferedReader[Any], path: Path, label: str) -> Iterator[Row | Refused]:
    head = file.peek(4)[:4]
    size = path.stat().st_size
    try:
        if head == b"PAR1":
            yield from _parquet(path, max(FREE_UNFOLDING, MAX_UNFOLDED * size), label)
        elif head == b"PK\x03\x04":
            yield from _zip(file, label)
        elif head[:2] == b"\x1f\x8b":
            with gzip.open(file) as inner:
                name = re.sub(r"\.gz$", "", path.name, flags=re.IGNORECASE)
                yield from _text(_limited(inner, size), name, label)
        else:
            yield from _text(file, path.name, label)
    except _BROKEN as error:
        yield Refused(label, 0, f"{error}; the rest of the file was not read")


def _zip(file: IO[bytes], label: str) -> Iterator[Row | Refused]:
    """Members are read from inside; nothing is unpacked, so their names lead nowhere."""
    with zipfile.ZipFile(file) as archive:
        members = _members(archive)
        if not members:
            names = ", ".join(archive.namelist()[:5])[:200]
            yield Refused(label, 0, f"no JSON, JSONL or CSV in the zip ({names or 'it is empty'})")
        for member in members:
            place = f"{label}:{member.filename[:200]}"
            if member.flag_bits & 1:
                yield Refused(place, 0, "encrypted")
                continue
            with archive.open(member) as inner:
                limited = _limited(inner, member.compress_size)
                head = limited.peek(4)
                if kind := next((k for magic, k in _PACKED.items() if head.startswith(magic)), ""):
                    yield Refused(place, 0, f"{kind} inside a zip; unpack it first")
                else:
                    yield from _text(limited, member.filename, place)


def _members(archive: zipfile.ZipFile) -> Sequence[zipfile.ZipInfo]:
    """The members that can be data: by their ending, where any has one of those."""
    files = [m for m in archive.infolist() if not m.is_dir() and not _BESIDE.search(m.filename)]
    endings = [Path(m.filename).suffix.lower() for m in files]
    return [m for m, ending in zip(files, endings, strict=True) if not ending or ending in _DATA]


class _Limited(io.RawIOBase):
    """A stream that ends in an error once it has grown too large for its compressed size."""

    def __init__(self, inner: IO[bytes] | io.BufferedIOBase, compressed: int) -> None:
        self._inner = inner
        self._left = max(FREE_UNFOLDING, MAX_UNFOLDED * compressed)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._inner.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise UnfoldsTooFar(f"it unfolds to over {MAX_UNFOLDED} times its size, like a bomb")
        buffer[: len(data)] = data
        return len(data)


def _limited(inner: IO[bytes] | io.BufferedIOBase, compressed: int) -> io.BufferedReader[Any]:
    return io.BufferedReader(_Limited(inner, compressed), _BUFFER)


def _text(stream: io.BufferedReader[Any], name: str, label: str) -> Iterator[Row | Refused]:
    head = stream.peek(512)[:512]
    if is_utf16(head):
        yield Refused(label, 0, UTF16)
    elif kind := _other(head):
        yield Refused(label, 0, f"the file is {kind}, none of JSON, JSONL, CSV and Parquet")
    elif name.lower().endswith((".csv", ".tsv")):
        yield from csv_rows.read(stream, label)
    elif head.removeprefix(BOM).lstrip().startswith(b"["):
        yield from json_rows.read_array(stream, label)
    else:
        yield from json_rows.read_lines(stream, label)


def _other(head: bytes) -> str:
    start = head.removeprefix(BOM).lstrip().lower()
    if head[257:262] == b"ustar":
        return "a tar archive"
    return next((k for m, k in _OTHERS.items() if head.startswith(m) or start.startswith(m)), "")


def _parquet(path: Path, limit: int, label: str) -> Iterator[Row | Refused]:
    number = 0
    try:
        for value in parquet.rows_of(path, limit):
            number += 1
            yield Row(label, number, value)
    except parquet.Unreadable as error:
        yield Refused(label, number and number + 1, f"{error}; the rest of it was not read")


def _until_hopeless(found: Iterator[Row | Refused], label: str) -> Iterator[Row | Refused]:
    good = bad = 0
    for item in found:
        yield item
        good, bad = good + isinstance(item, Row), bad + isinstance(item, Refused)
        if not good and bad >= GIVE_UP:
            yield Refused(
                label, 0, f"the first {GIVE_UP:,} rows were all refused; the rest was not read"
            )
            return
