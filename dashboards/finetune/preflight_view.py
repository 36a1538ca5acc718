"""HTML of what is known before a run: what it takes, and its first batch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dashboards.finetune.new_run import label
from dashboards.shell.job_panel import seconds
from dashboards.shell.markdown import plain

_PARTS = {
    "weights": "Weights",
    "gradients": "Gradients",
    "optimizer": "Optimiser",
    "activations": "Activations",
    "logits": "Logits",
    "gaps": "Gaps between them",
    "overhead": "Everything else",
}


def waiting_html(kind: str) -> str:
    """While a look lasts."""
    doing = "Measuring what the run takes" if kind == "estimate" else "Reading the first batch"
    return f'<p class="lab-quiet" role="status">{doing}; this takes some seconds.</p>'


def estimate_html(found: Mapping[str, Any]) -> str:
    """Memory by what holds it against what is free, steps, time, disk, and how to make it fit."""
    memory, disk = found["memory"], found["disk"]
    rows = "".join(f"<dt>{words}</dt><dd>{size(memory[key])}</dd>" for key, words in _PARTS.items())
    speed = found["tokens_per_s"]
    time = "not measured: the run does not fit"
    if speed:
        time = f"about {seconds(found['seconds'])}, at the {speed:,.0f} tokens/s measured just now"
    facts = [
        ("Peak memory", f"{size(memory['total'])} of {size(memory['free'])} free"
                        f" ({memory['device']})"),
        ("Work", f"{found['steps']:,} steps, {found['tokens']:,} tokens, "
                 f"{found['trained_tokens']:,} of them trained, in {found['dtype']}"),
        ("Time", time),
        ("Disk", f"up to {size(disk['needed'])} of {size(disk['free'])} free"),
    ]  # fmt: skip
    listed = "".join(f"<dt>{plain(k)}</dt><dd>{plain(v)}</dd>" for k, v in facts)
    return (
        f'<div class="lab-estimate">{_verdict(found)}<dl>{listed}</dl>'
        f'<details class="lab-sent"><summary>What the memory holds</summary><dl>{rows}</dl>'
        "</details></div>"
    )


def batch_html(found: Mapping[str, Any]) -> str:
    """The first real batch, trained tokens coloured apart from masked ones."""
    rows = "".join(_row(row) for row in found["rows"])
    more = found["more_rows"]
    left = f'<p class="lab-note">{more:,} more in this batch are not shown.</p>' if more else ""
    what = "blocks" if found["packing"] else "conversations"
    return (
        f'<div class="lab-batch"><p class="lab-note">The first step\'s {what}, exactly as they are '
        'trained on. <mark class="lab-trained">Marked tokens</mark> are learned; the others are '
        f"only read.</p>{rows}{left}</div>"
    )


def size(count: float) -> str:
    """Bytes in words."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.0f} MB"


def _verdict(found: Mapping[str, Any]) -> str:
    if found["fits"]:
        return '<p><b class="lab-ok">It fits.</b></p>'
    if not found["disk"]["fits"]:
        return '<p role="alert"><b class="lab-no">The disk is too full.</b></p>'
    if not found["fit"]:
        return (
            '<p role="alert"><b class="lab-no">It does not fit, and no setting makes it fit.</b> '
            "Choose a smaller base.</p>"
        )
    words = ", ".join(f"{label(key)}: {value}" for key, value in found["fit"].items())
    changes = plain(json.dumps(found["fit"]))
    return (
        '<p role="alert"><b class="lab-no">It does not fit.</b> '
        f"With these it would: {plain(words)}. "
        f'<button type="button" data-do="fit" data-changes="{changes}">Make it fit</button></p>'
    )


def _row(row: Mapping[str, Any]) -> str:
    many = row["conversations"]
    of = f"{many} conversations" if many > 1 else plain(str(row["ids"]) or "conversation")
    head = f"{of}: {row['length']:,} tokens, {row['trained']:,} trained"
    more = f" … {row['more']:,} more tokens" if row["more"] else ""
    return f"<p><b>{head}</b></p><pre tabindex='0'>{_tokens(row['tokens'])}{more}</pre>"


def _tokens(tokens: Sequence[Sequence[Any]]) -> str:
    """Runs of tokens of a kind; where a conversation begins within a block, a line."""
    parts: list[str] = []
    run, was = "", False
    for number, (text, trained, begins) in enumerate(tokens):
        if begins and number:
            parts += [_run(run, was), "<hr>"]
            run = ""
        elif trained != was:
            parts.append(_run(run, was))
            run = ""
        run, was = run + str(text), bool(trained)
    return "".join([*parts, _run(run, was)])


def _run(text: str, trained: bool) -> str:
    if not text:
        return ""
    return f'<mark class="lab-trained">{plain(text)}</mark>' if trained else plain(text)
