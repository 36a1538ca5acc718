"""Where panels stand: the frame of each, and their places in one, two or three columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dashboards.figures.panels import Panel

TITLE_PX = 19
"""Height of a line of a panel's title."""
WIDTHS = {3: 960, 2: 640, 1: 340}
"""Columns of a figure, and the least width in px at which they are used."""
MAX_WIDTHS = {1: 620, 2: 940}
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
    """Where a panel stands, as shares of the figure.

    Attributes:
        x: Domain of its x axis.
        y: Domain of its y axis.
        title: Upper left corner of its title.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    title: tuple[float, float]


def _frame(panel: Panel) -> _Frame:
    titles = TITLE_PX * (2 + bool(panel.note)) + 10
    if panel.kind == "sweep":
        return _Frame(left=40, right=106, top=titles + 6, bottom=34, height=titles + 250)
    longest = max((len(part) for _, text in panel.ticks for part in text.split("<br>")), default=0)
    lines = max((text.count("<br>") + 1 for _, text in panel.ticks), default=1)
    room = 18 * min(len(panel.lines), 2)
    body = len(panel.ticks) * (14 + 15 * lines)
    return _Frame(
        left=12 + 7 * longest,
        right=58,
        top=titles + room,
        bottom=30,
        height=titles + room + body + 44,
    )


def arrange(panels: Sequence[Panel], columns: int) -> tuple[int, list[Place]]:
    """Height in px of the whole figure, and where each panel stands in so many columns."""
    columns = min(columns, len(panels))
    width = WIDTHS[columns]
    frames = [_frame(panel) for panel in panels]
    rows = [frames[i : i + columns] for i in range(0, len(frames), columns)]
    heights = [max(frame.height for frame in row) for row in rows]
    total = sum(heights)
    places = []
    for i, frame in enumerate(frames):
        row, column = divmod(i, columns)
        above, left = sum(heights[:row]), column / columns
        # Panels of a row share the tallest title block, so that their areas line up.
        top = max(f.top for f in rows[row])
        places.append(
            Place(
                x=(left + frame.left / width, (column + 1) / columns - frame.right / width),
                y=(1 - (above + heights[row] - frame.bottom) / total, 1 - (above + top) / total),
                title=(left, 1 - above / total),
            )
        )
    return total, places


def relayout(panels: Sequence[Panel], columns: int) -> dict[str, Any]:
    """The same as `arrange`, as the keys of `Plotly.relayout`; titles are the first annotations."""
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


def axes(panel: Panel, place: Place) -> tuple[dict[str, Any], dict[str, Any]]:
    """The x and the y axis of a panel."""
    span = list(panel.span)
    values = {
        "range": span, "fixedrange": True, "nticks": 5, "ticksuffix": panel.suffix,
        "automargin": False, "showgrid": not panel.empty, "showticklabels": not panel.empty,
    }  # fmt: skip
    places = [at for at, _ in panel.ticks]
    pad = 0.12 * (max(places) - min(places)) if panel.kind == "sweep" else 0.6
    others = {
        "range": [min(places) - (pad or 1), max(places) + (pad or 1)], "fixedrange": True,
        "tickvals": places, "ticktext": [text for _, text in panel.ticks], "automargin": False,
        "tickangle": 0, "showticklabels": not panel.empty, "showgrid": False, "zeroline": False,
    }  # fmt: skip
    if panel.kind == "sweep":
        x, y = others, values
    else:
        # First row on top.
        x, y = values | {"showgrid": not panel.empty}, others | {"range": others["range"][::-1]}
    return x | {"domain": place.x}, y | {"domain": place.y}
