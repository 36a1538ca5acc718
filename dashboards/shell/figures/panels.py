"""Small multiples as values: what a panel holds before it is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import plotly.graph_objects as go

View = Literal["score", "gap"]
By = Literal["tokens", "size"]
Template: TypeAlias = "go.layout.Template"
Tone = Literal["base", "imitation", "reference", "ink"]


@dataclass(frozen=True, slots=True)
class Point:
    """One mark.

    Attributes:
        at: Position along the panel's other axis (tokens, size, or row number).
        value: Measured value.
        label: The value as written beside the mark.
        hover: Lines shown on hover, HTML.
        tone: Colour by meaning.
        low: Lower end of its error bar; None draws none.
        high: Upper end of its error bar.
        symbol: Plotly marker symbol.
        measured_here: Rather than published: a mark of its own, not joined to the curve.
        link: Where a click on it leads, relative to the app's address; "" for nowhere.
    """

    at: float
    value: float
    label: str
    hover: str
    tone: Tone = "imitation"
    low: float | None = None
    high: float | None = None
    symbol: str = "circle"
    measured_here: bool = False
    link: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A dashed reference line with its label."""

    value: float
    label: str
    hover: str
    tone: Tone


@dataclass(frozen=True, slots=True)
class Panel:
    """One small multiple.

    Attributes:
        title: In bold.
        subtitle: Metric and unit.
        kind: "sweep" (values upward, joined by a line), "rows" (values to the right, one per row)
            or "bars" (rows drawn as bars from zero).
        points: Marks in order.
        ticks: Position and text along the other axis.
        lines: Reference lines.
        note: Third title line, such as what is not reported.
        span: Least and greatest value of the axis.
        suffix: Unit after each tick of the value axis.
        empty: Why there is nothing to draw; shown in place of points.
        pad: Room before the first and after the last tick of a sweep, as a share of their distance.
        stem_from: Value from which a stem leads to each row's mark; None draws none.
    """

    title: str
    subtitle: str
    kind: Literal["sweep", "rows", "bars"]
    points: tuple[Point, ...]
    ticks: tuple[tuple[float, str], ...]
    lines: tuple[Line, ...] = ()
    note: str = ""
    span: tuple[float, float] = (0, 100)
    suffix: str = ""
    empty: str = ""
    pad: float = 0.12
    stem_from: float | None = None
