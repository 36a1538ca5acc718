"""Judges: what one would cost, starting, watching and stopping it.

A judge's run has a row of its own, made before its job is queued; its jobs (one for each start and
resume) only name it, so its verdicts outlive them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from dashboards.shell.context import Context
from dashboards.shell.owned_jobs import OwnedJobs, check_allowed, submit
from dashboards.votes.answer_pairs import Choice, find
from imitation.errors import ConfigError, UserError
from imitation.evaluation.judging.judge_run import run_name
from imitation.evaluation.judging.rubrics import (
    Quote,
    check_rubric,
    default_judge,
    dollars,
    items,
    quote,
    rates_one,
    rubrics,
)
from imitation.evaluation.statistics.intervals import share
from imitation.jobs.commands.judge import Judge
from imitation.jobs.registry import as_typed, command
from imitation.storage import judgements
from imitation.storage.jobs import Job
from imitation.values import LIVE_STATES, Interval, JobState, ModelSpec, Pair

MOST_PAIRS = 20_000
MAX_TOKENS = 2048

ELSEWHERE = "Use python -m imitation.jobs.commands.judge on a machine of your own."


@dataclass(frozen=True, slots=True)
class Form:
    """What the visitor asked for.

    Attributes:
        judge: Catalog id.
        choice: Where the pairs come from.
        rubric: What the judge is told, in full.
        both_orders: Ask about every pair in both orders.
        max_tokens: Longest answer of the judge.
    """

    judge: str
    choice: Choice
    rubric: str
    both_orders: bool = True
    max_tokens: int = 512


@dataclass(frozen=True, slots=True)
class Plan:
    """What a form comes to.

    Attributes:
        card: The judge.
        pairs: What is judged; single answers where the rubric is about one (`judge.items`).
        source: Where they come from, in words.
        rubric: As it will be used.
        quote: What it takes at most.
    """

    card: ModelSpec
    pairs: tuple[Pair, ...]
    source: str
    rubric: str
    quote: Quote


@dataclass(frozen=True, slots=True)
class Judged:
    """A run of a judge as the page shows it.

    Attributes:
        id: Its id.
        name: What people read.
        judge: Who judges.
        source: What is judged, in words.
        rubric: What the judge is told, "" where not known.
        mine: The visitor may stop and delete it.
        imported: Its verdicts were made elsewhere.
        done: Judgements planned.
        total: Judgements in all.
        unparsed: Answers without a verdict, by problem.
        faults: Requests that failed, by reason.
        state: State of its job, "" where it has none.
        detail: How the job ended, in words.
        spent: Dollars by the card's prices, None where unknown.
        command: The command line that goes on with it.
        single: It judges single answers, so there is no board of it.
        yes: Model -> share of its answers that the judge said yes to, single answers only.
    """

    id: str
    name: str
    judge: str
    source: str
    rubric: str
    mine: bool
    imported: bool
    done: int
    total: int
    unparsed: Mapping[str, int]
    faults: Mapping[str, int]
    state: JobState | Literal[""]
    detail: str
    spent: float | None
    command: str
    single: bool = False
    yes: Mapping[str, Interval] = field(default_factory=dict)

    @property
    def live(self) -> bool:
        """Whether its job has not ended."""
        return self.state in LIVE_STATES


def cards(context: Context) -> list[ModelSpec]:
    """Models that can judge, the default one first."""
    known = [card for card in context.catalog().values() if card.backend != "recorded"]
    best = default_judge(known)
    return sorted(known, key=lambda card: card is not best)


def plan(context: Context, visitor: str, form: Form) -> Plan:
    """What a form comes to.

    Raises:
        UserError: A value is wrong, or there is nothing to judge.
    """
    card = context.catalog()[form.judge]
    rubric = check_rubric(form.rubric)
    if not 1 <= form.max_tokens <= MAX_TOKENS:
        raise UserError(
            f"{form.max_tokens} tokens is no length of an answer.", f"Choose 1 to {MAX_TOKENS}."
        )
    answers, source = find(context, visitor, form.choice)
    pairs = items(rubric, answers)
    if not pairs:
        raise UserError(
            "There is no pair of answers to judge.",
            "Choose a source in which two models answered the same prompt.",
        )
    if len(pairs) > MOST_PAIRS:
        raise UserError(
            f"{len(pairs):,} are more than the page starts ({MOST_PAIRS:,}).",
            "Take fewer prompts, or use python -m imitation.jobs.commands.judge.",
        )
    options = {"both_orders": form.both_orders, "max_tokens": form.max_tokens}
    price = quote(card, pairs, rubric, **options)  # type: ignore[arg-type]
    return Plan(card, tuple(pairs), source, rubric, price)


def start(context: Context, visitor: str, form: Form) -> str:
    """Store the run of a form and queue its job; the run's id.

    Raises:
        UserError: As `plan`; or jobs are switched off, or too many are queued.
    """
    check_allowed(context.settings, ELSEWHERE)
    planned = plan(context, visitor, form)
    identity = judgements.add(
        context.db,
        planned.pairs,
        name=run_name(planned.card, planned.rubric, planned.source),
        judge=planned.card.id,
        rubric=planned.rubric,
        source=planned.source,
        both_orders=form.both_orders and not rates_one(planned.rubric),
        max_tokens=form.max_tokens,
        visitor=visitor,
    )
    try:
        _submit(context, judgements.get(context.db, identity), visitor)
    except UserError:
        judgements.delete(context.db, identity, visitor)
        raise
    return identity


def resume(context: Context, visitor: str, identity: str) -> None:
    """Go on with a visitor's own run.

    Raises:
        UserError: It is somebody else's or gone, still runs, or jobs are switched off.
    """
    check_allowed(context.settings, ELSEWHERE)
    _submit(context, _own(context, visitor, identity), visitor)


def stop(context: Context, visitor: str, identity: str) -> None:
    """Stop the job of a visitor's own run; its verdicts stay.

    Raises:
        UserError: It is somebody else's or gone.
    """
    _own(context, visitor, identity)
    for job in _jobs(context).get(identity, ())[:1]:
        OwnedJobs(context, "judge").stop(job.id, visitor)


def delete(context: Context, visitor: str, identity: str) -> None:
    """Delete a visitor's own run with its verdicts and jobs.

    Raises:
        UserError: It is somebody else's or gone, or still runs.
    """
    _own(context, visitor, identity)
    for job in _jobs(context).get(identity, ()):
        OwnedJobs(context, "judge").delete(job.id, visitor)
    judgements.delete(context.db, identity, visitor)


def listed(context: Context, visitor: str) -> list[Judged]:
    """Runs this visitor may see, newest first."""
    jobs = _jobs(context)
    return [_judged(context, run, visitor, jobs) for run in judgements.runs(context.db, visitor)]


def default_rubric() -> str:
    """The text of the paper's rubric."""
    return next(iter(rubrics().values())).text


