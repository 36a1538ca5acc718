"""The Plotly template of every figure."""

from __future__ import annotations

import plotly.graph_objects as go

from dashboards.shell.palette import Palette

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def plotly_template(palette: Palette) -> go.layout.Template:
    """Transparent template: quiet grid, no legend, no fill; text in the palette's soft ink."""
    axis = {
        "gridcolor": palette.line,
        "linecolor": palette.line,
        "zerolinecolor": palette.line,
        "tickfont": {"color": palette.soft, "size": 13},
        "title": {"font": {"color": palette.soft, "size": 13}},
        "ticks": "",
        "automargin": True,
    }
    return go.layout.Template(
        layout={
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": FONT, "color": palette.soft, "size": 13},
            "title": {"font": {"color": palette.ink}},
            "colorway": [palette.imitation, palette.reference, palette.base],
            "showlegend": False,
            "xaxis": {**axis, "showgrid": False, "zeroline": False},
            "yaxis": {**axis, "zeroline": False},
            "hoverlabel": {
                "bgcolor": palette.card,
                "bordercolor": palette.line,
                "font": {"family": FONT, "color": palette.ink, "size": 13},
                "align": "left",
            },
            "margin": {"l": 44, "r": 16, "t": 44, "b": 40},
            "hovermode": "closest",
        }
    )
