"""What runs in the browser, one script a file; a page's own scripts lie in its folder."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent


@cache
def shared(name: str) -> str:
    """A script of this folder, by its name without ".js"."""
    return (_FOLDER / f"{name}.js").read_text("utf-8")


def in_head(*scripts: str) -> str:
    """Scripts that every page runs, for `launch(head=...)`."""
    return "".join(f"<script>\n{script}</script>\n" for script in scripts)


CLICK_JS = shared("click")
"""For gr.HTML(js_on_load=...): a click on [data-do] reaches Python with the button's data."""
MESSAGE_JS = shared("message")
"""For a listener's `js`: what Python has to tell the browser, as JSON with a `kind`."""
