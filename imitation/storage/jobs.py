"""The jobs table: what was asked to run, and in which state it was last seen."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imitation.errors import UserError
from imitation.storage.database import Store
from imitation.values import LIVE_STATES, JobSpec, JobState

_LIVE = f"state IN {LIVE_STATES!r}"


@dataclass(frozen=True, slots=True)
class Job:
    """One row.

    Attributes:
        id: Unguessable; the name of its folder.
        number: Its place in the order of submission.
        spec: What was asked for.
        state: As last seen.
        created: When it was submitted, seconds since 1970.
        started: When its process was started, None before.
        stop_asked: When it was asked to stop, None if it never was.
        ended: When it was over, None before.
        detail: How it ended, in words; "" where there is nothing to say.
    """

    id: str
    number: int
    spec: JobSpec
    state: JobState
    created: float
    started: float | None = None
    stop_asked: float | None = None
    ended: float | None = None
    detail: str = ""

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return self.state in LIVE_STATES


def new_id() -> str:
    """An id for a job: 64 random bits, safe as the name of a folder."""
    return secrets.token_hex(8)


def add(db: Store, identity: str, spec: JobSpec, limit: int) -> Job:
    """Put a job at the end of the queue.

    Args:
        db: The store.
        identity: From `new_id`.
        spec: What to run.
        limit: Live jobs one visitor may have.

    Raises:
        UserError: Another live job writes to the same place, or the visitor has too many.
        StorageError: It could not be written.
    """
    now = time.time()
    with db.writing():
        others = live(db)
        if sum(job.spec.visitor == spec.visitor for job in others) >= limit:
            raise UserError(
                f"{limit} of your jobs are queued or running already.",
                "Wait until one has ended, or stop one.",
            )
        for job in others:
            if _overlap(spec.out, job.spec.out):
                raise UserError(
                    f"The job {job.spec.name!r} is writing to {job.spec.out}.",
                    "Choose another name, or wait until it has ended.",
                )
        row = db.execute(
            "INSERT INTO jobs (id, visitor, kind, name, parameters, device, out, progress, state,"
            " created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?)",
            (
                identity,
                spec.visitor,
                spec.kind,
                spec.name,
                json.dumps(dict(spec.parameters)),
                spec.device,
                spec.out,
                spec.progress,
                now,
            ),
        )
    assert row.lastrowid is not None
    return Job(identity, row.lastrowid, spec, "queued", now)


def get(db: Store, identity: str) -> Job | None:
    """The job of that id, None if there is none."""
    row = db.execute("SELECT * FROM jobs WHERE id = ?", (identity,)).fetchone()
    return _read(row) if row else None


def newest(db: Store, kind: str | None = None, limit: int = 500) -> list[Job]:
    """Jobs of a kind (None: all), newest first."""
    rows = db.execute(
        "SELECT * FROM jobs WHERE :kind IS NULL OR kind = :kind ORDER BY number DESC LIMIT :limit",
        {"kind": kind, "limit": limit},
    )
    return [_read(row) for row in rows]


def live(db: Store) -> list[Job]:
    """Jobs that have not ended, in the order of the queue."""
    return [_read(row) for row in db.execute(f"SELECT * FROM jobs WHERE {_LIVE} ORDER BY number")]


def claim(db: Store, slots: Mapping[str, int]) -> Job | None:
    """Mark the first queued job whose device has a free slot as running, and return it.

    Two processes on one store never claim the same job. Devices not named have one slot.

    Raises:
        StorageError: It could not be written.
    """
    with db.writing():
        jobs = live(db)
        busy: dict[str, int] = {}
        for job in jobs:
            if job.state != "queued":
                busy[job.spec.device] = busy.get(job.spec.device, 0) + 1
        for job in jobs:
            device = job.spec.device
            if job.state == "queued" and busy.get(device, 0) < slots.get(device, 1):
                db.execute(
                    "UPDATE jobs SET state = 'running', started = ? WHERE id = ?",
                    (time.time(), job.id),
                )
                return get(db, job.id)
    return None


def ask_to_stop(db: Store, identity: str) -> Job | None:
    """Mark a queued job as stopped or a running one as stopping; the job as it is then.

    Raises:
        StorageError: It could not be written.
    """
    now = time.time()
    with db.writing():
        db.execute(
            "UPDATE jobs SET stop_asked = coalesce(stop_asked, :now),"
            " ended = CASE state WHEN 'queued' THEN :now END,"
            " detail = CASE state WHEN 'queued' THEN 'Stopped before it began.' ELSE '' END,"
            " state = CASE state WHEN 'queued' THEN 'stopped' ELSE 'stopping' END"
            f" WHERE id = :id AND {_LIVE}",
            {"now": now, "id": identity},
        )
    return get(db, identity)


def finish(db: Store, identity: str, state: JobState, ended: float, detail: str) -> None:
    """Note how a live job ended; one that had ended before is left as it is.

    Raises:
        StorageError: It could not be written.
    """
    with db.writing():
        db.execute(
            f"UPDATE jobs SET state = ?, ended = ?, detail = ? WHERE id = ? AND {_LIVE}",
            (state, ended, detail, identity),
        )


def delete(db: Store, identity: str) -> bool:
    """Delete an ended job's row; True if there was one.

    Raises:
        StorageError: It could not be written.
    """
    with db.writing():
        gone = db.execute(f"DELETE FROM jobs WHERE id = ? AND NOT {_LIVE}", (identity,))
    return gone.rowcount > 0


def uses(db: Store, out: str) -> int:
    """How many jobs, ended ones too, write or wrote to `out`."""
    found = db.execute("SELECT count(*) FROM jobs WHERE out = ?", (out,)).fetchone()
    return int(found[0])


def _overlap(one: str, other: str) -> bool:
    """Whether two places are the same, or one lies in the other."""
    if not one or not other:
        return False
    a, b = Path(one), Path(other)
    return a == b or a in b.parents or b in a.parents


def _read(row: sqlite3.Row) -> Job:
    return Job(
        id=row["id"],
        number=row["number"],
        spec=JobSpec(
            kind=row["kind"],
            parameters=json.loads(row["parameters"]),
            name=row["name"],
            device=row["device"],
            out=row["out"],
            progress=row["progress"],
            visitor=row["visitor"],
        ),
        state=row["state"],
        created=row["created"],
        started=row["started"],
        stop_asked=row["stop_asked"],
        ended=row["ended"],
        detail=row["detail"],
    )
