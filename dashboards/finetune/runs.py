"""Watching fine-tunes, ending them, and putting their models into Compare."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dashboards.finetune.new_run import Form, form_of, free_name, lighter, start
from dashboards.finetune.publish import forget, full_card, keep
from dashboards.shell.context import Context
from dashboards.shell.owned_jobs import OwnedJobs, check_allowed
from imitation.data.library import data_name
from imitation.disk import copy_file
from imitation.errors import UserError
from imitation.events import LEARNING
from imitation.jobs.queue.progress import Progress, Reader, tail
from imitation.jobs.registry import as_typed, command_of
from imitation.models.catalog_writer import add_card
from imitation.models.request import in_format
from imitation.prompts import load
from imitation.storage.jobs import Job
from imitation.values import LIVE_STATES, JobState, ModelSpec
from training.hyperparameters import lighter as less_memory
from training.run_folder import ADAPTER, CHECKPOINT, MODEL, STATE
from training.run_options import Finetune

SHOWN = 50
"""Runs in the list, the newest."""
_EARLY = ("stopped", "failed", "out_of_memory")
_DOING = {
    "": "starting",
    "setup": "loading the base and the data",
    "start": "loading the base and the data",
    "resumed": "training",
    "step": "training",
    "validation": "training",
    "score": "training",
    "checkpoint": "training",
    "saved": "exporting the adapter and checking it",
    "exported": "finishing",
    "not_exported": "finishing",
    "end": "finishing",
}


@dataclass(frozen=True, slots=True)
class Run:
    """One fine-tune as shown.

    Attributes:
        id: The job's.
        name: As chosen.
        state: The job's.
        doing: What it is busy with, in words; "" unless running.
        mine: Whether it is this visitor's to stop and delete.
        detail: How it ended, in words.
        created: Seconds since 1970.
        seconds: How long it has run, or ran; None before.
        ahead: Jobs before it in the queue.
        form: What was asked for.
        base: Name of its base.
        command: As one types it.
        out: Folder of the results.
        exported: Whether the embedded engine can serve it.
        resumable: Whether it has ended early and left a checkpoint to go on from.
        lightens: Whether it ran out of memory where less of it can be asked for.
        kept: Folder of the weights it ended with, "" before.
        promoted: Whether it is in Compare.
        progress: Loss curves, speed, time left.
    """

    id: str
    name: str
    state: JobState
    doing: str
    mine: bool
    detail: str
    created: float
    seconds: float | None
    ahead: int
    form: Form
    base: str
    command: str
    out: Path
    exported: bool
    resumable: bool
    lightens: bool
    kept: str
    promoted: bool
    progress: Progress

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return self.state in LIVE_STATES


class Runs:
    """The fine-tunes of a lab; progress files are read on from where the last look ended."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._jobs = OwnedJobs(context, "finetune")
        self._readers: dict[str, Reader] = {}
        self._requests: dict[str, tuple[Form, str]] = {}
        self._lock = threading.Lock()

    def look(self, visitor: str) -> list[Run]:
        """The newest fine-tunes, newest first, whoever started them.

        Raises:
            StorageError: A change of state could not be written.
        """
        jobs = self._context.jobs.look()
        live = [job for job in jobs if job.is_live]
        newest = [job for job in jobs if job.spec.kind == "finetune"][:SHOWN]
        return [self._run(job, visitor, live) for job in newest]

    def log(self, identity: str) -> str:
        """The last lines a run printed."""
        jobs = self._context.jobs
        return tail(jobs.output(jobs.job(identity))).strip()

    def stop(self, identity: str, visitor: str, kill: bool = False) -> None:
        """Ask a run to save and end, or kill the one that was asked.

        Raises:
            UserError: It is not this visitor's, or is gone.
        """
        self._jobs.stop(identity, visitor, kill=kill)

    def delete(self, identity: str, visitor: str) -> None:
        """Delete a run that has ended, with its results; what is in Compare stays there.

        Raises:
            UserError: It is not this visitor's, is gone, or still runs.
            StorageError: A file could not be deleted.
        """
        self._jobs.delete(identity, visitor)
        with self._lock:
            self._readers.pop(identity, None)
            self._requests.pop(identity, None)

    def resume(self, identity: str, visitor: str) -> Job:
        """Queue a run that ended early again, from its checkpoint; it takes the place in the list.

        Where it learned and ran out of memory it goes on with less of it, as far as that leaves the
        result as it is.

        Raises:
            UserError: It is not this visitor's, is gone, or left no checkpoint.
        """
        check_allowed(self._context.settings)
        job = self._jobs.own(identity, visitor)
        out = Path(job.spec.out)
        if job.state not in _EARLY or not (out / STATE).is_file():
            raise UserError(f"{job.spec.name} has no checkpoint to go on from.", "Try it again.")
        parameters = Finetune.of(job.spec.parameters)
        changes: dict[str, Any] = {"resume": True}
        if _lightens(job, self._progress(job)):
            changes |= less_memory(parameters.training_config(), elastic_only=True)
        changed = Finetune.of(parameters.model_copy(update=changes).as_json())
        again = self._jobs.resume(identity, visitor, changed)
        self._context.jobs.delete(identity)  # what it wrote stays: the new one writes there too
        with self._lock:
            self._readers.pop(identity, None)
            self._requests.pop(identity, None)
        return again

    def retry(self, identity: str, visitor: str) -> Job:
        """Queue the run once more under another name, with less memory where that is a cure.

        Raises:
            UserError: It is not this visitor's, is gone, or cannot be started.
        """
        check_allowed(self._context.settings)
        job = self._jobs.own(identity, visitor)
        form = form_of(job.spec)
        if _lightens(job, self._progress(job)):
            form = lighter(form)
        again = replace(form, name=free_name(self._context, form.name))
        return start(self._context, again, visitor)

    def promote(self, identity: str, visitor: str) -> ModelSpec:
        """Add what a finished run made to the catalog, so that it is a model of Compare.

        The file is copied, so that the run may be deleted.

        Raises:
            UserError: It is not this visitor's, has nothing to serve or is damaged, or its name is
                taken.
            StorageError: The file or the catalog could not be written.
        """
        job = self._jobs.own(identity, visitor)
        made = _exported(Path(job.spec.out))
        if job.state != "done" or made is None:
            raise UserError(
                f"{job.spec.name} has no GGUF to serve.",
                "Finished runs of the catalog's embedded bases do.",
            )
        catalog = self._context.catalog()
        if job.spec.name in catalog:
            raise UserError(f"There is a model {job.spec.name!r} already.", "See Compare.")
        full = full_card(self._context, job)  # a damaged run is refused before anything is changed
        form = form_of(job.spec)
        base = catalog[form.base]
        place, whole = f"adapters/{job.spec.name}.gguf", made.name == MODEL
        card = ModelSpec(
            id=job.spec.name,
            name=job.spec.name,
            role="imitation",
            backend="embedded",
            weights=place if whole else base.weights,
            adapter="" if whole else place,
            base=base.id,
            context=base.context,
            params_b=base.params_b,
            tokens_m=round(full["data"]["train_tokens"] / 1e6, 4),
            stand_in=base.stand_in,
            licence=base.licence,
            notes=f"{base.name}, fine-tuned on {data_name(form.data)} on this machine.",
        )
        card = in_format(card, load(Path(job.spec.out) / CHECKPOINT))
        settings = self._context.settings
        kept = settings.data / place
        try:
            copy_file(made, kept)
            keep(settings, card.id, full)
            add_card(settings, card)
        except UserError:
            if card.id not in self._context.catalog():  # added by another click, it needs them
                forget(settings, card.id)
            raise
        return card

    def _run(self, job: Job, visitor: str, live: Sequence[Job]) -> Run:
        progress = self._progress(job)
        form, command = self._request(job)
        out = Path(job.spec.out)
        seconds = None
        if job.started:
            seconds = (job.ended or time.time()) - job.started
        return Run(
            id=job.id,
            name=job.spec.name,
            state=job.state,
            doing=_DOING.get(progress.event, "starting") if job.state == "running" else "",
            mine=job.spec.visitor == visitor,
            detail=job.detail,
            created=job.created,
            seconds=seconds,
            ahead=sum(
                one.spec.device == job.spec.device and one.number < job.number for one in live
            ),
            form=form,
            base=self._context.model_name(form.base),
            command=command,
            out=out,
            exported=job.state == "done" and _exported(out) is not None,
            resumable=job.state in _EARLY and (out / STATE).is_file(),
            lightens=_lightens(job, progress),
            kept=str(out / CHECKPOINT) if (out / CHECKPOINT).is_dir() else "",
            promoted=job.spec.name in self._context.catalog(),
            progress=progress,
        )

    def _request(self, job: Job) -> tuple[Form, str]:
        """What was asked for and its command, kept: a job's parameters never change."""
        with self._lock:
            if job.id not in self._requests:
                self._requests[job.id] = (form_of(job.spec), _command(job))
            return self._requests[job.id]

    def _progress(self, job: Job) -> Progress:
        with self._lock:
            reader = self._readers.setdefault(job.id, Reader(Path(job.spec.progress)))
            return reader.read()


def _command(job: Job) -> str:
    """As one types it; "" where this version does not know the parameters."""
    try:
        return as_typed(command_of(job.spec))
    except UserError:
        return ""


def _lightens(job: Job, progress: Progress) -> bool:
    """Whether it ran out of memory while it learned: its base and its export get no lighter."""
    return job.state == "out_of_memory" and progress.phase in LEARNING


def _exported(out: Path) -> Path | None:
    """The file of a run that the embedded engine can serve, None where there is none."""
    return next((out / name for name in (ADAPTER, MODEL) if (out / name).is_file()), None)
