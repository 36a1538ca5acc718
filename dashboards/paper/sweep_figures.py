"""Figures of the paper that vary one thing: imitation tokens, or the size of the base.

Figures 1, 3, 4 and 5 and Table 2. Every function takes records and returns a figure; `view` is
"score" or "gap" (the same records as shares of the gap closed).
"""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from dashboards.paper.gap_closed import gap_of
from dashboards.paper.labels import BENCHMARKS, decimals, hover, not_reported, short_model, title
from dashboards.paper.local_runs import over
from dashboards.shell.figures.draw import draw
from dashboards.shell.figures.local_scores import LocalScore
from dashboards.shell.figures.panels import By, Line, Panel, Point, Template, View
from dashboards.shell.palette import Palette
from imitation.published import Record, only, select

_SPANS = {"MMLU": (0.0, 80.0), "Natural Questions": (0.0, 40.0), "HumanEval": (0.0, 80.0)}


def figure1(
    records: Sequence[Record], palette: Palette, template: Template, view: View
) -> go.Figure:
    """Crowd preference and Natural Questions by tokens, crowd preference by size of the base.

    The centre panel repeats Natural Questions of Figure 4, so its records are read there.
    """
    panels = [
        sweep(select(records, where="Figure 1 left"), "tokens", view, span=(0, 80)),
        sweep(
            select(records, where="Figure 4 top", benchmark="Natural Questions"),
            "tokens", view, span=(0, 40),
        ),
        sweep(select(records, where="Figure 1 right"), "size", view, span=(0, 80)),
    ]  # fmt: skip
    return draw(panels, palette, template)


def figure3(
    records: Sequence[Record], palette: Palette, template: Template, view: View
) -> go.Figure:
    """GPT-4's preference by tokens and by size of the base."""
    panels = [
        sweep(select(records, where="Figure 3 left"), "tokens", view, span=(0, 80)),
        sweep(select(records, where="Figure 3 right"), "size", view, span=(0, 80)),
    ]
    return draw(panels, palette, template, columns=3)


def figure4_tokens(
    records: Sequence[Record],
    palette: Palette,
    template: Template,
    view: View,
    scores: Sequence[LocalScore] = (),
) -> go.Figure:
    """MMLU, Natural Questions and HumanEval by imitation tokens, 13B; runs of the lab over them."""
    return draw(_benchmarks(records, "Figure 4 top", "tokens", view, scores), palette, template)


def figure4_size(
    records: Sequence[Record],
    palette: Palette,
    template: Template,
    view: View,
    scores: Sequence[LocalScore] = (),
) -> go.Figure:
    """MMLU, Natural Questions and HumanEval by size of the base, 150M tokens; the lab's over."""
    return draw(_benchmarks(records, "Figure 4 bottom", "size", view, scores), palette, template)


def figure5(
    records: Sequence[Record],
    palette: Palette,
    template: Template,
    view: View,
    scores: Sequence[LocalScore] = (),
) -> go.Figure:
    """Mean non-toxicity by imitation tokens, 13B; runs of the lab over it."""
    panel = sweep(select(records, where="Figure 5"), "tokens", view, span=(0.8, 0.94))
    return draw([over(panel, "non-toxicity", scores, "tokens", view)], palette, template)


def table2(
    records: Sequence[Record], palette: Palette, template: Template, view: View
) -> go.Figure:
    """Style metrics from the base through 20M, 80M and 150M tokens to a second ChatGPT sample."""
    rows = select(records, where="Table 2")
    panels = []
    for name in dict.fromkeys(r.benchmark for r in rows):
        # Room above 100 for the values written over their marks.
        span = (-0.2, 0.8) if name == "length correlation" else (0, 112)
        metric = select(rows, benchmark=name)
        panels.append(sweep(metric, "tokens", view, span=span, from_base=True))
    return draw(panels, palette, template)


