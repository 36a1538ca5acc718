"""The Gaps page: every figure and table of the paper, interactive, and what came since."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from dashboards.paper.figure_page import figure_html, figure_page, prose, published_sections
from dashboards.paper.sections import Section
from dashboards.paper.tables import to_csv
from dashboards.shell.context import Context
from dashboards.shell.templates import render
from imitation.published import load_paper


def build(context: Context) -> None:
    """Add the page."""
    figure_page(context, page_html(published_sections()), Path(__file__).with_name("gaps.js"))


def page_html(sections: Sequence[Section]) -> Markup:
    """The page without its figures' data."""
    about = load_paper().about
    return render(
        "gaps/page.html",
        about=about,
        first_author=about["authors"][0].split()[-1],
        sections=sections,
        prose=prose,
        figure=figure_html,
        has_imitations=_has_imitations,
        csv_link=_csv_link,
    )


def _has_imitations(section: Section) -> bool:
    """Whether there is a share of the gap to switch to."""
    return any(record.role == "imitation" for record in section.records)


def _csv_link(section: Section) -> str:
    """The section's values in the address itself, so that a saved page has them too."""
    text = to_csv(section.records) or "".join(table.csv() for table in section.tables)
    return f"data:text/csv;charset=utf-8,{quote(text)}"
