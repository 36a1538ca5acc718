"""Evaluation runs as the page sees them: their state, scores and samples; no Gradio in here."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

from dashboards.actions.starting import check_allowed, submit
from dashboards.context import Context
from dashboards.queries import (
    BY_HAND,
    EXAMPLE,
    EXAMPLE_ID,
    KINDS,
    by_hand,
    report_of,
    when_made,
)
from imitation.errors import UserError
from imitation.evaluation import report, report_files
from imitation.evaluation.report import LiveScore, Report
from imitation.evaluation.samples import Page, Query, Sample, Samples, Verdict
from imitation.jobs.kinds import as_typed
from imitation.jobs.progress import tail
from imitation.models.catalog import Catalog
from imitation.storage import comparisons
from imitation.storage.comparisons import Comparison
from imitation.storage.jobs import Job
from imitation.values import Answer, JobState, ModelCard, Pair, Preference, Role, Sampling, Turn

SHOWN = 50
"""Runs in the list, the newest."""
PAGE = 10
"""Samples on a page of the browser."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One run as shown.

    Attributes:
        id: The job's.
        name: As chosen.
        state: The job's.
        mine: Whether it is this visitor's to stop and delete.
        detail: How it ended, in words.
        created: Seconds since 1970.
        seconds: How long it has run, or ran; None before.
        ahead: Jobs before it in the queue.
        command: As one types it.
        out: Its folder.
        scores: The scores so far.
        reported: Whether it has a report.
    """

    id: str
    name: str
    state: JobState
    mine: bool
    detail: str
    created: float
    seconds: float | None
    ahead: int
    command: str
    out: Path
    scores: tuple[LiveScore, ...]
    reported: bool

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return self.state in ("queued", "running", "stopping")

    @property
    def by_page(self) -> bool:
        """Whether it is a job of the page, with a log; else a folder that is there."""
        return self.id != EXAMPLE_ID and not self.id.startswith(BY_HAND)


@dataclass(frozen=True, slots=True)
class Browse:
    """What the sample browser is set to.

    Attributes:
        task: Only this task, "" for all.
        verdicts: Model id -> verdict it must have.
        text: Words that must occur.
        page: Page number from 0.
        ids: Only these samples, None for all.
    """

    task: str = ""
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    text: str = ""
    page: int = 0
    ids: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """One page of samples.

    Attributes:
        models: Ids of the run's models, in order.
        tasks: Its tasks.
        rows: The samples of this page.
        total: How many there are on all pages.
        page: Which page this is, from 0.
    """

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    rows: tuple[Sample, ...]
    total: int
    page: int


class Evaluations:
    """The evaluation runs of a lab."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def look(self, visitor: str) -> list[Evaluation]:
        """The newest runs, newest first, whoever started them; without any the shipped example.

        Raises:
            StorageError: A change of state could not be written.
        """
        jobs = self._context.jobs.look()
        live = [job for job in jobs if job.is_live]
        found = [_evaluation(job, visitor, live) for job in jobs if job.spec.kind in KINDS]
        outs = {run.out for run in found}
        found += [_by_hand(*made) for made in by_hand(self._context.jobs.runs, outs)]
        return sorted(found, key=lambda run: -run.created)[:SHOWN] or [_example()]

    def names(self, run: Evaluation) -> dict[str, str]:
        """What people read for the ids of a run's models; empty before it has said so."""
        with suppress(UserError):
            return {model.id: model.name for model in report_files.load_run(run.out).models}
        return {}

    def log(self, identity: str) -> str:
        """The last lines a run of the page printed."""
        jobs = self._context.jobs
        return tail(jobs.output(jobs.job(identity))).strip()

    def stop(self, identity: str, visitor: str, kill: bool = False) -> None:
        """Ask a run to end, or kill the one that was asked; what was answered is kept.

        Raises:
            UserError: It is not this visitor's, or is gone.
        """
        self._context.jobs.stop(self._own(identity, visitor).id, kill=kill)

    def delete(self, identity: str, visitor: str) -> None:
        """Delete a run that has ended, with its results.

        Raises:
            UserError: It is not this visitor's, is gone, or still runs.
            StorageError: A file could not be deleted.
        """
        self._context.jobs.delete(self._own(identity, visitor).id)

    def resume(self, identity: str, visitor: str) -> Job:
        """Queue a run's command once more: it goes on where it ended, and repeats no sample.

        Raises:
            UserError: It is not this visitor's, is gone or still runs, or jobs are switched off.
        """
        check_allowed(self._context.settings)
        job = self._own(identity, visitor)
        if job.is_live:
            raise UserError(f"{job.spec.name} has not ended.", "Stop it first, or wait.")
        return submit(self._context, replace(job.spec, visitor=visitor))

    def _own(self, identity: str, visitor: str) -> Job:
        job = self._context.jobs.job(identity)
        if job.spec.visitor != visitor:
            raise UserError("Only who started a run can change it.")
        return job


def browse(folder: Path, at: Browse) -> Found | None:
    """A page of a run's samples; None while it has no index of them.

    Raises:
        StorageError: The index is broken or of another version.
    """
    path = folder / report.SAMPLES
    if not path.is_file():
        return None
    with closing(Samples(path)) as index:
        query = Query(at.task, at.verdicts, at.text, at.ids)
        page: Page = index.find(query, limit=PAGE, offset=PAGE * at.page)
        return Found(index.models, index.tasks, page.rows, page.total, at.page)