def _own(context: Context, visitor: str, identity: str) -> judgements.Run:
    run = judgements.get(context.db, identity)
    if run.visitor != visitor:
        raise UserError("Only who started a judge can change it.")
    return run


def _parameters(context: Context, identity: str) -> Judge:
    """What goes on with a run."""
    return Judge(run=identity, progress=context.jobs.runs / f"judge-{identity}.jsonl")


def _submit(context: Context, run: judgements.Run, visitor: str) -> None:
    parameters = _parameters(context, run.id)
    path = parameters.progress
    submit(context, "judge", parameters, run.name, visitor, out=path, progress=path)


def _jobs(context: Context) -> dict[str, list[Job]]:
    """Run -> its jobs, newest first."""
    jobs: dict[str, list[Job]] = {}
    for job in OwnedJobs(context, "judge").look():
        # One row of a version with other options must not hide everybody's judges.
        with suppress(ConfigError):
            jobs.setdefault(Judge.of(job.spec.parameters).run, []).append(job)
    return jobs


def _judged(
    context: Context, run: judgements.Run, visitor: str, jobs: Mapping[str, Sequence[Job]]
) -> Judged:
    counts = judgements.counts(context.db, run.id)
    job = next(iter(jobs.get(run.id, ())), None)
    card = next((c for c in context.catalog().values() if c.id == run.judge), None)
    spent = dollars(card, counts.prompt_tokens, counts.completion_tokens) if card else None
    return Judged(
        id=run.id,
        name=run.name,
        judge=card.name if card else run.judge,
        source=run.source,
        rubric=run.rubric,
        mine=run.visitor == visitor,
        imported=run.imported,
        done=counts.total - counts.left,
        total=counts.total,
        unparsed=counts.problems,
        faults=counts.faults,
        state=job.state if job else "",
        detail=job.detail if job else "",
        spent=spent,
        command=as_typed(command("judge", _parameters(context, run.id))),
        single=(single := rates_one(run.rubric)),
        yes=_yes(context, run.id) if single else {},
    )


def _yes(context: Context, identity: str) -> dict[str, Interval]:
    answers = judgements.yes_by_model(context.db, identity)
    return {model: share(yes, n) for model, (yes, n) in answers.items()}
