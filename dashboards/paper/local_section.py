"""The Gaps page's own part: what this lab has measured, filtered by run, benchmark and model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from html import escape
from typing import Any
from urllib.parse import quote

from dashboards.shell.components import ROLE_NAMES
from dashboards.shell.figures.local_scores import LocalScore
from dashboards.shell.interval_text import percent
from dashboards.shell.queries import EXAMPLE_ID
from dashboards.shell.tables import Table
from imitation.spreadsheet import csv_text
from imitation.values import Interval

NONE_YET = (
    '<p class="lab-quiet">Nothing has been measured here yet. <a href="evaluate">Evaluate</a> '
    "measures a base, its imitation and a reference; the result then stands here and over the "
    "paper's curves.</p>"
)
EXAMPLE_NOTE = (
    "An example that is shipped with the app: nothing has been measured here yet. The first run of "
    "your own takes its place."
)
STAND_IN = (
    "Pocket stand-ins: the reference is the uncut base, so part of any gain is the repair of cut "
    "layers, and none of this is the paper's finding."
)


_LISTS = ("not_alike", "notes")
_WRITTEN_APART = ("value", "closed", *_LISTS)
"""Fields of a score that are no plain cell of the CSV."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is shown of the own runs.

    Attributes:
        run: Id of a run's job, "" for all.
        task: A task, "" for all.
        model: Id of an imitation, "" for all.
        by: "tokens" or "size".
    """

    run: str = ""
    task: str = ""
    model: str = ""
    by: str = "tokens"

    @classmethod
    def of(cls, wanted: object) -> Choice:
        """What the page's script asked for; unknown keys and kinds are passed over."""
        table = wanted if isinstance(wanted, dict) else {}
        known = {f.name for f in fields(cls)}
        return cls(**{k: v for k, v in table.items() if k in known and isinstance(v, str)})


def chosen(scores: Sequence[LocalScore], choice: Choice) -> list[LocalScore]:
    """The scores of a choice; bases and references stay with the imitations."""
    return [
        s
        for s in scores
        if choice.run in ("", s.run)
        and choice.task in ("", s.task)
        and (s.role != "imitation" or choice.model in ("", s.model))
    ]


def own_html(scores: Sequence[LocalScore], choice: Choice) -> str:
    """The section: finding, filters, room for the figure, table, download."""
    head = '<section class="lab-section" id="own" data-view="{}" data-title="Your runs">'
    head = head.format("score") + "<h2>Your runs</h2>"
    if not scores:
        return f"{head}{NONE_YET}</section>"
    shown = chosen(scores, choice)
    imitations = [s for s in shown if s.role == "imitation"]
    parts = [
        head,
        f'<p class="lab-finding">{escape(finding(imitations))}</p>',
        _filters(scores, choice),
    ]
    if imitations:
        parts.append(
            '<div class="lab-switch"><div class="lab-seg" role="group" aria-label="Shown as">'
            '<button type="button" data-view="score" aria-pressed="true">Score</button>'
            '<button type="button" data-view="gap" aria-pressed="false">Gap closed</button>'
            '</div></div><figure class="lab-figure"><div class="lab-plot" data-figure="own" '
            'role="img" aria-label="Own runs; the table below holds the values"></div>'
            '<figcaption class="lab-links"><span>Measured here; click a point for the answers '
            "behind it</span>"
            + "".join(
                f'<button type="button" data-format="{kind}" data-figure="own">{kind.upper()}'
                "</button>"
                for kind in ("png", "svg")
            )
            + "</figcaption></figure>"
        )
    parts += [_table(shown).html(), _notes(shown), _csv(shown), "</section>"]
    return "".join(parts)


def finding(imitations: Sequence[LocalScore]) -> str:
    """One sentence on the gap closed, with its interval and n."""
    known = [s for s in imitations if s.closed and s.closed.value is not None]
    if not known:
        why = next((s.undefined for s in imitations if s.undefined), "")
        return f"No share of a gap is defined here{f': {why}' if why else ''}."

    def told(score: LocalScore) -> str:
        assert score.closed is not None
        return f"{score.name} closes {percent(score.closed, 0)} of the gap on {score.task}"

    def share(score: LocalScore) -> float:
        return (score.closed.value or 0.0) if score.closed else 0.0

    most, least = max(known, key=share), min(known, key=share)
    if most is least:
        return f"{told(most)} (n = {most.value.n:,})."
    if len(known) == 2:
        return f"{told(most)}; {told(least)}."
    return f"{told(most)}, the most of {len(known)}; {told(least)}, the least."


