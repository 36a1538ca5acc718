"""HTML of the pages, from Jinja templates that escape whatever they are given.

A page's templates lie in its folder: `render("data/mixture.html", sources=...)` reads
`dashboards/data/mixture.html`. What is HTML already (another template's, `shell.markdown.render`'s)
is `Markup` and stays as it is; everything else is escaped, so no view can forget to.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

_FOLDER = Path(__file__).parents[1]


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,  # a misspelt name is an error, not an empty place
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, **values: Any) -> Markup:
    """A template of `dashboards/` filled in.

    Args:
        template: Path from `dashboards/`, such as "data/mixture.html".
        values: What it names.
    """
    return Markup(_environment().get_template(template).render(**values))


def title_html(title: str, lede: str) -> Markup:
    """The head of a page: its name, and what it is for in a sentence or two."""
    return render("shell/title.html", title=title, lede=lede)
