"""HTML of what is known before a run: what it takes, and its first batch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from dashboards.finetune.new_run import label
from dashboards.shell.job_panel import seconds
from dashboards.shell.templates import render

_PARTS = {
    "weights": "Weights",
    "gradients": "Gradients",
    "optimizer": "Optimiser",
    "activations": "Activations",
    "logits": "Logits",
    "gaps": "Gaps between them",
    "overhead": "Everything else",
}


def waiting_html(kind: str) -> Markup:
    """While a look lasts."""
    doing = "Measuring what the run takes" if kind == "estimate" else "Reading the first batch"
    return render("finetune/quiet.html", text=f"{doing}; this takes some seconds.", status=True)


def estimate_html(estimate: Mapping[str, Any]) -> Markup:
    """Memory by what holds it against what is free, steps, time, disk, and how to make it fit."""
    memory, disk, changes = estimate["memory"], estimate["disk"], estimate["fit"]
    speed = estimate["tokens_per_s"]
    time = "not measured: the run does not fit"
    if speed:
        measured = f"at the {speed:,.0f} tokens/s measured just now"
        time = f"about {seconds(estimate['seconds'])}, {measured}"
    facts = [
        ("Peak memory", f"{size(memory['total'])} of {size(memory['free'])} free"
                        f" ({memory['device']})"),
        ("Work", f"{estimate['steps']:,} steps, {estimate['tokens']:,} tokens, "
                 f"{estimate['trained_tokens']:,} of them trained, in {estimate['dtype']}"),
        ("Time", time),
        ("Disk", f"up to {size(disk['needed'])} of {size(disk['free'])} free"),
    ]  # fmt: skip
    return render(
        "finetune/estimate.html",
        fits=estimate["fits"],
        disk_fits=disk["fits"],
        changes=json.dumps(changes) if changes else "",
        words=", ".join(f"{label(key)}: {value}" for key, value in (changes or {}).items()),
        facts=facts,
        memory=[(words, size(memory[key])) for key, words in _PARTS.items()],
    )


def batch_html(batch: Mapping[str, Any]) -> Markup:
    """The first real batch, trained tokens coloured apart from masked ones."""
    more = batch["more_rows"]
    return render(
        "finetune/batch.html",
        what="blocks" if batch["packing"] else "conversations",
        rows=[_row(row) for row in batch["rows"]],
        left_out=f"{more:,} more in this batch are not shown." if more else "",
    )


def size(count: float) -> str:
    """Bytes in words."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.0f} MB"


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    many = row["conversations"]
    of = f"{many} conversations" if many > 1 else str(row["ids"]) or "conversation"
    return {
        "head": f"{of}: {row['length']:,} tokens, {row['trained']:,} trained",
        "pieces": _pieces(row["tokens"]),
        "more": f" … {row['more']:,} more tokens" if row["more"] else "",
    }


def _pieces(tokens: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    """Runs of tokens of a kind; where a conversation begins within a block, a new one."""
    pieces: list[dict[str, Any]] = []
    for number, (text, trained, first) in enumerate(tokens):
        begins = bool(first and number)
        if not pieces or begins or bool(trained) != pieces[-1]["trained"]:
            pieces.append({"text": "", "trained": bool(trained), "begins": begins})
        pieces[-1]["text"] += str(text)
    return pieces
