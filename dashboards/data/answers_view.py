"""HTML of asking a reference: what it will cost, and how it goes."""

from __future__ import annotations

from collections.abc import Sequence

from dashboards.data.answers import Asked, Estimate
from dashboards.shell.job_panel import button_html, command_html, progress_html
from dashboards.shell.markdown import plain
from imitation.jobs.costs import dollars
from imitation.jobs.registry import as_typed, command

READ = "I have read the model's terms"
TERMS = (
    "The terms of use of this model may forbid training other models on its answers. Read them "
    "before you start; you are asked once for each model. That you did is noted in the manifest "
    "of the answers, and of every dataset built from them."
)


def read_label(date: str) -> str:
    """What the tick says that the terms were read, then or now."""
    return f"{READ}, on {date}" if date else READ


def estimate_html(made: Estimate) -> str:
    """How much will be asked, what it costs at most, and the command line."""
    if made.card.backend == "embedded":
        cost = "no price: it runs on this machine"
    elif made.cost is None:
        cost = "cost unknown: neither the card nor this form states a price"
    else:
        cost = f"at most {dollars(made.cost)}"
    said = (
        f"{made.prompts:,} prompts, about {made.prompt_tokens:,} tokens; at most "
        f"{made.answer_tokens:,} tokens of answers; {cost}."
    )
    typed = as_typed(command(made.kind, made.parameters))
    return f'<p class="lab-note">{plain(said)}</p>{command_html(typed)}'


def list_html(found: Sequence[Asked]) -> str:
    """The jobs, newest first; "" where there are none."""
    if not found:
        return ""
    return f'<ol class="lab-history lab-runs">{"".join(map(_row, found))}</ol>'


def _row(one: Asked) -> str:
    counts = one.counts
    share = min(1.0, counts["step"] / counts["steps"]) if counts.get("steps") else 0.0
    detail = f"<small>{plain(one.detail)}</small>" if one.detail else ""
    return (
        f'<li><span class="lab-open"><b>{plain(one.name)}</b><small>{plain(one.model)}'
        f"{' · yours' if one.mine else ''}</small>{detail}</span>"
        + str(progress_html(one.name, one.state, _facts(one), share, "reference"))
        + _buttons(one)
        + "</li>"
    )


def _facts(one: Asked) -> str:
    counts = one.counts
    if not counts:
        return ""
    what = "pairs" if one.kind == "synthesize" else "answers"
    parts = [f"{counts['step']:,} of {counts['steps']:,} {what}"]
    for key, words in (
        ("refusals", "refusals"),
        ("failed", "failed"),
        ("empty", "answers without a pair"),
        ("duplicates", "duplicates"),
    ):
        if counts.get(key):
            parts.append(f"{counts[key]:,} {words}")
    tokens = counts.get("prompt_tokens", 0) + counts.get("answer_tokens", 0)
    parts.append(f"{tokens:,} tokens")
    if not one.local or counts.get("cost") is not None:
        parts.append(f"cost {dollars(counts.get('cost'))}")
    return " · ".join(parts)


def _buttons(one: Asked) -> str:
    made = []
    if one.mine and one.state in ("queued", "running"):
        made.append(("stop", "Stop", ""))
    elif one.mine and one.state == "stopping":
        made.append(("kill", "Kill now", "Kill it without waiting for the answers under way?"))
    elif one.mine:
        if one.state != "done":
            made.append(("again", "Go on", ""))
        made.append(("delete", "Delete", f"Delete the answers {one.name} for good?"))
    if one.out.is_file():
        made.insert(0, ("use", "Look at it", ""))
    buttons = "".join(button_html(do, one.id, label, ask) for do, label, ask in made)
    return f'<span class="lab-buttons">{buttons}</span>'
