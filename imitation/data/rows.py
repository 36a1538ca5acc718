"""Rows of data files as they come, never the whole file at once; what is no row is refused.

JSONL, JSON arrays, CSV and Parquet, plain, gzipped or in a zip, told apart by their first bytes
(CSV by its name). Sizes are checked while reading, so a small file cannot unfold into a flood.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from imitation.errors import UserError
from imitation.values import Refused

MAX_ROW = 16_000_000
"""Bytes of one JSON row (characters of one CSV field)."""
MAX_UNFOLDED = 200
"""A compressed file may become this many times larger, once beyond FREE_UNFOLDING."""
FREE_UNFOLDING = 64_000_000
"""Bytes that any compressed file may become."""
GIVE_UP = 1_000
"""Refused rows after which a file without a single good one is left."""

_BATCH = 512_000_000  # bytes that a batch of Parquet rows may take at worst
_BOM = b"\xef\xbb\xbf"
_CHUNK = 1 << 20
_SPACE = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class Row:
    """One row and where it stands: its line, or for arrays and Parquet its number, from 1."""

    file: str
    line: int
    value: Mapping[str, Any]


def read_file(path: Path, label: str = "") -> Iterator[Row | Refused]:
    """Rows of a file in order, refusals among them under the name `label`.

    Raises:
        UserError: The file cannot be opened, or is no regular file.
    """
    label = label or path.name
    try:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist or is no regular file"
            raise UserError(f"{path} {what}.", "Name a JSON, JSONL, Parquet or CSV file.")
        opened = path.open("rb")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    with opened:
        yield from _until_hopeless(_opened(opened, path.name, label), label)


def _opened(file: io.BufferedReader[Any], name: str, label: str) -> Iterator[Row | Refused]:
    head = file.read(4)
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    try:
        if head == b"PAR1":
            yield from _parquet(file, size, label)
        elif head == b"PK\x03\x04":
            yield from _zip(file, label)
        elif head[:2] == b"\x1f\x8b":
            with gzip.open(file) as inner:
                limited = io.BufferedReader(_Limited(inner, size), _CHUNK)
                yield from _text(limited, name.removesuffix(".gz"), label)
        else:
            yield from _text(file, name, label)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, UnfoldsTooFar) as error:
        yield Refused(label, 0, f"{error}; the rest of the file was not read")


def _zip(file: IO[bytes], label: str) -> Iterator[Row | Refused]:
    """Members are read from inside; nothing is unpacked, so their names lead nowhere."""
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            place = f"{label}:{member.filename}"
            if member.flag_bits & 1:
                yield Refused(place, 0, "encrypted")
                continue
            with archive.open(member) as inner:
                limited = io.BufferedReader(_Limited(inner, member.compress_size), _CHUNK)
                if limited.peek(4)[:4] in (b"PAR1", b"PK\x03\x04"):
                    yield Refused(place, 0, "Parquet or zip inside a zip; unpack it first")
                else:
                    yield from _text(limited, member.filename, place)


class UnfoldsTooFar(Exception):
    """A compressed file became larger than any text does."""


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


def _text(stream: io.BufferedReader[Any], name: str, label: str) -> Iterator[Row | Refused]:
    head = stream.peek(64)[:64]
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        yield Refused(label, 0, "the file is UTF-16; save it as UTF-8")
    elif name.lower().endswith((".csv", ".tsv")):
        yield from _csv(stream, "\t" if name.lower().endswith("tsv") else ",", label)
    elif head.removeprefix(_BOM).lstrip().startswith(b"["):
        yield from _array(stream, label)
    else:
        yield from _lines(stream, label)


def _lines(file: IO[bytes], label: str) -> Iterator[Row | Refused]:
    number = 0
    while line := file.readline(MAX_ROW + 1):
        number += 1
        if len(line) > MAX_ROW and not line.endswith(b"\n"):
            while (rest := file.readline(_CHUNK)) and not rest.endswith(b"\n"):
                pass
            yield Refused(label, number, f"the line is over {MAX_ROW / 1e6:.0f} MB")
            continue
        line = line.removeprefix(_BOM) if number == 1 else line
        if line.strip():
            try:
                yield _row(label, number, json.loads(line.decode("utf-8")))
            except (ValueError, RecursionError) as error:
                yield Refused(label, number, _why(error))


def _array(file: IO[bytes], label: str) -> Iterator[Row | Refused]:
    """Elements one by one; after one that is no JSON the rest of the array can't be told apart."""
    decode = codecs.getincrementaldecoder("utf-8-sig")().decode
    parse = json.JSONDecoder().raw_decode
    text, number, ended = "", 0, False
    at, began = 0, False
    while True:
        at = _skip(text, at)
        if not began and text[at : at + 1] == "[":
            began, at = True, _skip(text, at + 1)
        if began and text[at : at + 1] == "]":
            return
        try:
            value, end = parse(text, at)
            end = _skip(text, end)
            if text[end : end + 1] not in (",", "]"):
                raise json.JSONDecodeError("Expecting ',' delimiter", text, end)
        except (ValueError, RecursionError) as error:
            if ended or len(text) - at > MAX_ROW or isinstance(error, RecursionError):
                yield Refused(label, number + 1, f"{_why(error)}; the rest was not read")
                return
            try:
                data = file.read(max(_CHUNK, len(text) - at))
                text, at = text[at:] + decode(data, not data), 0
            except UnicodeDecodeError as wrong:
                yield Refused(label, number + 1, f"{_why(wrong)}; the rest was not read")
                return
            ended = not data
            continue
        number += 1
        at = end + 1 if text[end] == "," else end
        try:
            yield _row(label, number, value)
        except ValueError as error:
            yield Refused(label, number, str(error))


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _csv(file: Any, separator: str, label: str) -> Iterator[Row | Refused]:
    csv.field_size_limit(MAX_ROW)
    with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        reader = csv.DictReader(text, delimiter=separator, strict=True)
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except (csv.Error, UnicodeDecodeError) as error:
                reason = f"{_why(error)}; the rest was not read"
                yield Refused(label, reader.line_num + 1, reason)
                return
            if None in row or None in row.values():
                many = "more" if None in row else "fewer"
                yield Refused(label, reader.line_num, f"{many} fields than the header names")
            else:
                yield Row(label, reader.line_num, row)


