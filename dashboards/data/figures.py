"""How alike the queries of a dataset are: BLEU of each query's nearest other one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from dashboards.shell.palette import Palette

HEIGHT = 330


def nearest_histogram(
    histogram: Sequence[int],
    mean: float,
    published: Mapping[str, float],
    palette: Palette,
    template: go.layout.Template | Mapping[str, Any],
) -> go.Figure:
    """Queries by nearest-query BLEU, their mean, and the means that were published.

    Args:
        histogram: Queries in each tenth, 0 to 10, ... 90 to 100.
        mean: Of all queries, 0 to 100.
        published: Dataset -> its mean.
        palette: Colours.
        template: Plotly's.
    """
    total = sum(histogram) or 1
    bars = {
        "type": "bar",
        "x": [10 * at + 5 for at in range(len(histogram))],
        "y": list(histogram),
        "width": 9,
        "marker": {"color": palette.soft},
        "customdata": [
            [f"{10 * at} to {10 * at + 10}", f"{100 * n / total:.1f}%"]
            for at, n in enumerate(histogram)
        ],
        "hovertemplate": "BLEU %{customdata[0]}<br>%{y:,} queries, %{customdata[1]}<extra></extra>",
    }
    top = max(histogram, default=0) or 1
    marks = [("this dataset", mean, palette.imitation, 0)]
    marks += [(name, value, palette.reference, at) for at, (name, value) in
              enumerate(published.items(), 1)]  # fmt: skip
    layout = {
        "template": template,
        "height": HEIGHT,
        "margin": {"l": 62, "r": 16, "t": 78, "b": 44},
        "dragmode": False,
        "xaxis": {
            "title": {"text": "BLEU against the most similar other query"},
            "range": [0, 100], "dtick": 20, "fixedrange": True,
        },
        "yaxis": {
            "title": {"text": "Queries"}, "range": [0, 1.08 * top], "fixedrange": True,
            "tickformat": ",d", "dtick": 1 if top <= 6 else None,
        },
        "shapes": [_line(value, colour, at) for _, value, colour, at in marks],
        "annotations": [_label(*mark) for mark in marks],
    }  # fmt: skip
    return go.Figure(data=[bars], layout=layout)


def _line(value: float, colour: str, at: int) -> dict[str, Any]:
    return {
        "type": "line", "xref": "x", "yref": "paper", "x0": value, "x1": value, "y0": 0,
        "y1": 1.04 + 0.12 * at, "line": {"color": colour, "width": 2 if at == 0 else 1.2},
    }  # fmt: skip


def _label(name: str, value: float, colour: str, at: int) -> dict[str, Any]:
    """A mean's name above the bars, each on a line of its own, towards the middle."""
    left = value < 55
    return {
        "text": f"{name}: {value:.0f}" if value >= 10 else f"{name}: {value:.1f}",
        "xref": "x", "yref": "paper", "x": value, "y": 1.04 + 0.12 * at,
        "xanchor": "left" if left else "right", "yanchor": "middle",
        "xshift": 5 if left else -5, "showarrow": False, "font": {"color": colour, "size": 13},
    }  # fmt: skip
