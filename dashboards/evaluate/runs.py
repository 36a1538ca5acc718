"""Evaluation runs as the page sees them: their state, scores and samples."""

from __future__ import annotations

from contextlib import suppress

from dashboards.shell.context import Context
from dashboards.shell.evaluation_runs import Evaluation, evaluation_runs
from dashboards.shell.owned_jobs import OwnedJobs
from dashboards.shell.queries import KINDS
from imitation.errors import UserError
from imitation.evaluation.report import files as report_files
from imitation.jobs.queue.progress import tail
from imitation.storage.jobs import Job


class Evaluations:
    """The evaluation runs of a lab."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._jobs = OwnedJobs(context, *KINDS)

    def look(self, visitor: str) -> list[Evaluation]:
        """The newest runs, newest first (`evaluation_runs`)."""
        return evaluation_runs(self._context, visitor)

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
        self._jobs.stop(identity, visitor, kill=kill)

    def delete(self, identity: str, visitor: str) -> None:
        """Delete a run that has ended, with its results.

        Raises:
            UserError: It is not this visitor's, is gone, or still runs.
            StorageError: A file could not be deleted.
        """
        self._jobs.delete(identity, visitor)

    def resume(self, identity: str, visitor: str) -> Job:
        """Queue a run's command once more: it goes on where it ended, and repeats no sample.

        Raises:
            UserError: It is not this visitor's, is gone or still runs, or jobs are switched off.
        """
        return self._jobs.resume(identity, visitor)