def gap_filter(found: Report) -> dict[str, Verdict]:
    """The study's question as a filter: imitation wrong, reference right; {} where one is absent.

    Of several imitations or references it takes the first.
    """
    roles: dict[Role, str] = {}
    for model in found.run.models:
        roles.setdefault(model.role, model.id)
    if "imitation" not in roles or "reference" not in roles:
        return {}
    return {roles["imitation"]: "wrong", roles["reference"]: "right"}


def pairs(folder: Path, models: tuple[str, str] | None = None) -> Iterator[tuple[int, Pair]]:
    """Every two models' written answers to the same question, with the sample's number.

    Args:
        folder: Of a run; without samples there are none.
        models: Only these two.

    Raises:
        StorageError: The report or the index is broken or of another version.
    """
    found = report_of(folder)
    if found is None or not (folder / report.SAMPLES).is_file():
        return
    written = {score.task for score in found.scores if score.kind == "generation"}
    with closing(Samples(folder / report.SAMPLES)) as index:
        for task in index.tasks:
            offset = 0
            while task in written and (page := index.find(Query(task), limit=1000, offset=offset)):
                for sample in page.rows:
                    answered = {m: r.text for m, r in sample.replies.items() if r.score is not None}
                    twos = [models] if models else combinations(answered, 2)
                    for one, two in twos:
                        if one in answered and two in answered:
                            both = (answered[one], answered[two])
                            yield sample.id, Pair(sample.prompt, (one, two), both)
                offset += len(page.rows)
                if offset >= page.total:
                    break


def preferred(
    folder: Path, imitation: str, reference: str, said: Iterable[Preference]
) -> tuple[int, ...]:
    """Samples whose imitation's answer some rater or judge preferred to the reference's."""
    chosen = {
        preference.pair.key
        for preference in said
        if set(preference.pair.models) == {imitation, reference}
        and preference.outcome != "tie"
        and preference.pair.models[preference.outcome == "second"] == imitation
    }
    if not chosen:
        return ()
    both = pairs(folder, (imitation, reference))
    return tuple(number for number, pair in both if pair.key in chosen)


def open_in_compare(
    context: Context, folder: Path, number: int, visitor: str, *, blind: bool = False
) -> str:
    """Store one sample as a comparison of this visitor; its id, for Compare's address.

    The first base, imitation and reference come first, four columns at most; blind ones come in
    a random order, names hidden, to be voted on.

    Raises:
        UserError: There is no such sample, or fewer than two models answered it.
        StorageError: The index or the store cannot be used.
    """
    with closing(Samples(folder / report.SAMPLES)) as index:
        sample = index.get(number)
    if sample is None:
        raise UserError(f"The run has no sample {number}.", "Load the page again.")
    run = report_files.load_run(folder)
    asked = [model for model in run.models if model.id in sample.replies]
    if len(asked) < 2:
        raise UserError("One model alone answered this sample.", "Compare needs two.")
    catalog = context.catalog()
    cards = [_card(model, catalog) for model in asked]
    order = sorted(range(len(cards)), key=lambda i: _rank(cards, i))[:4]
    shown = sorted(order)
    if blind:
        random.SystemRandom().shuffle(shown)
    answers = tuple(Answer(text=sample.replies[cards[i].id].text, state="done") for i in shown)
    made = Comparison(
        id=comparisons.new_id(),
        visitor=visitor,
        cards=tuple(cards[i] for i in shown),
        blind=blind,
        system="",
        sampling=Sampling(temperature=0.0),
        turns=(Turn(sample.prompt, answers),),
    )
    comparisons.save(context.db, made)
    return made.id


def _card(model: report.Measured, catalog: Catalog) -> ModelCard:
    """The model's card; one of its own where the catalog has none (any more)."""
    if model.id in catalog:
        return catalog[model.id]
    return ModelCard(
        model.id, model.name, model.role, "recorded", stand_in=model.stand_in, base=model.base
    )


def _rank(cards: Sequence[ModelCard], index: int) -> tuple[bool, int]:
    """First of each role before all others."""
    earlier = {card.role for card in cards[:index]}
    return cards[index].role in earlier, index


def _example() -> Evaluation:
    """The shipped run, so that there is something to look at before anything was measured."""
    run = report_files.load_run(EXAMPLE)
    made = when_made(run)
    return replace(
        _by_hand(made, EXAMPLE),
        id=EXAMPLE_ID,
        name=run.id,
        detail=f"An example, measured on {time.strftime('%Y-%m-%d', time.gmtime(made))}, that is "
        "shipped with the app. The first run of your own takes its place.",
    )


def _by_hand(made: float, folder: Path) -> Evaluation:
    """A run that a command wrote, rather than a job of the page."""
    ended = (folder / report.REPORT).is_file()
    try:
        command = as_typed(report_files.load_run(folder).argv)
    except UserError as error:
        command = str(error)
    return Evaluation(
        id=BY_HAND + folder.name,
        name=folder.name,
        state="done" if ended else "stopped",
        mine=False,
        detail="Run by hand, not from this page.",
        created=made,
        seconds=None,
        ahead=0,
        command=command,
        out=folder,
        scores=tuple(report_files.live_scores(folder)),
        reported=ended,
    )


def _evaluation(job: Job, visitor: str, live: Sequence[Job]) -> Evaluation:
    out = Path(job.spec.out)
    spec = job.spec
    return Evaluation(
        id=job.id,
        name=spec.name,
        state=job.state,
        mine=spec.visitor == visitor,
        detail=job.detail,
        created=job.created,
        seconds=(job.ended or time.time()) - job.started if job.started else None,
        ahead=sum(one.spec.device == spec.device and one.number < job.number for one in live),
        command=as_typed(spec.argv),
        out=out,
        scores=tuple(report_files.live_scores(out)),
        reported=(out / report.REPORT).is_file(),
    )
