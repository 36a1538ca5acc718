"""A table as text: HTML for the page, CSV for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from imitation.spreadsheet import csv_text

MISSING = ("not reported", "not defined")


@dataclass(frozen=True, slots=True)
class Table:
    """A table as text; the first cell of each row names it."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def html(self) -> str:
        """A semantic table in a box of its own that scrolls sideways."""
        head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in self.header)
        body = "".join(f"<tr>{_row(row)}</tr>" for row in self.rows)
        caption = escape(self.caption)
        return (
            f'<div class="lab-scroll" tabindex="0" role="region" aria-label="{caption}">'
            f'<table class="lab-table"><caption>{caption}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )

    def csv(self) -> str:
        """The same cells as CSV."""
        return csv_text([self.header, *self.rows])


def _row(row: Sequence[str]) -> str:
    first, *rest = row
    cells = (
        f'<td class="lab-missing">{escape(c)}</td>' if c in MISSING else f"<td>{escape(c)}</td>"
        for c in rest
    )
    return f'<th scope="row">{escape(first)}</th>' + "".join(cells)
