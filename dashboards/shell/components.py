"""Pieces of HTML that pages share; everything that came from outside is escaped here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dashboards.shell.markdown import plain, render
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
        sent: HTML of "What was sent", "" for none.
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
    sent: str = ""
    stoppable: bool = False
    buttons: Sequence[tuple[str, str]] = ()
    index: int = 0


def columns_html(columns: Sequence[ColumnView]) -> str:
    """The columns side by side, one below the other on a narrow page."""
    return '<div class="lab-cols">' + "".join(column_html(column) for column in columns) + "</div>"


def column_html(column: ColumnView) -> str:
    """One column: who, what was answered, how it compares, how fast."""
    role = column.role or "blind"
    detail = f"<small>{plain(column.detail)}</small>" if column.detail else ""
    parts = [
        f'<section class="lab-col lab-role-{role}" aria-label="{plain(column.label)}">',
        f"<h2><i>{plain(column.label)}</i><span>{plain(column.name)}</span>{detail}"
        + (_stop_html(column) if column.stoppable else "")
        + "</h2>",
        _text_html(column),
    ]
    if column.error:
        message, hint = column.error
        hint = f"<small>{plain(hint)}</small>" if hint else ""
        parts.append(f'<div class="lab-error" role="alert">{plain(message)}{hint}</div>')
    if column.is_reference and column.text:
        parts.append(
            '<div class="lab-strip lab-strip-self"><span>The answer the others are compared with'
            "</span></div>"
        )
    elif column.strip:
        parts.append(strip_html(column.strip))
    if column.fact:
        parts.append(_fact_html(*column.fact))
    parts.append(_meta_html(column))
    if column.sent:
        parts.append(
            f'<details class="lab-sent"><summary>What was sent</summary>{column.sent}</details>'
        )
    return "".join(parts) + "</section>"


def strip_html(strip: Strip) -> str:
    """Style against the reference's answer: words shared, length, list and summary agreement."""
    shared = strip.unigram_intersection
    ratio = strip.length_ratio
    rows = [
        _bar("Words shared", "unigram_intersection", shared, _percent(shared)),
        _bar(
            "Length",
            "length",
            None if ratio is None else min(ratio, 1.0),
            "-" if ratio is None else f"{ratio:.1f}x",
        ),
    ]
    for label, key, agrees, has in (
        ("List", "list_agreement", strip.list_agreement, strip.lists),
        ("Closing summary", "summary_agreement", strip.summary_agreement, strip.summary),
    ):
        if agrees is None:
            words = "only here" if has else "neither"
        else:
            words = "both" if agrees else "missing"
        rows.append(f'<span title="{plain(STYLE_DEFINITIONS[key])}">{label}</span><em>{words}</em>')
    return f'<div class="lab-strip">{"".join(rows)}</div>'


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


def sent_html(answer: Answer) -> str:
    """What was sent for an answer: address, parameters, stop strings, prompt, what was dropped."""
    sent = answer.sent
    if sent is None:
        return ""
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
    listed = "".join(f"<dt>{plain(k)}</dt><dd>{plain(v)}</dd>" for k, v in rows)
    if sent.prompt is not None:
        label, text = "Prompt, as the model read it", sent.prompt
    else:
        label = "Messages (the server renders its own prompt from them)"
        text = "\n".join(f"{m.role}: {m.content}" for m in sent.messages)
    return f"<dl>{listed}</dl><p>{label}</p><pre>{plain(text)}</pre>"


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


def notice_html(sentences: Iterable[str]) -> str:
    """Sentences the visitor should read, each on a line; "" where there are none."""
    return "".join(f'<p class="lab-notice" role="status">{plain(s)}</p>' for s in sentences if s)


def _text_html(column: ColumnView) -> str:
    writing = column.state in ("waiting", "streaming")
    caret = " lab-caret" if writing else ""
    copy = f' data-copy="{plain(column.text)}"' if column.text and not writing else ""
    body = render(column.text) or "<p></p>"
    if not column.text and column.state == "done":
        body = '<p class="lab-quiet">(an empty answer)</p>'
    if column.status and not column.text:
        share = column.progress
        bar = "" if share is None else _bar_html(share)
        percent = "" if share is None else f", {100 * share:.0f}%"
        body = f'{bar}<p class="lab-quiet" role="status">{plain(column.status)}{percent}</p>'
    if column.state == "idle":
        body = '<p class="lab-quiet">The answer will appear here.</p>'
    busy = ' aria-busy="true"' if writing else ""
    return f'<div class="lab-text{caret}" dir="auto"{copy}{busy}>{body}</div>'


def _stop_html(column: ColumnView) -> str:
    return f'<button type="button" data-do="stop" data-column="{column.index}">Stop</button>'


def _fact_html(right: bool, known: str) -> str:
    if right:
        return f'<div class="lab-fact"><span class="lab-ok">Right</span>: {plain(known)}</div>'
    return (
        '<div class="lab-fact"><span class="lab-no">Wrong</span>, '
        f"known answer: {plain(known)}</div>"
    )


def _meta_html(column: ColumnView) -> str:
    facts = "".join(f"<span>{plain(item)}</span>" for item in column.meta)
    buttons = "".join(
        f'<button type="button" data-do="{do}" data-column="{column.index}">{plain(label)}</button>'
        for do, label in column.buttons
    )
    if not facts and not buttons:
        return ""
    return f'<div class="lab-meta">{facts}<span class="lab-buttons">{buttons}</span></div>'


def _bar(label: str, key: str, share: float | None, value: str) -> str:
    return (
        f'<span title="{plain(STYLE_DEFINITIONS[key])}">{label}</span>'
        f"{_bar_html(share or 0.0)}<b>{value}</b>"
    )


def _bar_html(share: float) -> str:
    return f'<div class="lab-bar"><i style="width:{round(100 * share)}%"></i></div>'


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f}%"
