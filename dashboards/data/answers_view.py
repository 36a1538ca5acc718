"""HTML of asking a reference: what it will cost, and how it goes."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from dashboards.data.answers import AnswerJob, Estimate
from dashboards.shell.job_panel import button_html, command_html, end_buttons, progress_html
from dashboards.shell.templates import render
from imitation.jobs.costs import dollars
from imitation.jobs.registry import as_typed, command

READ = "I have read the model's terms"
TERMS = (
    "The terms of use of this model may forbid training other models on its answers. Read them "
    "before you start; you are asked once for each model. That you did is noted in the manifest "
    "of the answers, and of every dataset built from them."
)
COUNTED = {
    "refusals": "refusals",
    "failed": "failed",
    "empty": "answers without a pair",
    "duplicates": "duplicates",
}
"""Counts of a job's last step that are shown where they are not 0, and what people read."""


def read_label(date: str) -> str:
    """What the tick says that the terms were read, then or now."""
    return f"{READ}, on {date}" if date else READ


def estimate_html(estimate: Estimate) -> Markup:
    """How much will be asked, what it costs at most, and the command line."""
    if estimate.card.backend == "embedded":
        cost = "no price: it runs on this machine"
    elif estimate.cost is None:
        cost = "cost unknown: neither the card nor this form states a price"
    else:
        cost = f"at most {dollars(estimate.cost)}"
    about = (
        f"{estimate.prompts:,} prompts, about {estimate.prompt_tokens:,} tokens; at most "
        f"{estimate.answer_tokens:,} tokens of answers; {cost}."
    )
    typed = as_typed(command(estimate.kind, estimate.parameters))
    return render("data/estimate.html", about=about, command=command_html(typed))


def list_html(jobs: Sequence[AnswerJob]) -> Markup | str:
    """The jobs, newest first; "" where there are none."""
    if not jobs:
        return ""
    return render(
        "data/answer_jobs.html", rows=[(job, _progress(job), _buttons(job)) for job in jobs]
    )


def _progress(job: AnswerJob) -> Markup:
    counts = job.counts
    share = min(1.0, counts["step"] / counts["steps"]) if counts.get("steps") else 0.0
    return progress_html(job.name, job.state, _facts(job), share, "reference")


def _facts(job: AnswerJob) -> str:
    counts = job.counts
    if not counts:
        return ""
    what = "pairs" if job.kind == "synthesize" else "answers"
    facts = [f"{counts['step']:,} of {counts['steps']:,} {what}"]
    facts += [f"{counts[key]:,} {words}" for key, words in COUNTED.items() if counts.get(key)]
    tokens = counts.get("prompt_tokens", 0) + counts.get("answer_tokens", 0)
    facts.append(f"{tokens:,} tokens")
    if not job.local or counts.get("cost") is not None:
        facts.append(f"cost {dollars(counts.get('cost'))}")
    return " · ".join(facts)


def _buttons(job: AnswerJob) -> Markup:
    buttons = []
    if job.out.is_file():
        buttons.append(button_html("use", job.id, "Look at it"))
    if job.mine and not job.is_live and job.state != "done":
        buttons.append(button_html("again", job.id, "Go on"))
    if job.mine:
        kill = "Kill it without waiting for the answers under way?"
        buttons += end_buttons(job.id, job.state, kill, f"Delete the answers {job.name} for good?")
    return Markup("").join(buttons)
