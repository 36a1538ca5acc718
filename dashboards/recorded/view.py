"""What the Recorded page shows, as HTML."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from dashboards.recorded.actions import PAGE, Imported, Toned, View
from dashboards.shell.components import ColumnView, columns_html, notice_html
from dashboards.shell.interval_text import number, percent
from dashboards.shell.refused_lines import refused_html
from dashboards.shell.tables import Table
from dashboards.shell.templates import render
from imitation.evaluation.judging.rubrics import rubrics
from imitation.evaluation.metrics.style import STYLE_DEFINITIONS, compare, word_count
from imitation.evaluation.metrics.style_report import ModelStyle, StyleReport
from imitation.storage.recordings import RecordingSet
from imitation.values import Interval, RecordedPrompt

LONGEST = 50_000
"""Characters of an answer that are shown; its style is that of all of it."""
_METRICS = {
    "unigram_intersection": "Words shared",
    "length_correlation": "Length correlation",
    "list_agreement": "Lists",
    "summary_agreement": "Closing summaries",
}
_TONE = "Authoritative tone"
_TONE_DEFINITION = (
    "Of the model's own answers, the share that a judge calls authoritative in tone; the "
    "reference's row says how much of it there was to imitate. Wilson interval."
)
EMPTY = Markup(
    '<p class="lab-quiet">Nothing has been imported yet. Choose files above, or fetch MT-bench: '
    "six models' answers to 80 questions.</p>"
)


def imported_html(done: Imported) -> Markup:
    """How an import went, with the lines left out."""
    return notice_html([done.message]) + Markup(refused_html(done.refused))


def report_html(recording_set: RecordingSet, toned: Toned) -> Markup:
    """The finding, the table of all models, and how it is measured."""
    report = toned.report
    caption = f"Against {report.reference}; 95% intervals in brackets"
    rows: list[tuple[str, ...]] = [
        (
            model.model,
            f"{model.n:,}",
            percent(model.unigram_intersection),
            number(model.length_correlation),
            _share(model.list_agreement),
            _share(model.summary_agreement),
            _tone(model.tone),
        )
        for model in report.models
    ]
    if report.reference_tone:
        blank = ("",) * len(_METRICS)
        rows.append((f"{report.reference} (reference)", "", *blank, _tone(report.reference_tone)))
    return render(
        "recorded/report.html",
        finding=finding(report),
        table=Table(caption, ("Model", "Prompts", *_METRICS.values(), _TONE), tuple(rows)).html(),
        judge=toned.judge,
        unread=toned.unread,
        definitions=[
            *((label, STYLE_DEFINITIONS[key]) for key, label in _METRICS.items()),
            (_TONE, f"{_TONE_DEFINITION} {rubrics()['tone'].about}"),
        ],
        refused=len(recording_set.refused),
        refused_table=Markup(refused_html(recording_set.refused)),
    )


def finding(report: StyleReport) -> str:
    """One sentence on who sounds most like the reference."""
    ranked = sorted(
        (m for m in report.models if m.n and not m.unigram_intersection.too_few()),
        key=lambda m: m.unigram_intersection.value or 0.0,
    )
    if not ranked:
        few = max(report.models, key=lambda m: m.n, default=None)
        if few is None or not few.n:
            return f"No other model answered the prompts that {report.reference} answered."
        why = few.unigram_intersection.too_few("prompt") or "no words to compare"
        return f"Who sounds most like {report.reference}: {why}."
    most, least = ranked[-1], ranked[0]
    sentence = f"{most.model} shares {_rough(most)} of its words with {report.reference}"
    if len(ranked) == 1:
        return sentence + "."
    return (
        f"{sentence}, the most of {len(ranked)} models; {least.model} the least, {_rough(least)}."
    )


def listing_html(view: View) -> Markup:
    """One page of prompts to choose from."""
    if not view.total:
        return Markup(
            '<p class="lab-quiet">No prompt has these words. Change the search or the category.</p>'
        )
    first = view.page * PAGE
    last = first + len(view.prompts)
    count = f"{first + 1:,} to {last:,} of {view.total:,} prompts"
    if view.total <= PAGE:
        count = "1 prompt" if view.total == 1 else f"{view.total:,} prompts"
    return render(
        "recorded/listing.html",
        rows=[_row(prompt, at, view.at) for at, prompt in enumerate(view.prompts, first)],
        count=count,
        page=view.page,
        last_page=(view.total - 1) // PAGE,
    )


def arena_html(view: View) -> Markup:
    """The chosen prompt and each model's answer to it, side by side."""
    prompt = view.prompt
    if prompt is None:
        return Markup()
    about = [f"{view.at + 1:,} of {view.total:,}", f"question {prompt.id}"]
    about += [prompt.category] if prompt.category else []
    return render(
        "recorded/answers.html",
        about=" · ".join(about),
        at=view.at,
        last=view.total - 1,
        earlier=[text[:LONGEST] for text in prompt.earlier],
        prompt=prompt.text[:LONGEST],
        columns=columns_html([_column(view, model, i) for i, model in enumerate(view.models)]),
    )


def _column(view: View, model: str, index: int) -> ColumnView:
    is_reference = model == view.reference
    text = view.answers.get(model)
    other = view.answers.get(view.reference)
    label, name = ("Reference", model) if is_reference else (model, "")
    if text is None:
        missing = ("No answer of this model to this prompt is recorded.", "")
        return ColumnView(
            label, name, role="reference" if is_reference else None, state="failed", error=missing
        )
    words = word_count(text)
    detail = "1 word" if words == 1 else f"{words:,} words"
    cut = [f"first {LONGEST:,} of {len(text):,} characters"] if len(text) > LONGEST else []
    return ColumnView(
        label,
        name,
        detail,
        role="reference" if is_reference else None,
        text=text[:LONGEST],
        state="done",
        strip=compare(text, other) if other is not None and not is_reference else None,
        is_reference=is_reference,
        meta=cut,
        buttons=[("copy", "Copy")] if text else [],
        index=index,
    )


def _row(prompt: RecordedPrompt, at: int, current: int) -> dict[str, Any]:
    """A line of the list of prompts."""
    notes = [prompt.category] if prompt.category else []
    notes += ["follows an earlier question"] if prompt.earlier else []
    return {
        "at": at,
        "current": at == current,
        "text": " ".join(prompt.text[:400].split()),
        "notes": " · ".join(notes),
    }


def _rough(model: ModelStyle) -> str:
    return f"{100 * (model.unigram_intersection.value or 0):.0f}%"


def _share(interval: Interval) -> str:
    if not interval.n:
        return "not defined"
    return interval.too_few("prompt") or f"{percent(interval)} of {interval.n:,}"


def _tone(interval: Interval | None) -> str:
    if interval is None:
        return "not judged"
    return _share(interval) if interval.n else "no verdict"