def _parquet(file: IO[bytes], size: int, label: str) -> Iterator[Row | Refused]:
    import pyarrow  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    limit = max(FREE_UNFOLDING, MAX_UNFOLDED * size)
    number = read = 0
    try:
        with pyarrow.parquet.ParquetFile(file) as opened:
            groups = [opened.metadata.row_group(g) for g in range(opened.num_row_groups)]
            if sum(group.total_byte_size for group in groups) > limit:
                raise UnfoldsTooFar(f"it unfolds to over {MAX_UNFOLDED} times its size")
            # One long value that a million rows refer to unfolds only here, so a few at a time.
            chunks = [
                g.column(c).total_uncompressed_size for g in groups for c in range(g.num_columns)
            ]
            few = max(1, min(500, _BATCH // max(chunks, default=1)))
            for batch in opened.iter_batches(batch_size=few):
                for value in batch.to_pylist():
                    number += 1
                    read += _characters(value)
                    if read > limit:
                        raise UnfoldsTooFar(f"it unfolds to over {MAX_UNFOLDED} times its size")
                    yield Row(label, number, value)
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        yield Refused(label, number and number + 1, f"not a readable Parquet file: {first}")


def _characters(value: object) -> int:
    if isinstance(value, (str, bytes)):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_characters, value.values()))
    return sum(map(_characters, value)) if isinstance(value, list) else 8


def _row(label: str, line: int, value: object) -> Row:
    if not isinstance(value, dict):
        kind = {list: "a list", str: "text", type(None): "null"}.get(type(value), "a number")
        raise ValueError(f"{kind} where an object in braces is expected")
    return Row(label, line, value)


def _why(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg}"
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8: byte 0x{error.object[error.start]:02x}"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    # CPython's refusal of integers of more than 4,300 digits comes as a plain ValueError.
    return "a number with too many digits" if "digits" in str(error) else str(error)


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
