"""Panels drawn as one Plotly figure.

Pure: values in, a figure out. A figure is drawn in `columns` columns; its `layout.meta["layouts"]`
holds, for three, two and one column, the few layout keys to change (domains, titles, height), so
that a narrow page re-arranges the same figure without drawing it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from dashboards.shell.figures.layout import (
    COLUMNS,
    MAX_WIDTHS,
    WIDE,
    Place,
    arrange,
    axes,
    ends,
    least_width,
    relayout,
    suffix,
)
from dashboards.shell.figures.panels import Line, Panel, Point
from dashboards.shell.palette import Palette


def draw(
    panels: Sequence[Panel],
    palette: Palette,
    template: go.layout.Template | Mapping[str, Any],
    columns: int = 3,
) -> go.Figure:
    """One figure of all panels, in at most `columns` columns.

    Raises:
        ValueError: No panels, or columns other than 1 to 3.
    """
    if not panels or columns not in COLUMNS:
        raise ValueError(f"{len(panels)} panels in {columns} columns")
    height, places = arrange(panels, columns)
    traces: list[dict[str, Any]] = []
    layout: dict[str, Any] = {
        "template": template,
        "height": height,
        "margin": {"l": 0, "r": 0, "t": 0, "b": 0, "autoexpand": False},
        "dragmode": False,
        "meta": {
            "columns": min(columns, len(panels)),
            "panels": len(panels),
            "layouts": {n: relayout(panels, n) for n in COLUMNS},
            "widths": {n: least_width(panels, n) for n in COLUMNS},
            "max_width": MAX_WIDTHS.get(len(panels)),
        },
        "annotations": [
            _title(panel, place, palette) for panel, place in zip(panels, places, strict=True)
        ],
    }
    for i, (panel, place) in enumerate(zip(panels, places, strict=True)):
        n = suffix(i)
        traces += _traces(panel, n, palette)
        x, y = axes(panel, place, WIDE)
        layout[f"xaxis{n}"] = x | {"anchor": f"y{n}"}
        layout[f"yaxis{n}"] = y | {"anchor": f"x{n}"}
        layout["annotations"] += _labels(panel, n, palette)
    return go.Figure(data=traces, layout=layout)


def _traces(panel: Panel, n: str, palette: Palette) -> list[dict[str, Any]]:
    on = {"xaxis": f"x{n}", "yaxis": f"y{n}", "showlegend": False}
    if panel.empty:
        # A trace without points keeps the axes of the panel in place.
        return [{"type": "scatter", "x": [None], "y": [None], "hoverinfo": "skip", **on}]
    traces = [_line_trace(panel, line, palette) | on for line in panel.lines]
    if panel.kind == "sweep":
        return [*traces, _join(panel, palette) | on, *(m | on for m in _marks(panel, palette))]
    if panel.kind == "bars":
        return [*traces, _bars(panel, palette) | on]
    stems = []
    if panel.stem_from is not None:
        stems = [_stem(panel.stem_from, point, palette) | on for point in panel.points]
    return [*traces, *stems, *(m | on for m in _marks(panel, palette))]


def _line_trace(panel: Panel, line: Line, palette: Palette) -> dict[str, Any]:
    low, high = ends(panel)
    # Plotly shows hover at a trace's points only, so a line gets several.
    along = [low + (high - low) * i / 8 for i in range(9)]
    across = [line.value] * 9
    x, y = (along, across) if panel.kind == "sweep" else (across, along)
    return {
        "type": "scatter", "mode": "lines", "x": x, "y": y, "name": line.label,
        "line": {"color": getattr(palette, line.tone), "width": 2, "dash": "5px,4px"},
        "hovertemplate": line.hover + "<extra></extra>",
    }  # fmt: skip


def _join(panel: Panel, palette: Palette) -> dict[str, Any]:
    points = sorted((p for p in panel.points if not p.measured_here), key=lambda point: point.at)
    return {
        "type": "scatter", "mode": "lines", "hoverinfo": "skip",
        "x": [p.at for p in points], "y": [p.value for p in points],
        "line": {"color": palette.imitation, "width": 2.5},
    }  # fmt: skip


def _stem(start: float, point: Point, palette: Palette) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "lines", "hoverinfo": "skip",
        "x": [start, point.value], "y": [point.at, point.at],
        "line": {"color": getattr(palette, point.tone), "width": 2.5}, "opacity": 0.45,
    }  # fmt: skip


def _marks(panel: Panel, palette: Palette) -> list[dict[str, Any]]:
    """One trace per tone, so that a trace's name and colour say its role."""
    traces = []
    for tone in dict.fromkeys(point.tone for point in panel.points):
        points = [p for p in panel.points if p.tone == tone]
        colour = getattr(palette, tone)
        values, places = [p.value for p in points], [p.at for p in points]
        sweep = panel.kind == "sweep"
        trace: dict[str, Any] = {
            "type": "scatter", "name": tone, "cliponaxis": False,
            "mode": "markers",
            "x": places if sweep else values, "y": values if sweep else places,
            "marker": {"color": colour, "size": 9, "symbol": [p.symbol for p in points],
                       "line": {"width": 2, "color": colour}},
            "hovertemplate": [p.hover + "<extra></extra>" for p in points],
        }  # fmt: skip
        if any(p.link for p in points):
            trace["customdata"] = [p.link for p in points]
        if any(p.low is not None for p in points):
            trace["error_y" if sweep else "error_x"] = {
                "type": "data", "symmetric": False, "color": colour, "thickness": 1.5, "width": 5,
                "array": [(p.high if p.high is not None else p.value) - p.value for p in points],
                "arrayminus": [p.value - (p.low if p.low is not None else p.value) for p in points],
            }  # fmt: skip
        traces.append(trace)
    return traces


