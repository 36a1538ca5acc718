"""Pages of static HTML whose figures a script asks for once and draws.

Switching between score and gap closed, light and dark, wide and narrow needs no server. The
figures themselves are made at the first visit: starting the app neither imports Plotly nor draws
anything.
"""

from __future__ import annotations

import json
import re
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from markupsafe import Markup, escape

from dashboards.paper import local_section
from dashboards.paper.sections import FigureSlot, Section, sections
from dashboards.shell.context import Context
from dashboards.shell.drawing import drawing
from dashboards.shell.figures.local_scores import LocalScore
from dashboards.shell.palette import LIGHT
from dashboards.shell.queries import local_scores
from dashboards.shell.scripts import shared
from dashboards.shell.templates import render
from imitation.published import load_later, load_paper

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from dashboards.shell.figures.panels import View


def figure_page(context: Context, html: str, script: Path) -> gr.HTML:
    """A page's content.

    Args:
        context: Its store is read when a visitor's script asks for the figures.
        html: Sections; a `.lab-plot[data-figure]` in them is drawn.
        script: The page's own; run after `plots.js` in the same function.
    """

    def gap_figures(_arguments: object = None) -> dict[str, Any]:
        """Every figure, what was measured here drawn over the paper's."""
        return figures_json(local_scores(context.db, context.jobs.runs))

    def local_runs(wanted: object = None) -> dict[str, Any]:
        """The section of local runs for what its filters are set to: {"html", "figures"}."""
        return local_json(
            local_scores(context.db, context.jobs.runs), local_section.Choice.of(wanted)
        )

    return gr.HTML(
        html,
        js_on_load=shared("drawing") + shared("plots") + script.read_text("utf-8"),
        apply_default_css=False,
        server_functions=[gap_figures, local_runs],
        colours=dict(LIGHT.items()),
        **drawing(),
    )


@lru_cache(maxsize=4)
def figures_json(scores: tuple[LocalScore, ...] = ()) -> dict[str, Any]:
    """What the page's script draws: {"template", "figures": {id: {"source", "score", "gap"}}}.

    Figures are Plotly JSON in light colours, without the template they share; "gap" is None where
    no share of the gap is defined.
    """
    from dashboards.paper.gallery import gallery
    from dashboards.shell.figures.template import plotly_template

    template = plotly_template(LIGHT)
    draw = gallery(scores)
    figures = {}
    for section in published_sections():
        views: list[View] = ["score"] if section.no_gap or not section.records else ["score", "gap"]
        for slot in section.figures:
            drawn: dict[str, Any] = {"source": slot.source, "gap": None}
            drawn |= {view: _plain(draw[slot.id](LIGHT, template, view)) for view in views}
            figures[slot.id] = drawn
    return {"template": template.to_plotly_json(), "figures": figures}


def local_json(scores: tuple[LocalScore, ...], choice: local_section.Choice) -> dict[str, Any]:
    """The section of local runs: {"html", "figures": {"own": {"source", "score", "gap"}}}."""
    drawn = local_section.figures(scores, choice)
    figures = {}
    if drawn:
        figures["own"] = {
            "source": drawn["source"], "score": _plain(drawn["score"]), "gap": _plain(drawn["gap"]),
        }  # fmt: skip
    return {"html": local_section.section_html(scores, choice), "figures": figures}


@cache
def published_sections() -> list[Section]:
    """The sections of the paper and of what came since."""
    return sections(load_paper(), load_later())


def prose(text: str) -> Markup:
    """Escaped, with names that must not break at their hyphen."""
    return Markup(
        re.sub(
            r"\b(?:GPT-4\w?|DeepSeek-R1|BIG-Bench)",
            r'<span class="lab-nowrap">\g<0></span>',
            str(escape(text)),
        )
    )


def figure_html(slot: FigureSlot, section: Section) -> Markup:
    """Room for a figure, its caption and its downloads."""
    label = f"{slot.caption}. {section.finding}"
    return render("paper/figure.html", id=slot.id, label=label, caption=slot.caption, slot=True)


def _plain(figure: Figure) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(figure.to_json())
    del plain["layout"]["template"]
    return plain
