"""What the Recorded page shows, as HTML."""

from __future__ import annotations

from dashboards.recorded.actions import PAGE, Imported, Toned, View
from dashboards.shell.components import ColumnView, columns_html
from dashboards.shell.interval_text import number, percent
from dashboards.shell.markdown import plain
from dashboards.shell.refused_lines import refused_html
from dashboards.shell.tables import Table
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
EMPTY = (
    '<p class="lab-quiet">Nothing has been imported yet. Choose files above, or fetch MT-bench: '
    "six models' answers to 80 questions.</p>"
)


def imported_html(done: Imported) -> str:
    """How an import went, with the lines left out."""
    return f'<p class="lab-notice" role="status">{plain(done.message)}</p>' + refused_html(
        done.refused
    )


def report_html(found: RecordingSet, toned: Toned) -> str:
    """The finding, the table of all models, and how it is measured."""
    report = toned.report
    caption = f"Against {report.reference}; 95% intervals in brackets"
    rows = [
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
    terms = "".join(
        f"<dt>{label}</dt><dd>{plain(STYLE_DEFINITIONS[key])}</dd>"
        for key, label in _METRICS.items()
    )
    how = (
        f'<details class="lab-more"><summary>How this is measured</summary><dl>{terms}'
        f"<dt>{_TONE}</dt><dd>{_TONE_DEFINITION} {plain(rubrics()['tone'].about)}</dd></dl>"
        "<p>Intervals: expanded percentile bootstrap over prompts for the first two, Wilson's for "
        "the shares. The command <code>python -m imitation.jobs.commands.import_recorded</code> "
        "gives the same numbers.</p></details>"
    )
    left_out = ""
    if found.refused:
        left_out = (
            f'<details class="lab-more"><summary>{len(found.refused):,} left out when the set was '
            f"read</summary>{refused_html(found.refused)}</details>"
        )
    table = Table(caption, ("Model", "Prompts", *_METRICS.values(), _TONE), tuple(rows)).html()
    said = f'<p class="lab-note">{_heard(toned)}</p>'
    return f'<p class="lab-finding">{plain(finding(report))}</p>{table}{said}{how}{left_out}'


def _heard(toned: Toned) -> str:
    """Who judged the tone, or how to have it judged."""
    if not toned.judge:
        return (
            "Tone takes a judge: on <a href='/votes'>Votes</a>, under “Judges”, choose the rubric "
            "“Tone”, and this set as what to judge."
        )
    text = f"Tone, judged answer by answer: {plain(toned.judge)}."
    if toned.unread:
        text += f" {toned.unread:,} of its replies held no verdict and count for nobody."
    return text


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


def listing_html(view: View) -> str:
    """One page of prompts to choose from."""
    if not view.total:
        return (
            '<p class="lab-quiet">No prompt has these words. Change the search or the category.</p>'
        )
    first = view.page * PAGE
    rows = "".join(_row(p, first + i, view.at) for i, p in enumerate(view.prompts))
    last = first + len(view.prompts)
    count = f"{first + 1:,} to {last:,} of {view.total:,} prompts"
    if view.total <= PAGE:
        count = "1 prompt" if view.total == 1 else f"{view.total:,} prompts"
    return (
        f'<ol class="lab-history lab-prompts">{rows}</ol><div class="lab-meta lab-pager">'
        f"<span>{count}</span>"
        + _steps("page", view.page, (view.total - 1) // PAGE, "Previous page", "Next page")
        + "</div>"
    )


def arena_html(view: View) -> str:
    """The chosen prompt and each model's answer to it, side by side."""
    prompt = view.prompt
    if prompt is None:
        return ""
    about = [f"{view.at + 1:,} of {view.total:,}", f"question {prompt.id}"]
    about += [prompt.category] if prompt.category else []
    earlier = "".join(
        f'<p class="lab-question" dir="auto">{plain(text[:LONGEST])}</p>' for text in prompt.earlier
    )
    if earlier:
        count = len(prompt.earlier)
        label = "1 earlier question" if count == 1 else f"{count} earlier questions"
        earlier = f'<details class="lab-earlier"><summary>{label}</summary>{earlier}</details>'
    return (
        f'<div class="lab-meta lab-pager"><span>{plain(" · ".join(about))}</span>'
        + _steps("step", view.at, view.total - 1, "Previous", "Next")
        + f'</div>{earlier}<p class="lab-question" dir="auto">{plain(prompt.text[:LONGEST])}</p>'
        + str(columns_html([_column(view, model, i) for i, model in enumerate(view.models)]))
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


def _row(prompt: RecordedPrompt, at: int, current: int) -> str:
    here = ' aria-current="true"' if at == current else ""
    notes = [prompt.category] if prompt.category else []
    notes += ["follows an earlier question"] if prompt.earlier else []
    note = f"<small>{plain(' · '.join(notes))}</small>" if notes else ""
    text = " ".join(prompt.text[:400].split())
    return (
        f'<li{here}><button type="button" class="lab-open" data-do="at" data-to="{at}">'
        f'<b dir="auto">{plain(text)}</b>{note}</button></li>'
    )


def _steps(do: str, at: int, last: int, back: str, on: str) -> str:
    """Buttons to the one before and the one after."""
    off_back, off_on = (" disabled" if at <= 0 else ""), (" disabled" if at >= last else "")
    return (
        '<span class="lab-buttons">'
        f'<button type="button" data-do="{do}" data-to="{at - 1}"{off_back}>{back}</button>'
        f'<button type="button" data-do="{do}" data-to="{at + 1}"{off_on}>{on}</button></span>'
    )


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