def _bars(panel: Panel, palette: Palette) -> dict[str, Any]:
    return {
        "type": "bar", "orientation": "h",
        "x": [p.value for p in panel.points], "y": [p.at for p in panel.points], "width": 0.5,
        "marker": {"color": [getattr(palette, p.tone) for p in panel.points]},
        "hovertemplate": [p.hover + "<extra></extra>" for p in panel.points],
    }  # fmt: skip


def _title(panel: Panel, place: Place, palette: Palette) -> dict[str, Any]:
    lines = [f'<b style="color:{palette.ink}">{panel.title}</b>', panel.subtitle]
    text = "<br>".join([*lines, *([f"<i>{panel.note}</i>"] if panel.note else [])])
    return {
        "text": text, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "top",
        "align": "left", "showarrow": False, "font": {"size": 14, "color": palette.soft},
        "x": place.title[0], "y": place.title[1],
    }  # fmt: skip


def _labels(panel: Panel, n: str, palette: Palette) -> list[dict[str, Any]]:
    x, y = f"x{n}", f"y{n}"
    if panel.empty:
        return [{
            "text": panel.empty, "x": 0, "y": 1, "xref": f"{x} domain", "yref": f"{y} domain",
            "xanchor": "left", "xshift": -20, "yanchor": "top", "align": "left", "showarrow": False,
            "font": {"size": 13, "color": palette.soft},
        }]  # fmt: skip
    labels: list[dict[str, Any]] = []
    for level, line in enumerate(panel.lines):
        label: dict[str, Any] = {
            "text": line.label, "showarrow": False,
            "font": {"size": 13, "color": getattr(palette, line.tone)},
        }  # fmt: skip
        if panel.kind == "sweep":
            label |= {"x": 1, "xref": f"{x} domain", "xanchor": "left", "xshift": 6}
            label |= {"y": line.value, "yref": y, "yanchor": "middle", "align": "left"}
        else:
            share = (line.value - panel.span[0]) / (panel.span[1] - panel.span[0])
            anchor = "left" if share < 0.2 else "right" if share > 0.8 else "center"
            label |= {"x": line.value, "xref": x, "xanchor": anchor}
            label |= {"y": 1, "yref": f"{y} domain", "yanchor": "bottom", "yshift": 2 + 18 * level}
        labels.append(label)
    value = _sweep_value if panel.kind == "sweep" else _row_value
    return labels + [value(panel, p, x, y, palette) for p in panel.points if p.label]


def _sweep_value(panel: Panel, point: Point, x: str, y: str, palette: Palette) -> dict[str, Any]:
    """The value below its mark, or above it where the axis or a line is close beneath."""
    height = panel.span[1] - panel.span[0]
    below = [(point.value - line.value) / height for line in panel.lines]
    blocked = any(0 <= gap < 0.13 for gap in below) or point.value - panel.span[0] < 0.1 * height
    # Clear of the error bar, and of a line that climbs steeply to the mark.
    end = point.high if blocked else point.low
    before = [p.value for p in panel.points if p.at < point.at]
    steep = bool(before) and point.value - before[-1] > 0.25 * height
    return {
        "text": point.label, "x": point.at, "xref": x, "xshift": 10 if steep else 0,
        "y": point.value if end is None else end, "yref": y,
        "yshift": 16 if blocked else -16, "showarrow": False,
        "font": {"size": 13, "color": getattr(palette, point.tone)},
    }  # fmt: skip


def _row_value(panel: Panel, point: Point, x: str, y: str, palette: Palette) -> dict[str, Any]:
    """The value right of its row."""
    return {
        "text": point.label, "x": 1, "xref": f"{x} domain", "xanchor": "right", "xshift": 52,
        "y": point.at, "yref": y, "yanchor": "middle", "showarrow": False,
        "font": {"size": 13, "color": getattr(palette, point.tone)},
    }  # fmt: skip
