"""A table as text: HTML for the page, CSV for people."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from dashboards.shell.templates import render
from imitation.spreadsheet import csv_text

MISSING = ("not reported", "not defined")
"""Cells that hold no value, shown so."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table as text; the first cell of each row names it."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def html(self) -> Markup:
        """A semantic table in a box of its own that scrolls sideways."""
        return render("shell/table.html", table=self, missing=MISSING)

    def csv(self) -> str:
        """The same cells as CSV."""
        return csv_text([self.header, *self.rows])
