"""What was preferred: scores with their intervals, and one model against another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go

from dashboards.shell.palette import Palette
from imitation.evaluation.judging.bradley_terry import Ratings
from imitation.evaluation.judging.preferences import WinRate

ROW, GAP, EDGES = 52, 96, 80
"""Pixels of a model or a pair, between the panels, and above and below them."""
MOST_PAIRS = 12
LONGEST, IN_PAIR = 40, 22
"""Characters of a model's name, alone and in a pair."""

Name = Callable[[str], str]


def preferences(
    plain: Ratings,
    styled: Ratings,
    rates: Sequence[WinRate],
    name: Name,
    palette: Palette,
    template: go.layout.Template | Mapping[str, Any],
) -> go.Figure:
    """Above, Bradley-Terry scores as preferred and with style taken out; below, pairs as bars.

    Args:
        plain: Scores as preferred.
        styled: The same models' scores with style taken out.
        rates: Every two models that met; those with most items are drawn where there are more
            than `MOST_PAIRS`.
        name: What a model is called.
        palette: Colours.
        template: Plotly's.
    """
    most = sorted(rates, key=lambda rate: -rate.n)[:MOST_PAIRS]
    pairs = [rate if rate.wins >= rate.losses else rate.mirrored for rate in most]
    models = [rating.model for rating in plain.models]
    unsaid = {
        rating.model: rating.score.too_few() or "not defined"
        for rating in plain.models
        if rating.score.value is None
    }
    height = EDGES + GAP + ROW * (len(models) + len(pairs))
    split = ROW * len(pairs) / (height - EDGES)
    labels = {model: _label(name(model)) for model in models}
    apart = any(rating.group for rating in plain.models)
    grouped = " (no scale in common)" if apart else ""
    fits = (("as preferred", plain, palette.imitation, "circle", -0.14),
            ("style taken out", styled, palette.soft, "diamond", 0.14))  # fmt: skip
    traces = [
        _scores(kind, fit, models, labels, colour, symbol, shift)
        for kind, fit, colour, symbol, shift in fits
    ]
    layout = {
        "template": template,
        "height": height,
        "margin": {"l": 4, "r": 16, "t": 40, "b": 40},
        "dragmode": False,
        "barmode": "stack",
        "xaxis": {
            "anchor": "y", "fixedrange": True, "showgrid": True, "nticks": 6, "tickangle": 0,
            "showticklabels": len(unsaid) < len(models),
        },
        "yaxis": _rows(len(models), 1 - ROW * len(models) / (height - EDGES), 1.0),
        "xaxis2": {
            "anchor": "y2", "fixedrange": True, "range": [0, 1], "tickformat": ".0%", "dtick": 0.25,
            "tickangle": 0,
        },
        "yaxis2": _rows(len(pairs), 0.0, split),
        "annotations": [
            _title("Scores, 95%: ● as preferred, ◆ style taken out" + grouped, 1.0, palette),
            _title("Items: first better, equal, second better", split, palette),
            *(_named(labels[m], at, "y", palette) for at, m in enumerate(models)),
            *(_named(_pair(rate, name), at, "y2", palette) for at, rate in enumerate(pairs)),
            *(_unsaid(models.index(model), why, palette) for model, why in unsaid.items()),
        ],
    }  # fmt: skip
    return go.Figure(data=[*traces, *_bars(pairs, name, palette)], layout=layout)


def _scores(
    kind: str,
    fit: Ratings,
    models: Sequence[str],
    labels: Mapping[str, str],
    colour: str,
    symbol: str,
    shift: float,
) -> dict[str, Any]:
    by_model = {rating.model: rating.score for rating in fit.models}
    known = [m for m in models if m in by_model and by_model[m].value is not None]
    scores = [by_model[m] for m in known]
    values = [score.value or 0.0 for score in scores]
    ends = zip(scores, values, strict=True)
    arms = [
        ((s.high - v, v - s.low) if s.high is not None and s.low is not None else (0.0, 0.0))
        for s, v in ends
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": kind,
        "x": values,
        "y": [models.index(model) + shift for model in known],
        "customdata": [[labels[m], s.n] for m, s in zip(known, scores, strict=True)],
        "marker": {"color": colour, "symbol": symbol, "size": 9},
        "error_x": {
            "type": "data", "symmetric": False, "array": [up for up, _ in arms],
            "arrayminus": [down for _, down in arms], "color": colour, "thickness": 1.6, "width": 4,
        },
        "hovertemplate": f"%{{customdata[0]}}<br>{kind}: %{{x:.0f}}<br>"
        "n = %{customdata[1]:,} items<extra></extra>",
    }  # fmt: skip


def _bars(pairs: Sequence[WinRate], name: Name, palette: Palette) -> list[dict[str, Any]]:
    kinds = (
        ("first better", palette.imitation, [rate.wins for rate in pairs]),
        ("equal", palette.line, [rate.ties for rate in pairs]),
        ("second better", palette.reference, [rate.losses for rate in pairs]),
    )
    return [
        {
            "type": "bar",
            "orientation": "h",
            "name": kind,
            "xaxis": "x2",
            "yaxis": "y2",
            "x": [count / rate.n for count, rate in zip(counts, pairs, strict=True)],
            "y": list(range(len(pairs))),
            "width": 0.5,
            "marker": {"color": colour},
            "text": [f"{count:,}" if count else "" for count in counts],
            "textposition": "inside",
            "insidetextanchor": "middle",
            "customdata": [
                [_label(name(rate.model)), _label(name(rate.other)), count, rate.n]
                for count, rate in zip(counts, pairs, strict=True)
            ],
            "hovertemplate": "%{customdata[0]} against %{customdata[1]}<br>"
            + f"{kind}: %{{customdata[2]:,}} of %{{customdata[3]:,}} items (%{{x:.0%}})"
            + "<extra></extra>",
        }
        for kind, colour, counts in kinds
    ]


def _rows(count: int, low: float, high: float) -> dict[str, Any]:
    """An axis of rows, the first on top, each with room for its name."""
    return {
        "domain": [low, high], "range": [count - 0.6, -0.7], "fixedrange": True,
        "showgrid": False, "showticklabels": False,
    }  # fmt: skip


def _named(text: str, at: int, axis: str, palette: Palette) -> dict[str, Any]:
    """A row's name above it."""
    return {
        "text": text, "xref": "paper", "yref": axis, "x": 0, "y": at, "xanchor": "left",
        "yanchor": "bottom", "yshift": 12, "showarrow": False,
        "font": {"color": palette.soft, "size": 12},
    }  # fmt: skip


def _unsaid(at: int, why: str, palette: Palette) -> dict[str, Any]:
    """Why a row has no mark."""
    return {
        "text": why, "xref": "paper", "yref": "y", "x": 0, "y": at, "xanchor": "left",
        "yanchor": "middle", "showarrow": False, "font": {"color": palette.soft, "size": 12},
    }  # fmt: skip


def _title(text: str, y: float, palette: Palette) -> dict[str, Any]:
    return {
        "text": text, "xref": "paper", "yref": "paper", "x": 0, "y": y, "xanchor": "left",
        "yanchor": "bottom", "yshift": 14, "showarrow": False,
        "font": {"color": palette.ink, "size": 13},
    }  # fmt: skip


def _pair(rate: WinRate, name: Name) -> str:
    first, second = (_label(name(model), IN_PAIR) for model in (rate.model, rate.other))
    return f"{first} against {second}"


def _label(name: str, longest: int = LONGEST) -> str:
    """Short, and no markup."""
    cut = name if len(name) <= longest else name[: longest - 1] + "…"
    return escape(cut, quote=False)
