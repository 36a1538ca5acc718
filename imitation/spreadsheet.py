"""CSV for people to open in a spreadsheet, in which no text of others becomes a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

_STARTS = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
"""How a spreadsheet tells a formula; the wide forms are taken for the narrow by some."""
_NUMBERS = re.compile(r"[-+\d.,%\s\[\]()]*|[-+]?\d[\d.]*e[-+]?\d+|[-+]?(?:nan|inf)", re.IGNORECASE)


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Rows as CSV; None is an empty cell, and a text like a formula gets a ' before it.

    https://owasp.org/www-community/attacks/CSV_Injection
    """
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([_cell(cell) for cell in row] for row in rows)
    return out.getvalue()


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return "" if value is None else value
    value = value.replace("\r\n", "\n").replace("\r", "\n")  # the writer quotes one kind only
    if _STARTS.match(value) and not _NUMBERS.fullmatch(value):
        return f"'{value}"
    return value