def figures(scores: Sequence[LocalScore], choice: Choice) -> dict[str, Any]:
    """The section's figure as Plotly's, by view; {} where there is nothing to draw."""
    from dashboards.paper.local_runs import own_runs
    from dashboards.shell.figures.template import plotly_template
    from dashboards.shell.palette import LIGHT

    shown = chosen(scores, choice)
    if not any(s.role == "imitation" for s in shown):
        return {}
    template = plotly_template(LIGHT)
    by = "size" if choice.by == "size" else "tokens"
    return {
        "score": own_runs(shown, LIGHT, template, "score", by),
        "gap": own_runs(shown, LIGHT, template, "gap", by),
        "source": "Measured in this laboratory; 95% intervals.",
    }


def _filters(scores: Sequence[LocalScore], choice: Choice) -> str:
    runs = dict.fromkeys((s.run, s.run_name) for s in scores)
    tasks = dict.fromkeys((s.task, s.task) for s in scores)
    models = dict.fromkeys((s.model, s.name) for s in scores if s.role == "imitation")
    return (
        '<div class="lab-selects">'
        + _select("run", "Run", [("", "All runs"), *runs], choice.run)
        + _select("task", "Benchmark", [("", "All benchmarks"), *tasks], choice.task)
        + _select("model", "Imitation", [("", "All imitations"), *models], choice.model)
        + _select(
            "by", "Along", [("tokens", "Imitation tokens"), ("size", "Size of the base")], choice.by
        )
        + "</div>"
    )


def _select(name: str, label: str, options: Iterable[tuple[str, str]], value: str) -> str:
    made = "".join(
        f'<option value="{escape(key)}"{" selected" if key == value else ""}>{escape(text)}'
        "</option>"
        for key, text in options
    )
    return f'<label>{escape(label)}<select data-own="{name}">{made}</select></label>'


def _table(scores: Sequence[LocalScore]) -> Table:
    rows = []
    for s in scores:
        gap = ""
        if s.role == "imitation":
            gap = percent(s.closed, 0) if s.closed else "not defined"
        tokens = "" if s.tokens_m is None else f"{s.tokens_m:g}M"
        rows.append(
            (f"{s.task}: {s.name}", ROLE_NAMES[s.role], tokens,
             percent(s.value, missing="not measured"), f"{s.value.n:,}", gap, s.how, s.run_name)
        )  # fmt: skip
    header = (
        "Benchmark and model", "Role", "Tokens", "Score", "n", "Gap closed", "How", "Run",
    )  # fmt: skip
    return Table("Measured here; 95% intervals in brackets", header, tuple(rows))


def _notes(scores: Sequence[LocalScore]) -> str:
    notes = [EXAMPLE_NOTE] if any(s.run == EXAMPLE_ID for s in scores) else []
    notes += [STAND_IN] if any(s.stand_in for s in scores) else []
    notes += dict.fromkeys(f"{s.task}, {s.name}: {note}" for s in scores for note in s.notes)
    notes += dict.fromkeys(
        f"{s.task}, {s.name}: no share of the gap, since {s.undefined}."
        for s in scores
        if s.undefined
    )
    unlike = dict.fromkeys(f"{s.task}: {why}" for s in scores for why in s.not_alike)
    badge = ""
    if unlike:
        text = escape("; ".join(unlike))
        badge = f'<p class="lab-note"><span class="lab-badge">not measured alike: {text}</span></p>'
    return badge + "".join(f'<p class="lab-note">{escape(note)}</p>' for note in notes)


def _csv(scores: Sequence[LocalScore]) -> str:
    plain = [f.name for f in fields(LocalScore) if f.name not in _WRITTEN_APART]
    measured = ("value", "low", "high", "n", "gap_closed", "gap_low", "gap_high", *_LISTS)
    rows: list[list[Any]] = [[*plain, *measured]]
    for s in scores:
        gap = s.closed or Interval(None, None, None, 0)
        cells = [getattr(s, name) for name in plain]
        cells += [s.value.value, s.value.low, s.value.high, s.value.n, gap.value, gap.low, gap.high]
        rows.append([*cells, "; ".join(s.not_alike), " ".join(s.notes)])
    href = f"data:text/csv;charset=utf-8,{quote(csv_text(rows))}"
    return f'<p class="lab-links"><a href="{href}" download="own-runs.csv">CSV</a></p>'
