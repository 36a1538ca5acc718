"""Rows of a file of recorded outputs, each with its line; what is no row is refused, not fatal.

Reads JSONL, a JSON array and Parquet, told apart by their first bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from imitation.errors import UserError
from imitation.reading import parquet
from imitation.reading.text import BOM, UTF16, check_bytes, is_utf16
from imitation.text import clean_values
from imitation.values import Refused

MAX_LINE = 8_000_000
"""Bytes of one JSONL line."""
MAX_FILE = 256_000_000
"""Bytes of one file."""
GIVE_UP = 1_000
"""Refused lines after which a file without a single good one is left."""
WHOLE_FILE = 0
"""Line number of a refusal that concerns the whole file."""

_SPACE = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class Row:
    """One JSON object and the line it began on (for Parquet: its row number, from 1)."""

    line: int
    value: dict[str, Any]


def read_rows(path: Path, label: str) -> Iterator[Row | Refused]:
    """Rows of `path` in order, refusals among them under the name `label`.

    Raises:
        UserError: The file cannot be opened.
    """
    try:
        size = path.stat().st_size
        file = path.open("rb")
    except OSError as error:
        raise UserError(
            f"{label} cannot be read: {error.strerror or error}.", "Check the path."
        ) from error
    with file:
        if size > MAX_FILE:
            reason = f"the file has {size / 1e6:,.0f} MB, the limit is {MAX_FILE / 1e6:,.0f} MB"
            yield Refused(label, WHOLE_FILE, reason + "; split it")
            return
        head = file.read(4096)
        file.seek(0)
        if head.startswith(b"PAR1"):
            found = _parquet(path, label)
        elif is_utf16(head):
            found = iter([Refused(label, WHOLE_FILE, UTF16)])
        elif head.removeprefix(BOM).lstrip().startswith(b"["):
            found = _array(file.read(), label)
        else:
            found = _lines(file, label)
        yield from _until_hopeless(found, label)


def _until_hopeless(found: Iterator[Row | Refused], label: str) -> Iterator[Row | Refused]:
    good = bad = 0
    for item in found:
        yield item
        good, bad = good + isinstance(item, Row), bad + isinstance(item, Refused)
        if not good and bad >= GIVE_UP:
            reason = f"the first {GIVE_UP:,} lines were all refused; the rest was not read"
            yield Refused(label, WHOLE_FILE, reason)
            return


def _lines(file: BinaryIO, label: str) -> Iterator[Row | Refused]:
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE and not line.endswith(b"\n"):
            length = len(line)
            while rest := file.readline(1_000_000):
                length += len(rest)
                if rest.endswith(b"\n"):
                    break
            reason = f"the line has {length / 1e6:,.1f} MB, the limit is {MAX_LINE / 1e6:,.0f} MB"
            yield Refused(label, number, reason)
            continue
        line = line.removeprefix(BOM)  # at any line, where files were put together
        if line.strip():
            try:
                yield _row(number, json.loads(_decoded(line.rstrip())))
            except (ValueError, RecursionError) as error:
                yield Refused(label, number, _why(error))


def _decoded(line: bytes) -> str:
    if (at := line.find(b"\0")) >= 0:
        raise ValueError(f"a null byte at position {at + 1}")
    return check_bytes(line.decode("utf-8", "surrogateescape"))


def _row(line: int, value: object) -> Row:
    if not isinstance(value, dict):
        kind = {list: "a list", str: "text", type(None): "null"}.get(type(value), "a number")
        raise ValueError(f"{kind} where an object in braces is expected")
    return Row(line, clean_values(value))


def _why(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} at column {error.colno}"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    # CPython's refusal of integers of more than 4,300 digits comes as a plain ValueError.
    return "a number with too many digits" if "digits" in str(error) else str(error)


def _array(data: bytes, label: str) -> Iterator[Row | Refused]:
    """Elements one by one, so that a broken one is refused by its own line."""
    text = data.removeprefix(BOM).decode("utf-8", "surrogateescape")
    decoder = json.JSONDecoder()
    line, counted, number = 1, 0, 0
    at = _skip(text, text.index("[") + 1)
    # Pretty-printed elements all begin with the same indentation: where to go on after a bad one.
    start = text.rfind("\n", 0, at)
    again = text[start:at] + "{" if start >= 0 else None
    while text[at : at + 1] != "]":
        number += 1
        line, counted = line + text.count("\n", counted, at), at
        try:
            value, end = decoder.raw_decode(text, at)
            raw, end = text[at:end], _skip(text, end)
            if text[end : end + 1] not in (",", "]"):
                raise json.JSONDecodeError("Expecting ',' delimiter", text, end)
            at = end if text[end] == "]" else _skip(text, end + 1)
        except (ValueError, RecursionError) as error:
            following = text.find(again, at + 1) if again else -1
            rest = "" if following >= 0 else "; the rest of the file was not read"
            yield Refused(label, line, f"item {number}: {_why(error)}{rest}")
            if following < 0:
                return
            at = following + len(again or "") - 1
            continue
        try:
            check_bytes(raw)
            yield _row(line, value)
        except ValueError as error:
            yield Refused(label, line, f"item {number}: {error}")


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _parquet(path: Path, label: str) -> Iterator[Row | Refused]:
    try:
        for number, value in enumerate(parquet.rows_of(path, MAX_FILE), 1):
            yield Row(number, value)
    except (parquet.Unreadable, OSError) as error:
        yield Refused(label, WHOLE_FILE, f"{error}; the rest was not read")
