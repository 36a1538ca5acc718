"""Rows of CSV, whatever separates its fields."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from imitation.data.sources.json_rows import MAX_ROW, Row
from imitation.reading.text import BOM, check_bytes
from imitation.values import Refused

SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
"""What may stand between fields, the likeliest first."""


def read(file: io.BufferedReader[Any], label: str) -> Iterator[Row | Refused]:
    """Rows by the header's names; one that is broken costs no other."""
    csv.field_size_limit(MAX_ROW)
    separator = separator_of(file.peek(1 << 13))
    with io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        reader = csv.DictReader(text, delimiter=separator, strict=True)
        try:
            for name in reader.fieldnames or ():
                check_bytes(name)
        except (csv.Error, ValueError) as error:
            yield Refused(label, 1, f"the header: {error}; nothing was read")
            return
        while True:
            try:
                row = next(reader)
                for value in row.values():
                    check_bytes(value) if isinstance(value, str) else None
            except StopIteration:
                return
            except csv.Error as error:
                if "unexpected end" in str(error):
                    yield Refused(
                        label,
                        reader.reader.line_num,
                        "a quote is not closed; the rest was not read",
                    )
                    return
                yield Refused(label, reader.reader.line_num, str(error))
            except ValueError as error:
                yield Refused(label, reader.reader.line_num, str(error))
            else:
                yield _row(label, reader.reader.line_num, row, separator)


def separator_of(head: bytes) -> str:
    """The separator that splits the header into most names."""
    header = head.removeprefix(BOM).decode("utf-8", "replace").partition("\n")[0]

    def names(separator: str) -> int:
        try:
            return len(next(csv.reader([header], delimiter=separator), ()))
        except csv.Error:
            return 0

    return max(SEPARATORS, key=names)


def _row(label: str, line: int, row: dict[Any, Any], separator: str) -> Row | Refused:
    if None not in row and None not in row.values():
        return Row(label, line, row)
    many = "more" if None in row else "fewer"
    said = f"{many} fields than the header names (read as separated by {SEPARATORS[separator]})"
    return Refused(label, line, said)
