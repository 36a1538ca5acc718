"""How the documentation is built: `make docs`, or `python -m sphinx -W docs build/docs`.

Nothing is fetched while it is built, and the pages need no network to be read: formulas are MathML,
which browsers draw themselves, and there are no fonts or scripts from elsewhere.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import generate  # noqa: E402

project = "Imitation Lab"
author = "Imitation Lab"
copyright = "Apache License 2.0"
try:
    release = metadata.version("imitation-lab")
except metadata.PackageNotFoundError:  # a checkout that was not installed
    release = re.findall(r'^version = "(.*)"', (HERE.parent / "pyproject.toml").read_text(), re.M)[
        0
    ]

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["README.md"]
nitpicky = True

html_theme = "furo"
html_title = f"{project} {release}"
html_math_renderer = "mathml"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1d5fa8", "color-brand-content": "#1d5fa8"},
    "dark_css_variables": {"color-brand-primary": "#7db4ee", "color-brand-content": "#7db4ee"},
}


def _write_generated(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put what `generate` makes of the code where a page asks for it."""
    source[0] = generate.filled(source[0])


def _formula(translator: Any, node: nodes.Element, block: bool) -> None:
    markup = tex2mathml(node.astext(), as_block=block)
    translator.body.append(f"<p>{markup}</p>" if block else markup)
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_html_math_renderer(
        "mathml",
        inline_renderers=(lambda to, node: _formula(to, node, block=False), None),
        block_renderers=(lambda to, node: _formula(to, node, block=True), None),
    )
    app.connect("source-read", _write_generated)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
