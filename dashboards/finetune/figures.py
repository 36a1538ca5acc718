"""Loss curves of fine-tunes: training, held-out; below them held-out scores, learning rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from dashboards.finetune.curves import Curve, Series
from dashboards.shell.palette import Palette

POINTS = 300
"""Points a curve is drawn with; longer ones are averaged over neighbouring steps."""
HEIGHT = 380
TALLER = 520
"""With held-out scores."""
_SCORES = {"style": ("style, words shared with the reference", "circle"),
           "facts": ("facts right", "diamond")}  # fmt: skip
_DASHES = ("dash", "dot", "dashdot", "longdash", "longdashdot")


def losses(
    curves: Sequence[Curve], palette: Palette, template: go.layout.Template | Mapping[str, Any]
) -> go.Figure:
    """Curves over steps, the first in colour, the others in grey for comparison.

    Training loss is a thin line, held-out loss a thick one with marks. Without any step yet, an
    empty figure of the same size.
    """
    traces: list[dict[str, Any]] = []
    for number, curve in enumerate(curves):
        colour = palette.soft if number else palette.imitation
        dash = _DASHES[(number - 1) % len(_DASHES)] if number else "solid"
        traces += _traces(curve, colour, dash) + _score_traces(curve, colour, dash)
    return go.Figure(data=traces, layout=_layout(curves, palette, template))


def thinned(series: Series, points: int = POINTS) -> list[tuple[float, float]]:
    """At most `points` points: means of neighbouring steps, placed at their middle."""
    if len(series) <= points:
        return [(float(step), value) for step, value in series]
    size = -(-len(series) // points)
    groups = [series[i : i + size] for i in range(0, len(series), size)]
    return [(sum(s for s, _ in g) / len(g), sum(v for _, v in g) / len(g)) for g in groups]


def _traces(curve: Curve, colour: str, dash: str) -> list[dict[str, Any]]:
    made = []
    for kind, series, axis, look in (
        ("training loss", thinned(curve.loss), "y", {"line": {"width": 1.4}}),
        (
            "held-out loss",
            [(float(s), v) for s, v in curve.validation],
            "y",
            {"line": {"width": 2.6}, "mode": "lines+markers", "marker": {"size": 7}},
        ),
        ("learning rate", thinned(curve.learning_rate), "y2", {"line": {"width": 1.4}}),
    ):
        if not series:
            continue
        line = {"color": colour, "dash": dash} | look["line"]  # type: ignore[operator]
        made.append(
            {
                "type": "scatter",
                "mode": "lines",
                **look,
                "x": [x for x, _ in series],
                "y": [y for _, y in series],
                "yaxis": axis,
                "line": line,
                "name": f"{_escaped(curve.name)}, {kind}",
                "showlegend": False,
                "hovertemplate": f"{_escaped(curve.name)}<br>{kind} %{{y:.4g}}<br>"
                "step %{x:.0f}<extra></extra>",
            }
        )
        if kind != "learning rate" and len(series) == 1 and "mode" not in look:
            made[-1]["mode"] = "markers"
    return made


def _score_traces(curve: Curve, colour: str, dash: str) -> list[dict[str, Any]]:
    """Held-out scores with their intervals; hovering tells the n."""
    made = []
    for name, found in curve.scores.items():
        words, symbol = _SCORES.get(name, (name, "square"))
        values = [one.value or 0.0 for _, one in found]
        highs = [(one.high or v) - v for (_, one), v in zip(found, values, strict=True)]
        lows = [v - (one.low or 0.0) if one.high else 0.0
                for (_, one), v in zip(found, values, strict=True)]  # fmt: skip
        made.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": [step for step, _ in found],
                "y": values,
                "yaxis": "y3",
                "customdata": [one.n for _, one in found],
                "error_y": {
                    "type": "data", "symmetric": False, "array": highs, "arrayminus": lows,
                    "thickness": 1, "width": 3, "color": colour,
                },
                "line": {"color": colour, "dash": dash, "width": 1.4},
                "marker": {"size": 8, "symbol": symbol, "color": colour},
                "name": f"{_escaped(curve.name)}, {words}",
                "showlegend": False,
                "hovertemplate": f"{_escaped(curve.name)}<br>{words} %{{y:.0%}}<br>"
                "step %{x:.0f}, n = %{customdata}<extra></extra>",
            }
        )  # fmt: skip
    return made


def _layout(
    curves: Sequence[Curve], palette: Palette, template: go.layout.Template | Mapping[str, Any]
) -> dict[str, Any]:
    last = max(
        (s for c in curves for series in (c.loss, c.validation) for s, _ in series), default=1
    )
    last = max(last, 1)
    scored = any(curve.scores for curve in curves)
    top, middle, bottom = (0.56, 0.42, 0.13) if scored else (0.32, 0.0, 0.2)
    titles = [
        _title("Loss per output token", 1.0, palette),
        _title("Learning rate", bottom, palette),
    ]
    scores: dict[str, Any] = {}
    if scored:
        titles.append(_title("Held-out: facts right (◆), words shared (●), 95%", middle, palette))
        scores["yaxis3"] = {
            "domain": [bottom + 0.08, middle], "fixedrange": True, "automargin": False,
            "rangemode": "tozero", "nticks": 4, "tickformat": ".0%", "anchor": "x",
        }  # fmt: skip
    return {
        "template": template,
        "height": TALLER if scored else HEIGHT,
        "margin": {"l": 62, "r": 130, "t": 26, "b": 44},
        "dragmode": False,
        "xaxis": {
            "title": {"text": "Step"},
            "range": [-0.015 * last, 1.015 * last],
            "dtick": 1 if last <= 10 else None,
            "tickformat": ",d",
            "fixedrange": True,
            "anchor": "y2",
        },
        "yaxis": {"domain": [top, 1.0], "fixedrange": True, "automargin": False},
        "yaxis2": {
            "domain": [0.0, bottom],
            "fixedrange": True,
            "automargin": False,
            "rangemode": "tozero",
            "nticks": 3,
            "tickformat": ".2~g",
        },
        **scores,
        "annotations": titles + _labels(curves, palette),
    }


def _title(text: str, y: float, palette: Palette) -> dict[str, Any]:
    return {
        "text": text, "xref": "paper", "yref": "paper", "x": 0, "y": y, "xanchor": "left",
        "yanchor": "bottom", "showarrow": False, "font": {"color": palette.ink, "size": 13},
    }  # fmt: skip


def _labels(curves: Sequence[Curve], palette: Palette) -> list[dict[str, Any]]:
    """Each run's name at the end of its curve, moved apart where curves end close together."""
    ends = []
    for number, curve in enumerate(curves):
        last = [series[-1] for series in (curve.loss, curve.validation) if series]
        if last:
            ends.append((number, curve, *max(last, key=lambda point: point[0])))
    values = [v for c in curves for s in (c.loss, c.validation) for _, v in s]
    span = (max(values) - min(values) or 1.0) if values else 1.0
    ends.sort(key=lambda end: end[3])
    made, below = [], -1e9
    for number, curve, x, y in ends:
        place = max(y, below + 0.09 * span)
        below = place
        name = curve.name if len(curve.name) <= 18 else curve.name[:17] + "…"
        made.append(
            {
                "text": _escaped(name), "x": x, "y": place, "xref": "x", "yref": "y",
                "xanchor": "left", "xshift": 8, "showarrow": False,
                "font": {"color": palette.soft if number else palette.imitation, "size": 13},
            }
        )  # fmt: skip
    return made


def _escaped(text: str) -> str:
    """Plotly reads a few HTML tags in its texts."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("%{", "%&#123;")
