"""The table of pages: PAGES, in the order of the navigation; the only file that knows them all."""

from __future__ import annotations

from typing import NamedTuple

import gradio as gr

from dashboards.api import page as endpoints
from dashboards.compare import page as compare
from dashboards.compare.form import VOTE_KEYS_JS
from dashboards.data import page as data
from dashboards.evaluate import page as evaluate
from dashboards.finetune import page as finetune
from dashboards.gaps import page as gaps
from dashboards.recorded import page as recorded
from dashboards.shell import scripts, sessions
from dashboards.shell.context import Context, Page
from dashboards.story import page as story
from dashboards.votes import page as votes
from dashboards.votes import rate_page as rate


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


DELETE_UPLOADS = (3600, 86400)
"""How often Gradio's own copies of uploaded files are looked at, and how old they get, seconds.

What is used of them is copied into the data folder at once."""


def head() -> str:
    """Scripts every page needs, for `launch(head=...)`."""
    return scripts.in_head(VOTE_KEYS_JS, scripts.shared("page_links"))


def build_pages(context: Context, title: str) -> gr.Blocks:
    """All pages and the named endpoints as one app called `title`; starts nothing."""
    first, *others = PAGES
    demo = gr.Blocks(title=title, analytics_enabled=False, delete_cache=DELETE_UPLOADS)
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
    sessions.share_defaults(demo)
    return demo
