"""Asking a judge for the verdicts that a stored run still lacks, and how a run stands, in words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from imitation.errors import BackendError, UserError
from imitation.evaluation.judging.rubrics import Quote, ask, dollars, rates_one
from imitation.evaluation.judging.verdicts import parse, parse_one
from imitation.events import Writer
from imitation.storage import judgements
from imitation.storage.database import Store
from imitation.values import Completion, ModelSpec

Completer = Callable[[str], Awaitable[Completion]]
"""Answers one question; raises BackendError."""

MAX_FAILURES = 10
"""Requests that fail one after the other before a run gives up."""


async def judge_rest(
    db: Store,
    identity: str,
    completer: Completer,
    *,
    concurrency: int = 4,
    report: Writer | None = None,
) -> judgements.Counts:
    """Make the judgements of a run that are not made yet; how it stands afterwards.

    Raises:
        UserError: The judge could not be asked so many times in a row that the rest was left.
        StorageError: A verdict could not be written.
    """
    rubric = judgements.get(db, identity).rubric
    read_verdict = parse_one if rates_one(rubric) else parse
    tasks = iter(judgements.left(db, identity))
    failures_in_a_row, last_error = 0, None
    before = judgements.counts(db, identity)
    step, steps = before.total - before.left, before.total

    async def judge(task: judgements.Task) -> None:
        nonlocal failures_in_a_row, last_error, step
        try:
            answer = await completer(ask(rubric, task.pair))
        except BackendError as error:
            failures_in_a_row, last_error = failures_in_a_row + 1, error
            judgements.record_failure(db, identity, task.row, str(error))
            return
        failures_in_a_row = 0
        judgements.record(
            db,
            identity,
            task.row,
            read_verdict(answer.text),
            answer.text,
            answer.done.prompt_tokens,
            answer.done.completion_tokens,
        )
        step += 1
        if report:
            report.write("step", step=step, steps=steps)

    async def worker() -> None:
        # All workers share one iterator: each takes the next task when it has time.
        for task in tasks:
            if failures_in_a_row >= MAX_FAILURES:
                return
            await judge(task)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(worker())
    if last_error is not None and failures_in_a_row >= MAX_FAILURES:
        raise UserError(
            f"The judge failed {failures_in_a_row} times in a row; the last time: "
            f"{last_error.message}",
            last_error.hint or "Run the same command again to go on.",
        )
    return judgements.counts(db, identity)


def run_name(card: ModelSpec, rubric: str, source: str) -> str:
    """What a run is called unless somebody names it."""
    return f"{card.name} on {'each answer of ' if rates_one(rubric) else ''}{source}"


def summary(name: str, counts: judgements.Counts, card: ModelSpec) -> str:
    """How a run stands, in one sentence."""
    states = counts.states
    parts = [f"{states.get('judged', 0)} of {counts.total} verdicts"]
    if states.get("unparsed"):
        why = ", ".join(f"{n} {problem}" for problem, n in counts.problems.items())
        parts.append(f"{states['unparsed']} answers without a verdict ({why})")
    if counts.left:
        parts.append(f"{counts.left} not judged")
    price = dollars(card, counts.prompt_tokens, counts.completion_tokens)
    parts.append("price unknown" if price is None else f"${price:.2f}")
    return f"{name}: " + ", ".join(parts) + "."


def quote_text(quote: Quote) -> str:
    """A quote in one sentence."""
    price = "price unknown: the card states none"
    if quote.local:
        price = "no fee, it runs on this machine"
    elif quote.dollars is not None:
        price = f"at most ${quote.dollars:,.2f}"
    return (
        f"{quote.requests:,} questions, about {quote.prompt_tokens:,} tokens sent and at most "
        f"{quote.completion_tokens:,} written: {price}."
    )
