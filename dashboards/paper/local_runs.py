"""The lab's own measurements: a panel per benchmark, and marks over the paper's curves."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from html import escape
from urllib.parse import quote

import plotly.graph_objects as go

from dashboards.shell.figures.draw import draw
from dashboards.shell.figures.local_scores import LocalScore
from dashboards.shell.figures.panels import By, Line, Panel, Point, Template, View
from dashboards.shell.palette import Palette

MOST_PANELS = 9


def runs_figure(
    scores: Sequence[LocalScore], palette: Palette, template: Template, view: View, by: By
) -> go.Figure:
    """One panel per task and base: imitations along tokens or size, base and reference dashed.

    Raises:
        ValueError: There are no imitations among the scores.
    """
    groups: dict[tuple[str, str], list[LocalScore]] = {}
    for score in scores:
        if score.role == "imitation":
            key = (score.task, score.base if by == "tokens" else "")
            groups.setdefault(key, []).append(score)
    panels = [
        _panel(task, base, group, scores, view, by)
        for (task, base), group in list(groups.items())[:MOST_PANELS]
    ]
    return draw(panels, palette, template)


def over(panel: Panel, benchmark: str, scores: Sequence[LocalScore], by: By, view: View) -> Panel:
    """The paper's panel with the imitations measured here on the same benchmark as open diamonds.

    Those whose tokens (or whose base's size) are not known have no place on the axis.
    """
    if panel.empty:
        return panel
    factor = 100.0 if view == "gap" or panel.span[1] > 1 else 1.0
    added = []
    for score in scores:
        at = score.tokens_m if by == "tokens" else score.params_b
        value = score.closed if view == "gap" else score.value
        if score.paper != benchmark or score.role != "imitation" or at is None or value is None:
            continue
        if value.value is not None:
            mark = _point(score, at, factor, view)
            added.append(dataclasses.replace(mark, label="", symbol="diamond-open"))
    if not added:
        return panel
    ends = [end for p in added for end in (p.value, p.low, p.high) if end is not None]
    low, high = min(panel.span[0], *ends), max(panel.span[1], *ends)
    if high > panel.span[1]:
        high += 0.05 * (high - low)
    return dataclasses.replace(
        panel,
        points=(*panel.points, *added),
        span=(low, high),
        ticks=_with_ends(panel.ticks, [p.at for p in added], by),
        note="; ".join(part for part in (panel.note, "open diamonds: your runs") if part),
    )


def _with_ends(
    ticks: tuple[tuple[float, str], ...], marks: Sequence[float], by: By
) -> tuple[tuple[float, str], ...]:
    """The ticks, with one more at either end where marks lie beyond; unnamed if too close."""
    first, last = ticks[0][0], ticks[-1][0]
    unit = "M" if by == "tokens" else "B"
    for end in {min([first, *marks]), max([last, *marks])} - {first, last}:
        near = min(abs(end - first), abs(end - last)) < 0.2 * (last - first)
        ticks = (*ticks, (end, "" if near else f"{end:.2g}{unit}"))
    return ticks


def _panel(
    task: str,
    base: str,
    group: Sequence[LocalScore],
    scores: Sequence[LocalScore],
    view: View,
    by: By,
) -> Panel:
    def order(score: LocalScore) -> tuple[float, float, str]:
        return (score.tokens_m or 0, score.params_b or 0, score.name)

    ranked = sorted(group, key=order if by == "tokens" else lambda s: (s.params_b or 0, *order(s)))
    ticks = tuple((float(i), _tick(score, by)) for i, score in enumerate(ranked))
    runs = {score.run for score in group}
    peers = [s for s in scores if s.task == task and s.run in runs]
    bases = _one_each([s for s in peers if s.role == "base" and base in ("", s.model)])
    references = _one_each([s for s in peers if s.role == "reference"])
    if view == "gap":
        return _gap_panel(task, ranked, ticks)
    # Several bases (by size), or runs that differ: no line is "the" base.
    ends = [*(bases if len(bases) == 1 else []), *(references if len(references) == 1 else [])]
    lines = tuple(
        Line(
            100 * (s.value.value or 0), f"{s.role} {100 * (s.value.value or 0):.1f}",
            _hover(s, "score"), s.role,
        )
        for s in ends
    )  # fmt: skip
    points = tuple(_point(s, float(i), 100.0, "score") for i, s in enumerate(ranked))
    highs = [p.high or p.value for p in points] + [line.value for line in lines]
    subtitle = f"{group[0].metric} (%), {group[0].how}"
    note = "" if len({s.how for s in group}) == 1 else "not measured alike"
    top = max(1.0, 1.25 * max(highs))
    return Panel(task, subtitle, "sweep", points, ticks, lines, note=note, span=(0, top), pad=0.3)


def _gap_panel(
    task: str, ranked: Sequence[LocalScore], ticks: tuple[tuple[float, str], ...]
) -> Panel:
    known = [(i, s) for i, s in enumerate(ranked) if s.closed and s.closed.value is not None]
    if not known:
        why = next((s.undefined for s in ranked if s.undefined), "base or reference is missing")
        reason = f"Gap closed is not defined here:<br>{escape(why)}."
        return Panel(task, "gap closed", "sweep", (), ticks, empty=reason)
    points = tuple(_point(s, float(i), 100.0, "gap") for i, s in known)
    lines = (Line(0, "base", "the base", "base"), Line(100, "reference", "all of it", "reference"))
    values = [end for p in points for end in (p.value, p.low, p.high) if end is not None]
    values += [0, 100]
    pad = 0.16 * (max(values) - min(values))
    span = (min(values) - pad, max(values) + pad)
    return Panel(task, "gap closed", "sweep", points, ticks, lines, span=span, suffix="%", pad=0.3)


def _point(score: LocalScore, at: float, factor: float, view: View) -> Point:
    value = score.closed if view == "gap" and score.closed else score.value
    middle = factor * (value.value or 0)
    label = f"{middle:.0f}%" if view == "gap" else f"{middle:.{1 if factor > 1 else 3}f}"
    return Point(
        at=at,
        value=middle,
        label=label,
        hover=_hover(score, view),
        low=None if value.low is None else factor * value.low,
        high=None if value.high is None else factor * value.high,
        measured_here=True,
        link=f"evaluate?run={quote(score.run)}&task={quote(score.task)}",
    )


def _hover(score: LocalScore, view: View) -> str:
    value = score.closed if view == "gap" and score.closed else score.value
    middle, ends = f"{100 * (value.value or 0):.1f}%", ""
    if value.low is not None and value.high is not None:
        ends = f" [{100 * value.low:.1f}, {100 * value.high:.1f}]"
    tokens = "" if score.tokens_m is None else f", {score.tokens_m:g}M tokens"
    lines = [
        f"<b>{escape(score.name)}</b>{tokens}",
        f"{'gap closed' if view == 'gap' else escape(score.metric)}: <b>{middle}</b>{ends}",
        f"n = {value.n:,}; {escape(score.how)}",
        f"your run {escape(score.run_name)}; click for its answers",
    ]
    if score.stand_in:
        lines.append("a pocket stand-in, no finding of the paper")
    return "<br>".join(lines)


def _tick(score: LocalScore, by: By) -> str:
    if by == "size":
        size = "size unknown" if score.params_b is None else f"{score.params_b:g}B"
        return f"{escape(score.name)}<br>{size}"
    tokens = "tokens unknown" if score.tokens_m is None else f"{score.tokens_m:g}M"
    return f"{escape(score.name)}<br>{tokens}"


def _one_each(scores: Sequence[LocalScore]) -> list[LocalScore]:
    """The newest score of each model."""
    newest: dict[str, LocalScore] = {}
    for score in scores:
        newest.setdefault(score.model, score)
    return list(newest.values())
