"""The Story page: the study's argument as slides, with what was measured here at its end.

Every number on a slide comes from the published records, as on the Gaps page; the titles claim
something of them, which tests/dashboards/gaps/test_page.py checks with the findings.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from dashboards.paper.figure_page import figure_html, figure_page, prose, published_sections
from dashboards.paper.sections import FigureSlot, Section
from dashboards.shell.context import Context
from dashboards.shell.templates import render
from imitation.published import load_paper

HOW = "Arrow keys turn the slides; F shows them full screen."


class Slide(NamedTuple):
    """A claim, and the section and figure that carry it."""

    title: str
    section: str
    figure: str


SLIDES = (
    Slide("People and GPT-4 are impressed", "judges", "figure-1"),
    Slide("It sounds like ChatGPT", "style", "table-2"),
    Slide("More imitation data does not bring the knowledge", "more-data", "figure-4-top"),
    Slide("One narrow task can be imitated", "broad-local", "table-1"),
    Slide("A better base does what more data does not", "bigger-base", "figure-4-bottom"),
    Slide("Manners come along", "toxicity", "figure-5"),
    Slide("And since then?", "since-then", "since-then"),
)


def build(context: Context) -> None:
    """Add the page."""
    figure_page(context, story_html(), Path(__file__).with_name("story.js"))


def story_html() -> Markup:
    """All slides; the script shows one at a time."""
    known = {section.id: section for section in published_sections()}
    about = load_paper().about
    return render(
        "story/page.html",
        about=about,
        first_author=about["authors"][0].split()[-1],
        slides=[
            (slide.title, known[slide.section], _slot(known[slide.section], slide.figure))
            for slide in SLIDES
        ],
        prose=prose,
        figure=figure_html,
        own_figure=_own_figure(),
        how=HOW,
    )


def _slot(section: Section, figure: str) -> FigureSlot:
    return next(slot for slot in section.figures if slot.id == figure)


def _own_figure() -> Markup:
    """Room for what was measured here, which the script asks for."""
    slot = FigureSlot("own", "Measured in this laboratory", "")
    return figure_html(slot, Section("own", "", "Measured here", "", (slot,), (), ()))
