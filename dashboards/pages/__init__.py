"""One file a page; PAGES is the table of them, in the order of the navigation."""

from __future__ import annotations

from typing import NamedTuple

from dashboards.compare_form import KEYS_JS
from dashboards.context import Page
from dashboards.pages import compare, data, evaluate, finetune, gaps, rate, recorded, votes


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
    Route("Rate", "/rate", rate.build, listed=False),
)


def head() -> str:
    """Scripts every page needs, for `launch(head=...)`."""
    return KEYS_JS
