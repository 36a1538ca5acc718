"""Rows of JSON text: one a line, in an array, or one object over many lines."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import IO, Any

from imitation.reading.json_text import DECODER, parse_json, why
from imitation.reading.text import BOM, check_bytes
from imitation.values import Refused

MAX_ROW = 16_000_000
"""Bytes of one row."""
MAX_DOCUMENT = 64_000_000
"""Bytes of the first row, which may be a whole table in one object."""

_CHUNK = 1 << 20
_SPACE = re.compile(r"[ \t\r\n]*")
_BETWEEN = re.compile(r"[ \t\r\n,]*")


@dataclass(frozen=True, slots=True)
class Row:
    """One row and where it stands: its line, or for arrays and Parquet its number, from 1."""

    file: str
    line: int
    value: Mapping[str, Any]


def read_lines(file: IO[bytes], label: str) -> Iterator[Row | Refused]:
    """Rows of a file with one a line; or of one whose objects are written over many lines."""
    lines = _numbered(file)
    begin = list(islice(((n, line) for n, line in lines if line is None or line.strip()), 2))
    if _is_spread([line for _, line in begin]):
        whole = chain((line for _, line in begin if line), iter(lambda: file.read(_CHUNK), b""))
        yield from _values(whole, label, array=False)
        return
    for number, line in chain(begin, lines):
        if line is None:
            yield Refused(label, number, f"the line is over {MAX_ROW / 1e6:.0f} MB")
        elif line.strip():
            try:
                text = check_bytes(line.decode("utf-8", "surrogateescape"))
                yield _row(label, number, parse_json(text))
            except ValueError as error:
                yield Refused(label, number, str(error))


def _numbered(file: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """Lines with their number, from 1; None where one is too long."""
    number, most = 0, MAX_DOCUMENT
    while line := file.readline(most + 1):
        number += 1
        if len(line) > most and not line.endswith(b"\n"):
            while (rest := file.readline(_CHUNK)) and not rest.endswith(b"\n"):
                pass
            yield number, None
        else:
            yield number, line.removeprefix(BOM)  # at any line, where files were put together
        most = MAX_ROW


def _is_spread(begin: list[bytes | None]) -> bool:
    """Whether the first object goes on in the second line, which is then none of its own."""
    if len(begin) < 2 or not begin[0] or not begin[1] or not begin[0].lstrip().startswith(b"{"):
        return False
    first, second = (line.decode("utf-8", "replace").strip() for line in begin if line)
    try:
        if not isinstance(DECODER.decode(first), dict):
            return False
    except (ValueError, RecursionError) as error:
        at = getattr(error, "pos", None)
        if at is None or at < len(first) - 1:
            return False
    else:
        return False
    try:
        return not isinstance(DECODER.decode(second), dict)
    except (ValueError, RecursionError):
        return True


def read_array(file: IO[bytes], label: str) -> Iterator[Row | Refused]:
    """Elements of an array one by one."""
    yield from _values(iter(lambda: file.read(_CHUNK), b""), label, array=True)


def _values(chunks: Iterator[bytes], label: str, array: bool) -> Iterator[Row | Refused]:
    """Values one by one; after one that is no JSON the rest can't be told apart."""
    text = _Text(chunks)
    number, most = 0, MAX_ROW if array else MAX_DOCUMENT
    if array:
        text.pass_over(_SPACE)
        text.at += 1
    while True:
        text.pass_over(_SPACE if array else _BETWEEN)
        if text.ends() or (array and text.now() == "]"):
            if array and text.ends():
                yield Refused(label, number + 1, "the array is not closed; the file was cut off")
            return
        number += 1
        try:
            value, raw = text.value(most, array)
        except (ValueError, RecursionError) as error:
            yield Refused(label, number, f"{why(error)}; the rest was not read")
            return
        try:
            check_bytes(raw)
            yield _row(label, number, value)
        except ValueError as error:
            yield Refused(label, number, str(error))


class _Text:
    """Text that is read on as more of it is wanted."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._decode: Callable[..., str]
        self._decode = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape").decode
        self._text, self._ended = "", False
        self.at = 0

    def now(self) -> str:
        return self._text[self.at : self.at + 1]

    def ends(self) -> bool:
        """Whether nothing is left."""
        while not self.now() and not self._ended:
            self._more()
        return not self.now()

    def pass_over(self, pattern: re.Pattern[str]) -> None:
        while True:
            match = pattern.match(self._text, self.at)
            self.at = match.end() if match else self.at
            if self.at < len(self._text) or self._ended:
                return
            self._more()

    def value(self, most: int, array: bool) -> tuple[Any, str]:
        """The next value, and the text it was read from."""
        wanted = 0
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self.at)
                after = _SPACE.match(self._text, end)
                end_of_it = after.end() if after else end
                follows = self._text[end_of_it : end_of_it + 1]
                if (array and follows not in (",", "]")) or (not follows and not self._ended):
                    raise json.JSONDecodeError("Expecting ',' delimiter", self._text, end_of_it)
            except json.JSONDecodeError:
                if self._ended or len(self._text) - self.at > most:
                    raise
                wanted = max(_CHUNK, 2 * wanted, len(self._text) - self.at)
                self._more(wanted)
                continue
            raw = self._text[self.at : end]
            self.at = end_of_it + (follows == ",")
            return value, raw

    def _more(self, least: int = 1) -> None:
        parts, got = [self._text[self.at :]], 0
        while got < least and not self._ended:
            data = next(self._chunks, b"")
            self._ended = not data
            parts.append(self._decode(data, not data))
            got += len(data)
        self._text, self.at = "".join(parts), 0


def _row(label: str, line: int, value: object) -> Row:
    if not isinstance(value, dict):
        kind = {list: "a list", str: "text", type(None): "null"}.get(type(value), "a number")
        raise ValueError(f"{kind} where an object in braces is expected")
    return Row(label, line, value)
