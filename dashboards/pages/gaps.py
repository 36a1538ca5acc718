"""The Gaps page: every figure and table of the paper, interactive, and what came since.

The page is static HTML and a script that asks for the figures once and draws them: switching
between score and gap closed, light and dark, wide and narrow needs no server, and the tables are
there before any script runs. The figures themselves are drawn at the first visit: starting the app
neither imports Plotly nor draws anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache, lru_cache
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import gradio as gr

from dashboards import own_section
from dashboards.context import Context
from dashboards.figures.measured import OwnScore
from dashboards.gap_sections import FigureSlot, Section, sections
from dashboards.gap_table import to_csv
from dashboards.palette import DARK, LIGHT
from dashboards.published import load_later, load_paper
from dashboards.queries import own_scores

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from dashboards.figures.panels import View

_SCRIPT = Path(__file__).with_name("gaps.js")


def build(context: Context) -> None:
    """Add the page; the store is read when a visitor's script asks for the figures."""

    def gap_figures(_arguments: object = None) -> dict[str, Any]:
        """Every figure, own runs drawn over the paper's."""
        return figures_json(own_scores(context.db, context.jobs.runs))

    def own_runs(wanted: object = None) -> dict[str, Any]:
        """The section of own runs for what its filters are set to: {"html", "figures"}."""
        return own_json(own_scores(context.db, context.jobs.runs), own_section.Choice.of(wanted))

    plotly_js = Path(str(files("plotly") / "package_data" / "plotly.min.js"))
    gr.set_static_paths([plotly_js])
    gr.HTML(
        page_html(_sections()),
        js_on_load=_SCRIPT.read_text(encoding="utf-8"),
        apply_default_css=False,
        server_functions=[gap_figures, own_runs],
        colours=dict(LIGHT.items()),
        dark={
            light: dark for (_, light), (_, dark) in zip(LIGHT.items(), DARK.items(), strict=True)
        },
        plotly=f"/gradio_api/file={plotly_js.as_posix()}",
    )


@lru_cache(maxsize=4)
def figures_json(own: tuple[OwnScore, ...] = ()) -> dict[str, Any]:
    """What the page's script draws: {"template", "figures": {id: {"source", "score", "gap"}}}.

    Figures are Plotly JSON in light colours, without the template they share; "gap" is None where
    no share of the gap is defined.
    """
    from dashboards.figures.gallery import gallery
    from dashboards.figures.template import plotly_template

    template = plotly_template(LIGHT)
    draw = gallery(own)
    figures = {}
    for section in _sections():
        views: list[View] = ["score"] if section.no_gap or not section.records else ["score", "gap"]
        for slot in section.figures:
            made: dict[str, Any] = {"source": slot.source, "gap": None}
            made |= {view: _plain(draw[slot.id](LIGHT, template, view)) for view in views}
            figures[slot.id] = made
    return {"template": template.to_plotly_json(), "figures": figures}


def own_json(own: tuple[OwnScore, ...], choice: own_section.Choice) -> dict[str, Any]:
    """The section of own runs: {"html", "figures": {"own": {"source", "score", "gap"}}}."""
    drawn = own_section.figures(own, choice)
    figures = {}
    if drawn:
        figures["own"] = {
            "source": drawn["source"], "score": _plain(drawn["score"]), "gap": _plain(drawn["gap"]),
        }  # fmt: skip
    return {"html": own_section.own_html(own, choice), "figures": figures}


@cache
def _sections() -> list[Section]:
    return sections(load_paper(), load_later())


def page_html(found: Sequence[Section]) -> str:
    """The page without its figures' data."""
    about = load_paper().about
    links = [*((s.id, s.chip) for s in found), ("own", "Your runs")]
    chips = "".join(f'<a href="#{anchor}">{escape(chip)}</a>' for anchor, chip in links)
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
        f'<h2>{title}</h2><p class="lab-finding">{_prose(section.finding)}</p>',
        _switch(section),
        *(_figure_html(slot, section) for slot in section.figures),
        *(table.html() for table in section.tables),
        *(f'<p class="lab-note">{escape(note)}</p>' for note in section.notes),
        _csv_link(section),
        "</section>",
    ]
    return "".join(parts)


def _prose(text: str) -> str:
    """Escaped, with names that must not break at their hyphen."""
    return re.sub(
        r"\b(?:GPT-4\w?|DeepSeek-R1|BIG-Bench)",
        r'<span class="lab-nowrap">\g<0></span>',
        escape(text),
    )


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


def _figure_html(slot: FigureSlot, section: Section) -> str:
    label = escape(f"{slot.caption}. {section.finding}")
    links = "".join(
        f'<button type="button" data-format="{kind}" data-figure="{slot.id}" '
        f'aria-label="{kind.upper()} of {escape(slot.caption)}">{kind.upper()}</button>'
        for kind in ("png", "svg")
    )
    return (
        f'<figure class="lab-figure"><div class="lab-plot" data-figure="{slot.id}" role="img" '
        f'aria-label="{label}"></div><figcaption class="lab-links">'
        f"<span>{escape(slot.caption)}</span>{links}</figcaption></figure>"
    )


def _csv_link(section: Section) -> str:
    text = to_csv(section.records) or "".join(table.csv() for table in section.tables)
    href = f"data:text/csv;charset=utf-8,{quote(text)}"
    return (
        f'<p class="lab-links"><a href="{href}" download="{section.id}.csv">CSV</a>'
        "<span>every value with its place in the source</span></p>"
    )


def _plain(figure: Figure) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(figure.to_json())
    del plain["layout"]["template"]
    return plain
