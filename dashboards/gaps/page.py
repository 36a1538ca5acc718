"""The Gaps page: every figure and table of the paper, interactive, and what came since."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from dashboards.paper.figure_page import figure_html, figure_page, prose, published_sections
from dashboards.paper.sections import Section
from dashboards.paper.tables import to_csv
from dashboards.shell.context import Context
from imitation.published import load_paper


def build(context: Context) -> None:
    """Add the page."""
    figure_page(context, page_html(published_sections()), Path(__file__).with_name("gaps.js"))


def page_html(found: Sequence[Section]) -> str:
    """The page without its figures' data."""
    about = load_paper().about
    links = [*((s.id, s.chip) for s in found), ("own", "Your runs")]
    chips = "".join(f'<a href="gaps#{anchor}">{escape(chip)}</a>' for anchor, chip in links)
    return (
        '<div class="lab-gaps"><h1 class="lab-title">Gaps</h1>'
        f'<p class="lab-lede">The numbers of <i>{escape(about["title"])}</i> '
        f"({escape(about['authors'][0].split()[-1])} et al., {about['date'][:4]}, arXiv "
        f"{escape(about['arxiv'])}), redrawn. "
        '<b class="lab-role-base lab-key">Base</b> is the language model before imitation, '
        '<b class="lab-role-imitation lab-key">imitation</b> the same model fine-tuned on '
        'ChatGPT\'s answers, and <b class="lab-role-reference lab-key">reference</b> ChatGPT. '
        "Gap closed = (imitation - base) / (reference - base): below 0% the imitation is worse "
        "than its base, and nothing is cut off.</p>"
        f'<nav class="lab-chips" aria-label="Sections">{chips}</nav>'
        + "".join(_section_html(section) for section in found)
        + '<div class="lab-own"></div></div>'
    )


def _section_html(section: Section) -> str:
    title = escape(section.title)
    parts = [
        f'<section class="lab-section" id="{section.id}" data-view="score" data-title="{title}">',
        f'<h2>{title}</h2><p class="lab-finding">{prose(section.finding)}</p>',
        _switch(section),
        *(figure_html(slot, section) for slot in section.figures),
        *(table.html() for table in section.tables),
        *(f'<p class="lab-note">{escape(note)}</p>' for note in section.notes),
        _csv_link(section),
        "</section>",
    ]
    return "".join(parts)


def _switch(section: Section) -> str:
    if not any(record.role == "imitation" for record in section.records):
        return ""
    off = " disabled" if section.no_gap else ""
    why = f'<p class="lab-note">Gap closed is not defined: {escape(section.no_gap)}</p>'
    return (
        '<div class="lab-switch"><div class="lab-seg" role="group" aria-label="Shown as">'
        '<button type="button" data-view="score" aria-pressed="true">Score</button>'
        f'<button type="button" data-view="gap" aria-pressed="false"{off}>Gap closed</button>'
        f"</div>{why if section.no_gap else ''}</div>"
    )


def _csv_link(section: Section) -> str:
    text = to_csv(section.records) or "".join(table.csv() for table in section.tables)
    href = f"data:text/csv;charset=utf-8,{quote(text)}"
    return (
        f'<p class="lab-links"><a href="{href}" download="{section.id}.csv">CSV</a>'
        "<span>every value with its place in the source</span></p>"
    )
