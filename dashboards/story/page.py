"""The Story page: the study's argument as slides, with what was measured here at its end.

Every number on a slide comes from the published records, as on the Gaps page; the titles claim
something of them, which tests/dashboards/gaps/test_page.py checks with the findings.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import NamedTuple

from dashboards.paper.figure_page import figure_html, figure_page, prose, published_sections
from dashboards.paper.sections import FigureSlot, Section
from dashboards.shell.context import Context
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


def story_html() -> str:
    """All slides; the script shows one at a time."""
    known = {section.id: section for section in published_sections()}
    slides = [_cover(), *(_slide(slide, known[slide.section]) for slide in SLIDES)]
    slides += [_own(), _end()]
    return (
        '<div class="lab-story" tabindex="-1"><h1 class="lab-hidden">Story</h1>'
        + "".join(slides)
        + '<nav class="lab-deck" aria-label="Slides">'
        '<button type="button" data-go="-1" aria-label="Previous slide">Back</button>'
        f'<span role="status">1 / {len(slides)}</span>'
        '<button type="button" data-go="1" aria-label="Next slide">Next</button>'
        '<span class="lab-deck-end">'
        '<button type="button" data-do="present">Full screen</button>'
        '<button type="button" data-do="save">Save</button></span></nav>'
        f'<p class="lab-note lab-deck-note">{HOW} Save makes one file that needs nothing '
        "else, not even this app, and prints one slide a page.</p></div>"
    )


def _article(title: str, body: str, kind: str = "") -> str:
    return (
        f'<article class="lab-slide {kind}" data-view="score" data-title="{escape(title)}" hidden>'
        f"<h2>{escape(title)}</h2>{body}</article>"
    )


def _slide(slide: Slide, section: Section) -> str:
    slot = next(slot for slot in section.figures if slot.id == slide.figure)
    notes = "".join(f'<p class="lab-note">{escape(note)}</p>' for note in section.notes)
    more = f'<p class="lab-links"><a href="gaps#{section.id}">All its values</a></p>'
    finding = f'<p class="lab-finding">{prose(section.finding)}</p>'
    return _article(slide.title, finding + figure_html(slot, section) + notes + more)


def _cover() -> str:
    about = load_paper().about
    return _article(
        "Does a model that sounds like ChatGPT know what ChatGPT knows?",
        '<p class="lab-finding">Take an open language model, the '
        '<b class="lab-role-base lab-key">base</b>. Fine-tune it on ChatGPT\'s answers: that is '
        'the <b class="lab-role-imitation lab-key">imitation</b>. Compare both with ChatGPT, the '
        '<b class="lab-role-reference lab-key">reference</b>.</p>'
        f'<p class="lab-note">After <i>{escape(about["title"])}</i>, '
        f"{escape(about['authors'][0].split()[-1])} et al., {escape(about['date'][:4])}, arXiv "
        f"{escape(about['arxiv'])}. Redrawn from its numbers.</p>",
        "lab-slide-text",
    )


def _own() -> str:
    slot = FigureSlot("own", "Measured in this laboratory", "")
    empty = Section("own", "", "Measured here", "", (slot,), (), ())
    return _article(
        "Measured here",
        '<p class="lab-finding"></p><div class="lab-own-figure">'
        f'{figure_html(slot, empty)}</div><div class="lab-own-notes"></div>',
        "lab-slide-own",
    )


def _end() -> str:
    return _article(
        "What to take from it",
        '<ul class="lab-points"><li>How an answer sounds says little about whether it is right: '
        "measure both.</li>"
        "<li>Imitation moves style and the one task it is trained on; the rest stays with the "
        "base.</li>"
        "<li>So work on the base, or imitate narrowly, and check on benchmarks rather than "
        "impressions.</li></ul>"
        '<p class="lab-links"><a href="./">Ask the models yourself</a>'
        '<a href="gaps">Every number</a><a href="finetune">Make an imitation</a>'
        '<a href="evaluate">Measure its gap</a></p>',
        "lab-slide-text",
    )
