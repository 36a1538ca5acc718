"""The Gaps page's own part: what this lab has measured, filtered by run, benchmark and model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from markupsafe import Markup

from dashboards.shell.components import ROLE_NAMES
from dashboards.shell.figures.local_scores import LocalScore
from dashboards.shell.interval_text import percent
from dashboards.shell.queries import EXAMPLE_ID
from dashboards.shell.tables import Table
from dashboards.shell.templates import render
from imitation.spreadsheet import csv_text
from imitation.values import Interval

if TYPE_CHECKING:  # it comes with Plotly, which the start of the app does without
    from dashboards.shell.figures.panels import By

NONE_YET = Markup(
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
    """What is shown of the local runs.

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


def section_html(scores: Sequence[LocalScore], choice: Choice) -> Markup:
    """The section: finding, filters, room for the figure, table, download."""
    shown = chosen(scores, choice)
    imitations = [score for score in shown if score.role == "imitation"]
    unlike = dict.fromkeys(f"{score.task}: {why}" for score in shown for why in score.not_alike)
    return render(
        "paper/local_section.html",
        none_yet="" if scores else NONE_YET,
        finding=finding(imitations),
        selects=_selects(scores, choice),
        figure=_figure() if imitations else "",
        table=_table(shown).html(),
        not_alike="; ".join(unlike),
        notes=_notes(shown),
        csv=f"data:text/csv;charset=utf-8,{quote(_csv(shown))}",
    )


def finding(imitations: Sequence[LocalScore]) -> str:
    """One sentence on the gap closed, with its interval and n."""
    known = [s for s in imitations if s.closed and s.closed.value is not None]
    if not known:
        why = next((s.undefined for s in imitations if s.undefined), "")
        return f"No share of a gap is defined here{f': {why}' if why else ''}."

    def closes(score: LocalScore) -> str:
        assert score.closed is not None
        return f"{score.name} closes {percent(score.closed, 0)} of the gap on {score.task}"

    def share(score: LocalScore) -> float:
        return (score.closed.value or 0.0) if score.closed else 0.0

    most, least = max(known, key=share), min(known, key=share)
    if most is least:
        return f"{closes(most)} (n = {most.value.n:,})."
    if len(known) == 2:
        return f"{closes(most)}; {closes(least)}."
    return f"{closes(most)}, the most of {len(known)}; {closes(least)}, the least."


def figures(scores: Sequence[LocalScore], choice: Choice) -> dict[str, Any]:
    """The section's figure as Plotly's, by view; {} where there is nothing to draw."""
    from dashboards.paper.local_runs import runs_figure
    from dashboards.shell.figures.template import plotly_template
    from dashboards.shell.palette import LIGHT

    shown = chosen(scores, choice)
    if not any(s.role == "imitation" for s in shown):
        return {}
    template = plotly_template(LIGHT)
    by: By = "size" if choice.by == "size" else "tokens"
    return {
        "score": runs_figure(shown, LIGHT, template, "score", by),
        "gap": runs_figure(shown, LIGHT, template, "gap", by),
        "source": "Measured in this laboratory; 95% intervals.",
    }


def _figure() -> Markup:
    return render(
        "paper/figure.html",
        id="own",
        label="Own runs; the table below holds the values",
        caption="Measured here; click a point for the answers behind it",
        slot=False,
    )


def _selects(
    scores: Sequence[LocalScore], choice: Choice
) -> list[tuple[str, str, list[tuple[str, str]], str]]:
    """What the runs can be narrowed down by: name, label, options (value, text), the one set."""
    runs = dict.fromkeys((s.run, s.run_name) for s in scores)
    tasks = dict.fromkeys((s.task, s.task) for s in scores)
    models = dict.fromkeys((s.model, s.name) for s in scores if s.role == "imitation")
    along = [("tokens", "Imitation tokens"), ("size", "Size of the base")]
    return [
        ("run", "Run", [("", "All runs"), *runs], choice.run),
        ("task", "Benchmark", [("", "All benchmarks"), *tasks], choice.task),
        ("model", "Imitation", [("", "All imitations"), *models], choice.model),
        ("by", "Along", along, choice.by),
    ]


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


def _notes(scores: Sequence[LocalScore]) -> list[str]:
    """What a reader of the numbers must know."""
    notes = [EXAMPLE_NOTE] if any(s.run == EXAMPLE_ID for s in scores) else []
    notes += [STAND_IN] if any(s.stand_in for s in scores) else []
    notes += dict.fromkeys(f"{s.task}, {s.name}: {note}" for s in scores for note in s.notes)
    notes += dict.fromkeys(
        f"{s.task}, {s.name}: no share of the gap, since {s.undefined}."
        for s in scores
        if s.undefined
    )
    return notes


def _csv(scores: Sequence[LocalScore]) -> str:
    plain = [f.name for f in fields(LocalScore) if f.name not in _WRITTEN_APART]
    measured = ("value", "low", "high", "n", "gap_closed", "gap_low", "gap_high", *_LISTS)
    rows: list[list[Any]] = [[*plain, *measured]]
    for s in scores:
        gap = s.closed or Interval(None, None, None, 0)
        cells = [getattr(s, name) for name in plain]
        cells += [s.value.value, s.value.low, s.value.high, s.value.n, gap.value, gap.low, gap.high]
        rows.append([*cells, "; ".join(s.not_alike), " ".join(s.notes)])
    return csv_text(rows)