def sweep(
    records: Sequence[Record],
    by: By,
    view: View,
    span: tuple[float, float] | None = None,
    from_base: bool = False,
) -> Panel:
    """One panel: imitation records along tokens or size, base and reference as dashed lines.

    Args:
        records: Of one benchmark, all from one place in the source.
        by: What varies.
        view: "score", or "gap" for shares of the gap closed.
        span: Value axis of the score view; by default from 0 to just above the greatest value.
        from_base: Draw the base as a mark at 0 tokens as well.

    Raises:
        ValueError: The records mix places or benchmarks, or hold no imitation.
    """
    if len({(r.where, r.benchmark) for r in records}) != 1:
        raise ValueError("a panel takes one benchmark from one place in the source")
    base, reference = only(records, "base"), only(records, "reference")
    shown = select(records, role="imitation")
    if from_base and base is not None:
        shown = [base, *shown]
    name, subtitle = title(records[0])
    places = decimals(records)
    # With the base drawn at 0 tokens the steps are spaced evenly: base and 20M would collide.
    places_at = [float(i) if from_base else _at(r, by) for i, r in enumerate(shown)]
    steps = tuple(zip(places_at, shown, strict=True))
    ticks = tuple((at, _tick(r, by)) for at, r in steps)
    note = not_reported(base, reference)
    if view == "gap":
        return _gap_panel(steps, base, reference, name, ticks, places)
    lines = tuple(
        Line(
            r.value, _line_label(r, places), hover(r, places), "base" if r is base else "reference"
        )
        for r in (base, reference)
        if r is not None
    )
    points = tuple(
        Point(
            at=at,
            value=r.value,
            label="" if r is base else f"{r.value:.{places}f}",
            hover=hover(r, places),
            tone="base" if r is base else "imitation",
            low=None if r.digitised_error is None else r.value - r.digitised_error,
            high=None if r.digitised_error is None else r.value + r.digitised_error,
        )
        for at, r in steps
    )
    top = span or (0, 1.25 * max(r.value for r in records))
    return Panel(name, subtitle, "sweep", points, ticks, lines, note=note, span=top)


def _gap_panel(
    steps: Sequence[tuple[float, Record]],
    base: Record | None,
    reference: Record | None,
    name: str,
    ticks: tuple[tuple[float, str], ...],
    places: int,
) -> Panel:
    gaps = [(at, r, gap_of(r, base, reference)) for at, r in steps]
    known = [(at, r, gap) for at, r, gap in gaps if gap is not None]
    if base is None or reference is None or not known:
        missing = not_reported(base, reference) or "ChatGPT is not better than the base"
        reason = f"Gap closed is not defined here:<br>{missing}."
        return Panel(name, "gap closed", "sweep", (), ticks, empty=reason)
    points = tuple(
        Point(
            at=at,
            value=100 * gap.value,
            label="" if r is base else gap.text,
            hover=hover(r, places, gap),
            tone="base" if r is base else "imitation",
            low=None if gap.low is None else 100 * gap.low,
            high=None if gap.high is None else 100 * gap.high,
        )
        for at, r, gap in known
    )
    lines = (
        Line(0, short_model(base), hover(base, places), "base"),
        Line(100, short_model(reference), hover(reference, places), "reference"),
    )
    values = [end for p in points for end in (p.value, p.low, p.high) if end is not None]
    values += [0, 100]
    pad = 0.16 * (max(values) - min(values))
    span = (min(values) - pad, max(values) + pad)
    return Panel(
        name, "gap closed", "sweep", points, ticks, lines, span=span, suffix="%"
    )  # fmt: skip


def _benchmarks(
    records: Sequence[Record], where: str, by: By, view: View, scores: Sequence[LocalScore]
) -> list[Panel]:
    groups = {name: select(records, where=where, benchmark=name) for name in BENCHMARKS}
    return [
        over(sweep(rows, by, view, span=_SPANS[name]), name, scores, by, view)
        for name, rows in groups.items()
    ]


def _at(record: Record, by: By) -> float:
    at = record.tokens_m if by == "tokens" else record.params_b
    if at is None:
        raise ValueError(f"{record.model} ({record.where}) has no {by}")
    return at


def _tick(record: Record, by: By) -> str:
    if by == "size":
        # "LLaMA 13B" in two lines leaves room for three of them at 390 px.
        return short_model(record).replace(" ", "<br>")
    return "base" if record.role == "base" else f"{record.tokens_m:g}M"


def _line_label(record: Record, places: int) -> str:
    return f"{short_model(record)} {record.value:.{places}f}"
