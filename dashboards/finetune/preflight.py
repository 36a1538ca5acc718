"""Short jobs before a run: what it would take, and its first batch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from dashboards.finetune.new_run import SHOWN, Form, plan
from dashboards.shell.context import Context
from dashboards.shell.owned_jobs import check_allowed, submit
from imitation.errors import UserError
from imitation.reading.text import lines_of
from training.run_options import Estimate, RunOptions

Probe = Literal["estimate", "batch"]
_PARAMETERS: dict[Probe, type[RunOptions]] = {"estimate": Estimate, "batch": RunOptions}
_MOST = 4_000_000
"""Bytes of a result that are read."""


def start(context: Context, kind: Probe, form: Form, visitor: str) -> str:
    """Queue the look at a form; its id.

    Raises:
        UserError: As `finetune.plan`; jobs are switched off; or too many are queued.
    """
    check_allowed(context.settings)
    table = plan(context, form, visitor).parameters.as_json()
    if kind == "batch":  # it writes nothing
        del table["out"]
    parameters = _PARAMETERS[kind].of(table)
    return submit(context, kind, parameters, form.name, visitor).id


def result(context: Context, identity: str) -> dict[str, Any] | None:
    """What a look found; None while it lasts. It is forgotten once it was read.

    Raises:
        UserError: It found something wrong, or failed.
    """
    jobs = context.jobs
    jobs.look()
    job = jobs.job(identity)
    if job.is_live:
        return None
    found = _printed(jobs.output(job))
    detail = job.detail
    jobs.delete(identity)
    if found is None:
        raise UserError(detail or "It printed no result.", "The log of the app has more.")
    if "error" in found:
        raise UserError(str(found["error"]), str(found.get("hint", "")))
    return found


def with_changes(form: Form, text: str) -> Form:
    """The form with the changes an estimate proposed, as they come back from the page."""
    try:
        found = json.loads(text)
    except ValueError:
        return form
    if not isinstance(found, dict):
        return form
    shown = {h.name for h in SHOWN}
    changes = {key: value for key, value in found.items() if key in shown}
    return replace(form, changes={**form.changes, **changes})


def _printed(path: Path) -> dict[str, Any] | None:
    """The last line of JSON a job printed."""
    try:
        text = path.read_bytes()[-_MOST:].decode("utf-8", "replace")
    except OSError:
        return None
    for line in reversed(lines_of(text)):
        if line.startswith("{"):
            try:
                found = json.loads(line)
            except ValueError:
                continue
            return found if isinstance(found, dict) else None
    return None
