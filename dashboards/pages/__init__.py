"""One file a page; PAGES is the table of them, in the order of the navigation."""

from __future__ import annotations

import inspect
from typing import NamedTuple

import gradio as gr

from dashboards.compare_form import KEYS_JS
from dashboards.context import Context, Page
from dashboards.pages import (
    compare,
    data,
    endpoints,
    evaluate,
    finetune,
    gaps,
    rate,
    recorded,
    story,
    votes,
)


class Route(NamedTuple):
    """A page's name in the navigation, its address, what builds it, and whether it is listed."""

    title: str
    path: str
    build: Page
    listed: bool = True


PAGES = (
    Route("Compare", "/", compare.build),
    Route("Votes", "/votes", votes.build),
    Route("Gaps", "/gaps", gaps.build),
    Route("Recorded", "/recorded", recorded.build),
    Route("Data", "/data", data.build),
    Route("Fine-tune", "/finetune", finetune.build),
    Route("Evaluate", "/evaluate", evaluate.build),
    Route("Story", "/story", story.build),
    Route("Rate", "/rate", rate.build, listed=False),
)


def head() -> str:
    """Scripts every page needs, for `launch(head=...)`."""
    return KEYS_JS


def build_pages(context: Context, title: str) -> gr.Blocks:
    """All pages and the named endpoints as one app called `title`; starts nothing."""
    first, *others = PAGES
    demo = gr.Blocks(title=title, analytics_enabled=False)
    for page in others:
        demo.route(page.title, page.path, show_in_navbar=page.listed)
    # One `with` for all pages: leaving it builds the whole server, each time.
    with demo:
        demo.current_page = first.path.strip("/")
        endpoints.build(context)  # first: their names must not be taken
        for page in PAGES:
            demo.current_page = page.path.strip("/")
            gr.Navbar(main_page_name=first.title)
            page.build(context)
    _remember_signatures(demo)
    return demo


def _remember_signatures(demo: gr.Blocks) -> None:
    """Work out the signature of each kind of component once.

    Gradio asks for it anew for every component and every new visitor, in the event loop: that
    alone took 20 ms, in which no answer moves.
    """
    for kind in {type(block) for block in demo.blocks.values()}:
        signature = inspect.signature(kind.__init__)
        kind.__init__.__signature__ = signature  # type: ignore[attr-defined]
