"""What starts or fetches something asks here first, before it changes anything."""

from __future__ import annotations

from dashboards.shell.context import Context
from imitation.errors import UserError
from imitation.settings import Settings
from imitation.storage.jobs import Job
from imitation.values import JobSpec


def check_allowed(
    settings: Settings, instead: str = "Copy the command and run it on a machine of your own."
) -> None:
    """Refuse where visitors may only watch.

    Raises:
        UserError: IMITATION_JOBS=0.
    """
    if not settings.jobs:
        raise UserError("Nothing can be started on this server (IMITATION_JOBS=0).", instead)


def submit(context: Context, spec: JobSpec) -> Job:
    """Queue a job, where visitors may.

    Raises:
        UserError: They may not, or too many are queued.
    """
    check_allowed(context.settings)
    return context.jobs.submit(spec)
