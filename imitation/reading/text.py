"""Text of files: UTF-8 with or without a byte order mark; lines that end at a line feed only.

`str.splitlines` also splits at U+2028, U+0085, form feeds and more, all of which may stand inside a
line of JSON; `open` leaves a byte order mark in the text. So both are done here, for everybody.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path

BOM = codecs.BOM_UTF8
UTF16 = "the file is UTF-16; save it as UTF-8"

_ESCAPED = re.compile("[\udc80-\udcff]")  # bytes that `errors="surrogateescape"` let through


class NotUtf8(ValueError):
    """Bytes that are not UTF-8, with what they look like."""


def lines_of(text: str) -> list[str]:
    r"""Lines without their ends (`\n` or `\r\n`, nothing else); none of an empty text."""
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def read_text(path: Path) -> str:
    """The whole text of a file, without a byte order mark.

    Raises:
        OSError: It cannot be read.
        NotUtf8: It is in another encoding, which is named.
    """
    return decode(path.read_bytes())


def decode(data: bytes, errors: str = "strict") -> str:
    """UTF-8 as text, without a byte order mark.

    Args:
        data: The bytes.
        errors: "surrogateescape" lets other bytes through, for `check_bytes` to find.

    Raises:
        NotUtf8: It is not; the message says where, and what it looks like.
    """
    if is_utf16(data[:64]):
        raise NotUtf8(UTF16)
    try:
        return data.removeprefix(BOM).decode("utf-8", errors)
    except UnicodeDecodeError as error:
        raise NotUtf8(_not_utf8(error.object[error.start])) from None


def is_utf16(head: bytes) -> bool:
    """Whether a file begins like UTF-16 (or UTF-32): with its mark, or every second byte null."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    return len(head) >= 8 and (not any(head[0:8:2]) or not any(head[1:8:2]))


def check_bytes(text: str) -> str:
    """The text, where no byte of it was let through by `errors="surrogateescape"`.

    Raises:
        NotUtf8: One was.
    """
    if not text.isascii() and (found := _ESCAPED.search(text)):
        raise NotUtf8(_not_utf8(ord(found[0]) - 0xDC00))
    return text


def _not_utf8(byte: int) -> str:
    said = f"not UTF-8: byte 0x{byte:02x}"
    try:
        likely = bytes([byte]).decode("cp1252")
    except UnicodeDecodeError:
        return f"{said}; save the file as UTF-8"
    return f"{said}, {likely!r} in Windows-1252 (cp1252); save the file as UTF-8"
