"""Figures with one row per model or kind: Tables 1 and 5, and later studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from dashboards.paper.gap_closed import gap_of
from dashboards.paper.labels import decimals, hover, not_reported, title
from dashboards.shell.figures.draw import draw
from dashboards.shell.figures.panels import Line, Panel, Point, Template, Tone, View
from dashboards.shell.palette import Palette
from imitation.published import Record, only, select

_KIND = {"ShareGPT-Mix": "broad", "NQ-synthetic": "local"}


def table1(
    records: Sequence[Record], palette: Palette, template: Template, view: View
) -> go.Figure:
    """Broad against local imitation on Natural Questions, one panel per size of the base."""
    rows = select(records, where="Table 1")
    reference = only(rows, "reference")
    sizes = dict.fromkeys(r.params_b for r in rows if r.params_b is not None)
    panels = [_broad_local(select(rows, params_b=size), reference, view) for size in sizes]
    return draw(panels, palette, template, columns=2)


def table5(shares: Mapping[str, float], palette: Palette, template: Template) -> go.Figure:
    """Share of each query type in ShareGPT-Mix, percent."""
    ranked = sorted(shares.items(), key=lambda item: -item[1])
    points = tuple(
        Point(at, share, f"{share:g}%", f"<b>{name}</b>: {share:g}%<br>Table 5, printed", "ink")
        for at, (name, share) in enumerate(ranked)
    )
    ticks = tuple((float(at), name) for at, (name, _) in enumerate(ranked))
    top = 1.05 * ranked[0][1]
    panel = Panel(
        "Queries in ShareGPT-Mix", "share by type (%)", "bars", points, ticks,
        span=(0, top), suffix="%",
    )  # fmt: skip
    return draw([panel], palette, template, columns=1)


def later(records: Sequence[Record], palette: Palette, template: Template) -> go.Figure:
    """One panel per benchmark of later studies; the imitated model as the dashed line."""
    names = dict.fromkeys((r.study, r.benchmark) for r in records)
    panels = []
    for study, name in names:
        rows = [r for r in records if (r.study, r.benchmark) == (study, name)]
        panels.append(_later_panel(rows))
    return draw(panels, palette, template, columns=2)


def _broad_local(records: Sequence[Record], reference: Record | None, view: View) -> Panel:
    base = only(records, "base")
    places = decimals(records)
    size = f"LLaMA {records[0].params_b:g}B"
    rows = [*select(records, role="base"), *select(records, role="imitation")]
    ticks = tuple((float(at), _row_name(r)) for at, r in enumerate(rows))
    _, metric = title(records[0])
    note = not_reported(base, reference)
    if view == "gap":
        gaps = [gap_of(r, base, reference) for r in rows]
        points = tuple(
            Point(at, 100 * gap.value, gap.text, hover(r, places, gap), _tone(r), symbol=_symbol(r))
            for at, (r, gap) in enumerate(zip(rows, gaps, strict=True))
            if gap is not None
        )
        lines = () if reference is None else (
            Line(100, reference.model, hover(reference, places), "reference"),
        )  # fmt: skip
        return Panel(
            size, "Natural Questions, gap closed", "rows", points, ticks, lines,
            note=note, span=(-70, 110), suffix="%", stem_from=0,
        )  # fmt: skip
    points = tuple(
        Point(at, r.value, f"{r.value:.{places}f}", hover(r, places), _tone(r), symbol=_symbol(r))
        for at, r in enumerate(rows)
    )
    lines = () if reference is None else (
        Line(reference.value, f"{reference.model} {reference.value:.{places}f}",
             hover(reference, places), "reference"),
    )  # fmt: skip
    return Panel(
        size, f"Natural Questions, {metric}", "rows", points, ticks, lines,
        note=note, span=(0, 35), stem_from=None if base is None else base.value,
    )  # fmt: skip


def _later_panel(records: Sequence[Record]) -> Panel:
    places = max(decimals(records), 1)
    rows = sorted(select(records, role="imitation"), key=lambda r: (r.params_b or 0, r.value))
    others: list[tuple[Record, Tone]] = [
        *((r, "reference") for r in select(records, role="reference")),
        *((r, "ink") for r in select(records, role="other proprietary")),
    ]
    lines = tuple(
        Line(r.value, f"{r.model} {r.value:.{places}f}", hover(r, places), tone)
        for r, tone in others
    )
    points = tuple(
        Point(at, r.value, f"{r.value:.{places}f}", hover(r, places) + f"<br>base: {r.base}")
        for at, r in enumerate(rows)
    )
    ticks = tuple((float(at), r.model) for at, r in enumerate(rows))
    study = records[0].study
    return Panel(
        records[0].benchmark, f"{records[0].metric}, {study}", "rows", points, ticks, lines,
        span=(0, 100),
    )  # fmt: skip


def _row_name(record: Record) -> str:
    if record.role == "base":
        return "base"
    return f"{_KIND[record.imitation_data or '']}:<br>{record.imitation_data}"


def _tone(record: Record) -> Tone:
    return "base" if record.role == "base" else "imitation"


def _symbol(record: Record) -> str:
    return "diamond" if record.imitation_data == "NQ-synthetic" else "circle"
