"""Pieces of HTML that pages share: columns of answers, notices, what was sent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from dashboards.shell import markdown
from dashboards.shell.templates import render
from imitation.evaluation.metrics.style import STYLE_DEFINITIONS, Strip
from imitation.values import Answer, ModelSpec, Role

ROLE_NAMES: dict[Role, str] = {
    "base": "Base",
    "imitation": "Imitation",
    "reference": "Reference",
}


@dataclass(frozen=True, slots=True)
class ColumnView:
    """One column as shown.

    Attributes:
        label: "Base", "Imitation", "Reference", or a letter while names are hidden.
        name: The model's name; "" while hidden.
        detail: Size and kind, on the right; "" while hidden.
        role: Colours the column; None while hidden.
        text: The answer (Markdown).
        state: As in Answer; "idle" before anything was asked.
        status: What the model is busy with before its first text.
        progress: How far that is, 0 to 1; None where unknown.
        strip: Style against the reference's answer; None: not shown.
        is_reference: The strip would compare the column with itself.
        fact: Whether the known answer is in the text, and the known answer; None: no such thing.
        meta: Short facts for the last line (speed, latency).
        error: Message and hint.
        sent: "What was sent" (`sent_html`), "" for none.
        stoppable: A Stop button stands in the head, where growing text doesn't move it.
        buttons: (data-do, label) in order; each carries the column's index.
        index: Position, sent back with clicks.
    """

    label: str
    name: str = ""
    detail: str = ""
    role: Role | None = None
    text: str = ""
    state: str = "idle"
    status: str = ""
    progress: float | None = None
    strip: Strip | None = None
    is_reference: bool = False
    fact: tuple[bool, str] | None = None
    meta: Sequence[str] = ()
    error: tuple[str, str] | None = None
    sent: Markup | str = ""
    stoppable: bool = False
    buttons: Sequence[tuple[str, str]] = ()
    index: int = 0


def columns_html(columns: Sequence[ColumnView]) -> Markup:
    """The columns side by side, one below the other on a narrow page."""
    inside = Markup("").join(column_html(column) for column in columns)
    return Markup('<div class="lab-cols">{}</div>').format(inside)


def column_html(column: ColumnView) -> Markup:
    """One column: who, what was answered, how it compares, how fast."""
    return render(
        "shell/column.html",
        column=column,
        writing=column.state in ("waiting", "streaming"),
        percent=round(100 * (column.progress or 0.0)),
        body=Markup(markdown.render(column.text)),  # cleaned there: no script, no raw HTML
        strip=strip_html(column.strip) if column.strip else "",
    )


def strip_html(strip: Strip) -> Markup:
    """Style against the reference's answer: words shared, length, list and summary agreement."""
    shared, ratio = strip.unigram_intersection, strip.length_ratio
    bars = [
        ("Words shared", "unigram_intersection", shared, _percent(shared)),
        ("Length", "length", min(ratio or 0.0, 1.0), "-" if ratio is None else f"{ratio:.1f}x"),
    ]
    agreements = [
        ("List", "list_agreement", strip.list_agreement, strip.lists),
        ("Closing summary", "summary_agreement", strip.summary_agreement, strip.summary),
    ]
    return render(
        "shell/strip.html",
        bars=[
            (label, STYLE_DEFINITIONS[key], round(100 * (share or 0.0)), text)
            for label, key, share, text in bars
        ],
        agreements=[
            (label, STYLE_DEFINITIONS[key], _agreement(agrees, has))
            for label, key, agrees, has in agreements
        ],
    )


def answer_meta(answer: Answer) -> list[str]:
    """Speed and latency of an answer, in words; approximate counts are marked."""
    done = answer.done
    meta = []
    if done and done.tokens_per_s is not None:
        about = "about " if done.tokens_are_approximate else ""
        meta.append(f"{about}{done.tokens_per_s:.0f} tok/s")
    if answer.first_token_s is not None:
        meta.append(f"{answer.first_token_s:.2f} s to first")
    if done and done.completion_tokens is not None:
        meta.append(f"{done.completion_tokens} tokens")
    if done and done.was_shortened:
        meta.append(f"cut off by the server: {done.max_tokens} tokens were asked for")
    elif done and done.finish_reason == "length":
        meta.append("cut off at the limit")
    if answer.state == "stopped":
        meta.append("stopped")
    return meta


def sent_html(answer: Answer) -> Markup:
    """What was sent for an answer: address, parameters, stop strings, prompt, what was dropped."""
    sent = answer.sent
    if sent is None:
        return Markup()
    rows = [("To", sent.url), ("Model", sent.model)]
    if sent.adapter:
        rows.append(("Adapter", sent.adapter))
    rows.append(("Parameters", ", ".join(f"{k} = {v}" for k, v in sent.parameters.items())))
    rows.append(("Stop strings", ", ".join(json.dumps(s) for s in sent.stop) or "none"))
    if answer.done:
        rows.append(("Finish reason", answer.done.finish_reason or "the server did not say"))
        if answer.done.prompt_tokens is not None:
            rows.append(("Prompt tokens", str(answer.done.prompt_tokens)))
    if sent.dropped:
        first = sent.dropped[0].content
        rows.append(
            (
                "Left out",
                f"{len(sent.dropped)} oldest messages did not fit the context, from: {first[:80]}",
            )
        )
    if sent.note:
        rows.append(("Note", sent.note))
    if sent.prompt is not None:
        label, text = "Prompt, as the model read it", sent.prompt
    else:
        label = "Messages (the server renders its own prompt from them)"
        text = "\n".join(f"{m.role}: {m.content}" for m in sent.messages)
    return render("shell/sent.html", rows=rows, label=label, text=text)


def card_detail(card: ModelSpec) -> str:
    """Size and kind of a model, short."""
    parts = []
    if card.params_b is not None:
        size = card.params_b
        parts.append(f"{size:g}B" if size >= 1 else f"{size * 1000:.0f}M")
    if card.adapter:
        parts.append("+ LoRA")
    if card.stand_in:
        parts.append("stand-in")
    return " ".join(parts)


def notice_html(sentences: Iterable[str]) -> Markup:
    """Sentences the visitor should read, each on a line; "" where there are none."""
    line = Markup('<p class="lab-notice" role="status">{}</p>')
    return Markup("").join(line.format(sentence) for sentence in sentences if sentence)


def _agreement(agrees: bool | None, has: bool) -> str:
    """In a word; without one, the reference does not have it at all."""
    if agrees is None:
        return "only here" if has else "neither"
    return "both" if agrees else "missing"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f}%"
