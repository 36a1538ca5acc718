"""What figures need in the browser: Plotly, the colours of dark mode, the scripts that draw."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import gradio as gr

from dashboards.shell.palette import DARK, LIGHT
from dashboards.shell.scripts import shared

_PLOTLY = Path(str(files("plotly") / "package_data" / "plotly.min.js"))


@cache  # Gradio keeps a list of the files it may serve, and appends
def drawing() -> dict[str, Any]:
    """The settings `drawing.js` looks for: {"dark": {light colour: dark one}, "plotly": path}."""
    gr.set_static_paths([_PLOTLY])
    dark = {one: other for (_, one), (_, other) in zip(LIGHT.items(), DARK.items(), strict=True)}
    return {"dark": dark, "plotly": f"/gradio_api/file={_PLOTLY.as_posix()}"}


def figure_component(html: str, elem_id: str) -> gr.HTML:
    """A figure of its own component: its value is Plotly JSON in light colours, None hides it.

    Args:
        html: A `figure` with a `.lab-plot` and buttons[data-format] in it.
        elem_id: Of the component.
    """
    return gr.HTML(
        None,
        html_template=html,
        js_on_load=shared("drawing") + shared("figure"),
        apply_default_css=False,
        elem_id=elem_id,
        **drawing(),
    )
