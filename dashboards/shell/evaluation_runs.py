"""Evaluation runs that are there: jobs of the page, folders of commands, the shipped example."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dashboards.shell.context import Context
from dashboards.shell.queries import BY_HAND, EXAMPLE, EXAMPLE_ID, KINDS, by_hand, when_made
from imitation.errors import UserError
from imitation.evaluation.report import files as report_files
from imitation.evaluation.report import schema
from imitation.evaluation.report.schema import LiveScore
from imitation.jobs.registry import as_typed, command_of
from imitation.storage.jobs import Job
from imitation.values import LIVE_STATES, JobState

SHOWN = 50
"""Runs in the list, the newest."""


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
        return self.state in LIVE_STATES

    @property
    def by_page(self) -> bool:
        """Whether it is a job of the page, with a log; else a folder that is there."""
        return self.id != EXAMPLE_ID and not self.id.startswith(BY_HAND)


def evaluation_runs(context: Context, visitor: str) -> list[Evaluation]:
    """The newest runs, newest first, whoever started them; without any the shipped example.

    Raises:
        StorageError: A change of state could not be written.
    """
    jobs = context.jobs.look()
    live = [job for job in jobs if job.is_live]
    runs = [_of_job(job, visitor, live) for job in jobs if job.spec.kind in KINDS]
    known = {run.out for run in runs}
    runs += [_of_folder(*folder) for folder in by_hand(context.jobs.runs, known)]
    return sorted(runs, key=lambda run: -run.created)[:SHOWN] or [_example()]


def _example() -> Evaluation:
    """The shipped run, so that there is something to look at before anything was measured."""
    run = report_files.load_run(EXAMPLE)
    created = when_made(run)
    day = time.strftime("%Y-%m-%d", time.gmtime(created))
    return replace(
        _of_folder(created, EXAMPLE),
        id=EXAMPLE_ID,
        name=run.id,
        detail=f"An example, measured on {day}, that is shipped with the app. The first run of "
        "your own takes its place.",
    )


def _of_folder(created: float, folder: Path) -> Evaluation:
    """A run that a command wrote, rather than a job of the page."""
    ended = (folder / schema.REPORT).is_file()
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
        created=created,
        seconds=None,
        ahead=0,
        command=command,
        out=folder,
        scores=tuple(report_files.live_scores(folder)),
        reported=ended,
    )


def _of_job(job: Job, visitor: str, live: Sequence[Job]) -> Evaluation:
    spec, out = job.spec, Path(job.spec.out)
    try:
        command = as_typed(command_of(spec))
    except UserError as error:  # a row of a version that knew other options
        command = str(error)
    return Evaluation(
        id=job.id,
        name=spec.name,
        state=job.state,
        mine=spec.visitor == visitor,
        detail=job.detail,
        created=job.created,
        seconds=(job.ended or time.time()) - job.started if job.started else None,
        ahead=sum(other.spec.device == spec.device and other.number < job.number for other in live),
        command=command,
        out=out,
        scores=tuple(report_files.live_scores(out)),
        reported=(out / schema.REPORT).is_file(),
    )
