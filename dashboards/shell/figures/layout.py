"""Where panels stand: the frame of each, and their places in one, two or three columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dashboards.shell.figures.panels import Panel

TITLE_PX = 19
"""Height of a line of a panel's title."""
AREA_PX = 180
"""Least width of a panel's drawing area beside another panel."""
COLUMNS = (3, 2, 1)
WIDE = 1200
"""Width in px a figure is first drawn for."""
MAX_WIDTHS = {1: 560, 2: 900}
"""Greatest width in px of a figure of one or two panels, so that it does not stretch."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """Pixels around the drawing area of a cell, and the cell's height."""

    left: int
    right: int
    top: int
    bottom: int
    height: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a panel stands.

    Attributes:
        x: Both ends of its x axis, each as (share of the figure's width, px added to it), so
            that margins keep their size whatever the width.
        y: Both ends of its y axis, shares of the figure's height.
        title: Upper left corner of its title, shares of the figure.
    """

    x: tuple[tuple[float, int], tuple[float, int]]
    y: tuple[float, float]
    title: tuple[float, float]

    def x_domain(self, width: float) -> tuple[float, float]:
        """Domain of the x axis at a width in px."""
        (left, more), (right, less) = self.x
        return left + more / width, right + less / width


def _frame(panel: Panel) -> _Frame:
    titles = TITLE_PX * (2 + bool(panel.note)) + 10
    lines = max((text.count("<br>") + 1 for _, text in panel.ticks), default=1)
    if panel.kind == "sweep":
        under = 15 * (lines - 1)
        return _Frame(
            left=14 + _px(text for _, text in ticks(panel.span, panel.suffix)),
            right=16 + _px(line.label for line in panel.lines),
            top=titles + 6,
            bottom=34 + under,
            height=titles + under + (70 if panel.empty else 250),
        )
    room = 18 * min(len(panel.lines), 2)
    return _Frame(
        left=12 + _px(part for _, text in panel.ticks for part in text.split("<br>")),
        right=76,
        top=titles + room,
        bottom=30,
        height=titles + room + len(panel.ticks) * (14 + 15 * lines) + 44,
    )


def _px(texts: Iterable[str]) -> int:
    """Width of the longest text at 13 px, on the safe side."""
    return math.ceil(7.6 * max((len(text) for text in texts), default=0))


def ticks(span: tuple[float, float], suffix: str) -> list[tuple[float, str]]:
    """At most six round values within a span, as written on its axis."""
    steps = (0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1, 2, 5, 10, 20, 25, 50, 100, 200)
    room = (span[1] - span[0]) / 5
    step = next((s for s in steps if s >= room), room)
    first, last = math.ceil(span[0] / step - 1e-9), math.floor(span[1] / step + 1e-9)
    values = [round(n * step, 6) for n in range(first, last + 1)]
    places = max(len(f"{value:g}".partition(".")[2]) for value in values)
    return [(value, f"{value:.{places}f}{suffix}") for value in values]


def arrange(panels: Sequence[Panel], columns: int) -> tuple[int, list[Place]]:
    """Height in px of the whole figure, and where each panel stands in so many columns."""
    columns = min(columns, len(panels))
    frames = [_frame(panel) for panel in panels]
    # All panels share the widest margins, so that their areas are alike.
    left, right = max(f.left for f in frames), max(f.right for f in frames)
    rows = [frames[i : i + columns] for i in range(0, len(frames), columns)]
    heights = [max(frame.height for frame in row) for row in rows]
    total = sum(heights)
    places = []
    for i, frame in enumerate(frames):
        row, column = divmod(i, columns)
        above, start = sum(heights[:row]), column / columns
        # Panels of a row share the tallest title block, so that their areas line up.
        top = max(f.top for f in rows[row])
        places.append(
            Place(
                x=((start, left), ((column + 1) / columns, -right)),
                y=(1 - (above + heights[row] - frame.bottom) / total, 1 - (above + top) / total),
                title=(start, 1 - above / total),
            )
        )
    return total, places


def least_width(panels: Sequence[Panel], columns: int) -> int:
    """Width in px from which so many columns are used; one column is used at any width."""
    frames = [_frame(panel) for panel in panels]
    return columns * (max(f.left for f in frames) + max(f.right for f in frames) + AREA_PX)


def relayout(panels: Sequence[Panel], columns: int) -> dict[str, Any]:
    """The same as `arrange`, by the keys of `Plotly.relayout`; titles are the first annotations.

    x domains are pairs of (share, px): the page turns them into shares once it knows its width.
    """
    height, places = arrange(panels, columns)
    keys: dict[str, Any] = {"height": height}
    for i, place in enumerate(places):
        keys[f"xaxis{suffix(i)}.domain"] = place.x
        keys[f"yaxis{suffix(i)}.domain"] = place.y
        keys[f"annotations[{i}].x"], keys[f"annotations[{i}].y"] = place.title
    return keys


def suffix(index: int) -> str:
    """How Plotly numbers axes: "" for the first panel, then "2", "3", ..."""
    return "" if index == 0 else str(index + 1)


def ends(panel: Panel) -> tuple[float, float]:
    """Where the axis of a panel's ticks begins and ends, and the lines across it too."""
    places = [at for at, _ in panel.ticks]
    first, last = min(places), max(places)
    # One tick has no distance to take a share of.
    pad = panel.pad * (last - first) or 1.0 if panel.kind == "sweep" else 0.6
    return first - pad, last + pad


def axes(panel: Panel, place: Place, width: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """The x and the y axis of a panel."""
    marks = ticks(panel.span, panel.suffix)
    values = {
        "range": list(panel.span), "fixedrange": True,
        "tickvals": [at for at, _ in marks], "ticktext": [text for _, text in marks],
        "automargin": False, "showgrid": not panel.empty, "showticklabels": not panel.empty,
    }  # fmt: skip
    places = [at for at, _ in panel.ticks]
    sweep = panel.kind == "sweep"
    others = {
        "range": [*ends(panel)][:: 1 if sweep else -1],  # the first row on top
        "fixedrange": True,
        "tickvals": places, "ticktext": [text for _, text in panel.ticks], "automargin": False,
        "tickangle": 0, "showticklabels": not panel.empty, "showgrid": False, "zeroline": False,
    }  # fmt: skip
    x, y = (others, values) if sweep else (values, others)
    return x | {"domain": place.x_domain(width)}, y | {"domain": place.y}
