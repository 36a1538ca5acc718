"""The slides of the Story page."""

from __future__ import annotations

import re
from html import unescape

from dashboards.paper.figure_page import published_sections
from dashboards.story.page import SLIDES, story_html


def test_every_slide_carries_its_finding_its_figure_and_its_notes() -> None:
    known = {section.id: section for section in published_sections()}
    articles = unescape(story_html()).split("<article")[1:]
    assert len(articles) == len(SLIDES) + 3, "cover, own measurements and the end besides"
    for slide, article in zip(SLIDES, articles[1:], strict=False):
        section = known[slide.section]
        text = re.sub(r"<[^>]+>", "", article)
        assert slide.title in text and section.finding in text
        assert f'data-figure="{slide.figure}" role="img"' in article
        assert all(note in text for note in section.notes)
        assert f'href="gaps#{section.id}"' in article


def test_a_slide_says_its_title_once() -> None:
    known = {section.id: section for section in published_sections()}
    for slide in SLIDES:
        assert not known[slide.section].finding.startswith(slide.title)


def test_no_finding_about_a_section_is_told_twice() -> None:
    assert len({slide.section for slide in SLIDES}) == len(SLIDES)
