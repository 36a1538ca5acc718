"""Datasets built and being built: watching, ending, deleting."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from dashboards.data.new_dataset import progress_of
from dashboards.data.sources import folder
from dashboards.shell.context import Context
from dashboards.shell.owned_jobs import OwnedJobs
from imitation.data import library
from imitation.data.library import Dataset
from imitation.errors import UserError
from imitation.events import read
from imitation.jobs.registry import as_typed, command_of
from imitation.storage.jobs import Job
from imitation.values import LIVE_STATES, JobSpec, JobState

SHOWN = 50
"""Datasets in the list, the newest."""


@dataclass(frozen=True, slots=True)
class Build:
    """A dataset as shown, finished or not.

    Attributes:
        name: Of the dataset.
        job: Id of the job that makes or made it; "": a command typed by hand did.
        state: The job's.
        mine: Whether it is this visitor's to stop and delete.
        detail: How the job ended, in words.
        created: Seconds since 1970.
        seconds: How long it has run, or ran; None where not known.
        ahead: Jobs before it in the queue.
        command: As one types it; "" where not known.
        dataset: Once it is there.
        sources: Tables of the sources read so far.
        steps: Tables of the steps done so far.
        doing: What it is busy with, in words.
        share: Share of the steps done; None where not known.
    """

    name: str
    job: str
    state: JobState
    mine: bool
    detail: str
    created: float
    seconds: float | None
    ahead: int
    command: str
    dataset: Dataset | None
    sources: Sequence[Mapping[str, Any]]
    steps: Sequence[Mapping[str, Any]]
    doing: str
    share: float | None

    @property
    def is_live(self) -> bool:
        """Whether its job has not ended."""
        return self.state in LIVE_STATES


def builds(context: Context, visitor: str) -> list[Build]:
    """The datasets of the lab, newest first, whoever made them.

    Raises:
        StorageError: A change of a job's state could not be written.
    """
    every = context.jobs.look()
    live = [job for job in every if job.is_live]
    ready = {dataset.name: dataset for dataset in library.datasets(folder(context.settings))}
    listing, names = [], set[str]()
    for job in every:
        name = Path(job.spec.out).name
        if job.spec.kind == "dataset" and name not in names:
            names.add(name)
            listing.append(_of_job(job, visitor, live, ready.get(name)))
    listing += [_of_dataset(dataset) for name, dataset in ready.items() if name not in names]
    return sorted(listing, key=lambda build: -build.created)[:SHOWN]


def stop(context: Context, name: str, visitor: str, kill: bool = False) -> None:
    """Ask a build to end, or kill the one that was asked; what it wrote so far is removed.

    Raises:
        UserError: It is not this visitor's, or is gone.
    """
    build = _own(context, name, visitor)
    OwnedJobs(context, "dataset").stop(build.job, visitor, kill=kill)


def delete(context: Context, name: str, visitor: str) -> None:
    """Delete a dataset with its job and progress.

    Raises:
        UserError: It is not this visitor's, is gone, or is being built.
        StorageError: A file could not be deleted.
    """
    build = _own(context, name, visitor)
    if build.is_live:
        raise UserError(f"{name} is being built.", "Stop it first.")
    if build.dataset:
        library.delete(build.dataset)
    for job in context.jobs.look("dataset"):
        if Path(job.spec.out).name == name:
            context.jobs.delete(job.id)
    progress_of(context.settings, name).unlink(missing_ok=True)


def _own(context: Context, name: str, visitor: str) -> Build:
    build = next((b for b in builds(context, visitor) if b.name == name), None)
    if build is None:
        raise UserError(f"There is no dataset {name!r}.", "It may have been deleted.")
    if not build.mine:
        raise UserError("Only who built a dataset can change it.")
    return build


def _of_dataset(dataset: Dataset) -> Build:
    """A dataset that no job of the page made; nobody's to delete from here."""
    table = dataset.manifest
    return Build(
        name=dataset.name,
        job="",
        state="done",
        mine=False,
        detail="",
        created=dataset.folder.stat().st_mtime,
        seconds=None,
        ahead=0,
        command="",
        dataset=dataset,
        sources=table.get("sources", ()),
        steps=table.get("steps", ()),
        doing="",
        share=1.0,
    )


def _of_job(job: Job, visitor: str, live: Sequence[Job], dataset: Dataset | None) -> Build:
    events = _events(Path(job.spec.progress))
    steps = [event for event in events if event["event"] == "step"]
    sources = [event for event in events if event["event"] == "loaded"]
    whole = None if job.is_live else dataset  # a folder of that name is there whole or not at all
    if whole:
        sources, steps = whole.manifest.get("sources", ()), whole.manifest.get("steps", ())
    seconds = (job.ended or time.time()) - job.started if job.started else None
    return Build(
        name=Path(job.spec.out).name,
        job=job.id,
        state=job.state,
        mine=job.spec.visitor == visitor,
        detail=job.detail,
        created=job.created,
        seconds=seconds,
        ahead=sum(one.spec.device == job.spec.device and one.number < job.number for one in live),
        command=_command(job.spec),
        dataset=whole,
        sources=sources,
        steps=steps,
        doing=_doing(events) if job.state == "running" else "",
        share=1.0 if whole else _share(events),
    )


def _command(spec: JobSpec) -> str:
    try:
        return as_typed(command_of(spec))
    except UserError:  # of a version that knew other options
        return ""


def _doing(events: Sequence[Mapping[str, Any]]) -> str:
    last = events[-1] if events else {}
    match last.get("event"):
        case "reading":
            return f"reading {last['source']}, {last['rows']:,} rows so far"
        case "loaded":
            return f"{last['name']} read; going on"
        case "step":
            return f"step {last['step']} of {last['steps']} done"
        case "diversity":
            return f"nearest queries, {last['queries']:,} of {last['of']:,}"
        case "end":
            return "finishing"
    return "starting"


def _share(events: Sequence[Mapping[str, Any]]) -> float | None:
    """Of the steps; reading before them and diversity behind count as one each."""
    steps = [event for event in events if event["event"] == "step"]
    if not steps:
        return 0.0 if events else None
    return (1 + int(steps[-1]["step"])) / (2 + int(steps[-1]["steps"]))


def _events(path: Path) -> Sequence[Mapping[str, Any]]:
    try:
        stamp = path.stat()
        return _read(path, stamp.st_mtime_ns, stamp.st_size)
    except OSError:
        return ()


@lru_cache(maxsize=64)
def _read(path: Path, _changed: int, _size: int) -> tuple[Mapping[str, Any], ...]:
    """Whole lines of a progress file; of those on reading, the last of a source is enough."""
    events: list[Mapping[str, Any]] = []
    for event in read(path):
        if "event" in event:
            if events and event["event"] == events[-1]["event"] in ("reading", "diversity"):
                events.pop()
            events.append(event)
    return tuple(events)
