"""Studies and judges on the Votes page, and the page of a rater, as HTML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from dashboards.shell import markdown
from dashboards.shell.components import ColumnView, columns_html
from dashboards.shell.interval_text import percent
from dashboards.shell.job_panel import STATES, button_html
from dashboards.shell.templates import render
from dashboards.votes.cells import count
from dashboards.votes.judges import Judged
from dashboards.votes.judges import Plan as JudgePlan
from dashboards.votes.raters import Rater
from dashboards.votes.studies import Watched
from dashboards.votes.study_plan import Plan
from imitation.evaluation.judging.rubrics import Quote, is_tone, rates_one
from imitation.storage.studies import Dropped, Study
from imitation.storage.study_ratings import Showing
from imitation.values import Interval

SHOWN_DROPPED = 50


def plan_html(plan: Plan, raters: int) -> Markup:
    """What a study would ask."""
    n = len(plan.pairs)
    text = (
        f"{count(n, 'item')} from {count(plan.prompts, 'prompt')}, {n * raters:,} ratings in all."
    )
    if plan.wanted is not None and 0 < plan.prompts < plan.wanted:
        text += f" There are no more of the {plan.wanted:,} prompts asked for."
    if not n and plan.dropped:
        text = "Every prompt is left out: hold out from less data, or leave fewer kinds out."
    return render("votes/plan.html", text=text, left_out=_left_out(plan.dropped))


def judge_plan_html(plan: JudgePlan) -> Markup:
    """What judging would take."""
    quote = plan.quote
    return render(
        "votes/judge_plan.html",
        items=count(len(plan.pairs), "answer" if rates_one(plan.rubric) else "pair"),
        requests=f"{quote.requests:,}",
        judge=plan.card.name,
        sent=f"{quote.prompt_tokens:,}",
        written=f"{quote.completion_tokens:,}",
        price=_price(quote),
    )


def studies_html(studies: Sequence[Watched]) -> Markup:
    """A visitor's own studies."""
    return render("votes/studies.html", rows=[_study(watched) for watched in studies])


def judges_html(runs: Sequence[Judged]) -> Markup:
    """Runs of judges."""
    return render("votes/judges.html", rows=[_judged(run) for run in runs])


def rater_html(study: Study | None, showing: Showing | None) -> Markup:
    """What a rater sees."""
    if study is None:
        return _end("This link opens no study.", "Ask whoever sent it for a new one.")
    if showing is None and study.closed is not None:
        return _end("This study is closed.", "Thank you for your time.")
    if showing is None:
        return _end("There is nothing left for you to rate.", "Thank you: your ratings are kept.")
    columns = [
        ColumnView(label=letter, text=answer, state="done", index=at)
        for at, (letter, answer) in enumerate(zip("AB", showing.pair.answers, strict=True))
    ]
    return render(
        "votes/rate.html",
        first=not showing.done,
        guidelines=Markup(markdown.render(study.guidelines)),  # cleaned there
        prompt=showing.pair.prompt,
        columns=columns_html(columns),
        token=showing.token,
        position=f"{showing.done + 1:,}",
        total=f"{showing.of:,}",
    )


def _end(title: str, text: str) -> Markup:
    return render("votes/rate_end.html", title=title, text=text)


def _price(quote: Quote) -> str:
    if quote.local:
        return "No fee: it runs on this machine."
    if quote.dollars is None:
        return "Price unknown: its card states no price_in and price_out."
    return f"At most ${quote.dollars:,.2f}."


def _left_out(dropped: Sequence[Dropped]) -> dict[str, Any]:
    """Prompts left out, for the macro `dropped`."""
    reasons = Counter(prompt.reason for prompt in dropped)
    return {
        "count": count(len(dropped), "prompt"),
        "reasons": ", ".join(f"{n:,} {reason}" for reason, n in reasons.most_common()),
        "rows": dropped[:SHOWN_DROPPED],
        "cut": len(dropped) > SHOWN_DROPPED,
    }


def _study(watched: Watched) -> dict[str, Any]:
    study, wanted = watched.study, watched.study.items * watched.study.raters
    facts = (
        f"{watched.ratings:,} of {wanted:,} ratings · {watched.complete:,} of {study.items:,} "
        f"items complete · {count(len(watched.raters), 'rater')} · {study.source}"
    )
    switch = button_html("close-study", study.id, "Close")
    if study.closed:
        switch = button_html("open-study", study.id, "Open again")
    question = f"Delete {study.name} with all its ratings?"
    return {
        "name": study.name,
        "state": "Closed" if study.closed else "Open",
        "facts": facts + _tally("refused", watched.refused),
        "share": min(1.0, watched.ratings / wanted),
        "link": "" if study.closed else f"/rate?study={study.invite}",
        "buttons": [
            button_html("show-study", study.id, "Show its board"),
            switch,
            button_html("export-study", study.id, "Export as JSONL"),
            button_html("delete-study", study.id, "Delete", question),
        ],
        "raters": [
            {"number": rater.number, "cells": _rater_cells(rater)} for rater in watched.raters
        ],
        "left_out": _left_out(study.dropped),
    }


def _rater_cells(rater: Rater) -> list[str]:
    return [
        f"{rater.ratings:,}",
        f"{rater.seconds:.0f} s",
        _share(rater.order),
        _share(rater.same),
        "; ".join(rater.doubts) or "none",
    ]


def _judged(run: Judged) -> dict[str, Any]:
    facts = f"{run.done:,} of {run.total:,} judged" + _tally("without a verdict", run.unparsed)
    facts += _tally("failed", run.faults)
    if run.spent:
        facts += f" · ${run.spent:,.2f} so far"
    state = "Imported" if run.imported else STATES[run.state] if run.state else ""
    return {
        "name": run.name,
        "state": state,
        "facts": facts,
        "detail": run.detail if run.state == "failed" else "",
        "yes": _yes(run),
        "rubric": run.rubric,
        "command": "" if run.imported else run.command,
        "share": run.done / run.total if run.total else 0.0,
        "buttons": _judge_buttons(run),
    }


def _judge_buttons(run: Judged) -> list[Markup]:
    buttons = [] if run.single else [button_html("show-judge", run.id, "Show its board")]
    if run.mine and run.live:
        buttons.append(button_html("stop-judge", run.id, "Stop"))
    elif run.mine:
        if run.done < run.total and not run.imported:
            buttons.append(button_html("resume-judge", run.id, "Go on"))
        question = f"Delete {run.name} and its verdicts?"
        buttons.append(button_html("delete-judge", run.id, "Delete", question))
    return buttons


def _yes(run: Judged) -> str:
    """Of a judge of single answers: how many of each model's it said yes to."""
    if not run.yes:
        return ""
    shares = "; ".join(
        f"{model} {percent(yes, 0)}" + ("" if yes.too_few() else f" of {yes.n:,}")
        for model, yes in run.yes.items()
    )
    where = " Recorded shows it as the tone of the set." if is_tone(run.rubric) else ""
    return f"Yes: {shares}.{where}"


def _tally(word: str, reasons: Mapping[str, int]) -> str:
    """How many and why, such as " · 3 failed (2 this, 1 that)"; "" where there are none."""
    if not reasons:
        return ""
    why = ", ".join(f"{n} {reason}" for reason, n in reasons.items())
    return f" · {sum(reasons.values()):,} {word} ({why})"


def _share(interval: Interval) -> str:
    if not interval.n:
        return "no case"
    return interval.too_few() or f"{interval.value:.0%} of {interval.n}"
