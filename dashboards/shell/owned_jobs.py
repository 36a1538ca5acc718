"""Jobs that visitors start from the page: who may start, stop, resume and delete them."""

from __future__ import annotations

from pathlib import Path

from dashboards.shell.context import Context
from imitation.errors import UserError
from imitation.jobs.parameters import JobParameters
from imitation.jobs.registry import kind_of
from imitation.settings import Settings
from imitation.storage.jobs import Job
from imitation.values import JobSpec


def check_allowed(
    settings: Settings, instead: str = "Copy the command and run it on a machine of your own."
) -> None:
    """Refuse where visitors may only watch. Whatever starts or fetches something asks here first.

    Raises:
        UserError: IMITATION_JOBS=0.
    """
    if not settings.jobs:
        raise UserError("Nothing can be started on this server (IMITATION_JOBS=0).", instead)


def submit(
    context: Context,
    kind: str,
    parameters: JobParameters,
    name: str,
    visitor: str,
    *,
    device: str = "",
    out: Path | None = None,
    progress: Path | None = None,
) -> Job:
    """Queue a job, where visitors may.

    Args:
        context: What pages work with.
        kind: A key of KINDS.
        parameters: Of that kind.
        name: What people read.
        visitor: Its owner.
        device: Where it computes; "" for the kind's own.
        out: What it writes, which no other live job may use.
        progress: Its progress file, where it writes one.

    Raises:
        UserError: They may not, or too many are queued.
    """
    check_allowed(context.settings)
    return context.jobs.submit(
        JobSpec(
            kind=kind,
            parameters=parameters.as_json(),
            name=name,
            device=device or kind_of(kind).device,
            out=str(out or ""),
            progress=str(progress or ""),
            visitor=visitor,
        )
    )


class OwnedJobs:
    """The jobs of some kinds, each changed only by who started it.

    Args:
        context: What pages work with.
        kinds: Keys of KINDS.
    """

    def __init__(self, context: Context, *kinds: str) -> None:
        self._context, self._kinds = context, kinds

    def look(self) -> list[Job]:
        """All of them, newest first, whoever started them."""
        return [job for job in self._context.jobs.look() if job.spec.kind in self._kinds]

    def own(self, identity: str, visitor: str) -> Job:
        """The job, if it is this visitor's.

        Raises:
            UserError: It is not, or is gone.
        """
        job = self._context.jobs.job(identity)
        if job.spec.kind not in self._kinds:
            raise UserError(f"There is no job {identity!r} here.", "It may have been deleted.")
        if job.spec.visitor != visitor:
            raise UserError("Only who started it can change it.")
        return job

    def stop(self, identity: str, visitor: str, *, kill: bool = False) -> None:
        """Ask a job to save its work and end, or kill the one that was asked.

        Raises:
            UserError: It is not this visitor's, or is gone.
        """
        self._context.jobs.stop(self.own(identity, visitor).id, kill=kill)

    def ended(self, identity: str, visitor: str) -> Job:
        """The job, if it is this visitor's and has ended: it can be resumed or deleted.

        Raises:
            UserError: It is not, is gone, or still runs.
        """
        job = self.own(identity, visitor)
        if job.is_live:
            raise UserError(f"{job.spec.name} has not ended.", "Stop it first, or wait.")
        return job

    def resume(self, identity: str, visitor: str, parameters: JobParameters | None = None) -> Job:
        """Queue an ended job's command once more: it goes on where it ended.

        Args:
            identity: Of the job, which stays as it is.
            visitor: Who asks.
            parameters: In place of those it had.

        Raises:
            UserError: It is not this visitor's, is gone or still runs, or jobs are switched off.
        """
        check_allowed(self._context.settings)
        spec = self.ended(identity, visitor).spec
        table = spec.parameters if parameters is None else parameters.as_json()
        fields = {"name": spec.name, "device": spec.device, "out": spec.out}
        return self._context.jobs.submit(
            JobSpec(spec.kind, table, **fields, progress=spec.progress, visitor=visitor)
        )

    def delete(self, identity: str, visitor: str) -> Job:
        """Delete a job that has ended, with what it wrote; the job as it was.

        Raises:
            UserError: It is not this visitor's, is gone, or still runs.
            StorageError: A file could not be deleted.
        """
        job = self.own(identity, visitor)
        self._context.jobs.delete(identity)
        return job
