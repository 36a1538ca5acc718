"""Every figure of the Gaps page by its name, drawn from the published numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import plotly.graph_objects as go

from dashboards.paper import row_figures, sweep_figures
from dashboards.shell.figures.local_scores import LocalScore
from dashboards.shell.figures.panels import Template, View
from dashboards.shell.palette import Palette
from imitation.published import Record, load_later, load_paper

Draw = Callable[[Palette, Template, View], go.Figure]
_OfRecords = Callable[[tuple[Record, ...], Palette, Template, View], go.Figure]


def gallery(scores: Sequence[LocalScore] = ()) -> dict[str, Draw]:
    """Figures by name; `since-then` and `table-5` look the same in both views.

    Args:
        scores: The lab's own measurements, drawn over the paper's on the same benchmarks.
    """
    paper, later = load_paper(), load_later()
    of_paper: dict[str, _OfRecords] = {
        "figure-1": sweep_figures.figure1,
        "figure-3": sweep_figures.figure3,
        "figure-4-top": partial(sweep_figures.figure4_tokens, scores=scores),
        "figure-4-bottom": partial(sweep_figures.figure4_size, scores=scores),
        "figure-5": partial(sweep_figures.figure5, scores=scores),
        "table-1": row_figures.table1,
        "table-2": sweep_figures.table2,
    }
    figures: dict[str, Draw] = {
        name: partial(draw, paper.records) for name, draw in of_paper.items()
    }
    figures["table-5"] = lambda palette, template, view: row_figures.table5(
        paper.query_types, palette, template
    )
    figures["since-then"] = lambda palette, template, view: row_figures.later(
        later, palette, template
    )
    return figures
