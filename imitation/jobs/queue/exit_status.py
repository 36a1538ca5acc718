"""How a job ended: what its worker left, read and put into words."""

from __future__ import annotations

import json
import math
import re
import shutil
import signal
from dataclasses import dataclass, fields
from pathlib import Path

from imitation.installation import missing_in
from imitation.jobs.queue import worker
from imitation.jobs.queue.progress import Progress, Reader, tail
from imitation.jobs.registry import KINDS, kind_of
from imitation.storage.jobs import Job
from imitation.values import JobState

_OOM = re.compile(
    r"^(?:[\w.]*OutOfMemoryError\b|MemoryError\b|OSError: \[Errno 12\]"
    r"|RuntimeError: (?:CUDA out of memory|.* memory: you tried to allocate))"
    r"|^terminate called .*std::bad_alloc",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Signed:
    """Who runs a job: the worker's pid, and what tells it from others of that pid."""

    pid: int
    birth: str


@dataclass(frozen=True, slots=True)
class Exit:
    """How a job ended.

    Attributes:
        code: Exit code, negative for a signal; None where none was left or nothing was run.
        ended: When, seconds since 1970.
        stopped: Whether it had been asked to stop by then.
        error: Why it could not be started.
        said: Its last words, where it told why it ended.
        killed: Processes that had to be killed.
        left: Pids that could not even be killed.
        oom_killed: Whether the kernel killed it for want of memory.
        peak_bytes: Largest resident memory of any one of its processes.
    """

    code: int | None
    ended: float
    stopped: bool = False
    error: str = ""
    said: str = ""
    killed: int = 0
    left: tuple[int, ...] = ()
    oom_killed: bool = False
    peak_bytes: int = 0


def signed(folder: Path) -> Signed | None:
    """Who runs the job of a folder; None before its worker has said so."""
    try:
        found = json.loads((folder / worker.WORKER).read_text("utf-8"))
        return Signed(int(found["pid"]), str(found["birth"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def left(folder: Path) -> Exit | None:
    """What the worker left at the end; None while there is nothing."""
    try:
        found = json.loads((folder / worker.EXIT).read_text("utf-8"))
        known = {field.name for field in fields(Exit)}
        return Exit(**{key: value for key, value in found.items() if key in known})
    except (OSError, ValueError, AttributeError, TypeError):
        return None


def judge(job: Job, end: Exit, folder: Path) -> tuple[JobState, str]:
    """The state a job ended in, and how it ended in words ("" for done)."""
    printed, progress = tail(folder / worker.OUTPUT), _told(job)
    if end.code == 0 or progress.whole or _made(job):
        return "done", _remains(end)
    if end.stopped:
        return "stopped", _stopped(end) + _remains(end)
    said = " ".join(filter(None, progress.failure or ())) or end.said
    if end.oom_killed or _OOM.search(said or printed):
        return "out_of_memory", _memory(job, end, progress, said or printed)
    if library := missing_in(said or printed, job.spec.kind):
        return "failed", library
    return "failed", said or _failed(end, printed, folder) + _remains(end)


def _told(job: Job) -> Progress:
    """What the job told of itself; an earlier one may have written to the same file."""
    path = Path(job.spec.progress)
    if not job.spec.progress or not _is_of(job, path):
        return Progress()
    return Reader(path).read()


def _made(job: Job) -> bool:
    """Whether its result is there: such a file appears last, once all of it is whole."""
    result = KINDS[job.spec.kind].result if job.spec.kind in KINDS else ""
    return bool(result) and _is_of(job, Path(job.spec.out) / result)


def _is_of(job: Job, path: Path) -> bool:
    """Whether a file was written since the job began; the kernel's clock lags by some ms."""
    try:
        return path.stat().st_mtime >= (job.started or math.inf) - 0.05
    except OSError:
        return False


def _stopped(end: Exit) -> str:
    if end.killed:
        return f"Stopped. It did not end by itself in time: {_count(end.killed)} had to be killed."
    return "Stopped."


def _remains(end: Exit) -> str:
    if not end.left:
        return ""
    pids = ", ".join(map(str, end.left))
    return f" Still running, although killed: {pids}."


def _failed(end: Exit, printed: str, folder: Path) -> str:
    if end.error:
        return end.error
    lines = [line for line in printed.splitlines() if line.strip()]
    last = f": {lines[-1].strip()[:300]}" if lines else "."
    if end.code is None:
        full = " The disk is full." if shutil.disk_usage(folder.parent).free < 1 << 20 else ""
        why = "It left no exit code: it was killed, or the machine was switched off."
        return f"{why}{full} Last printed{last}" if lines else why + full
    if end.code < 0:
        return f"It was killed by {_signal(-end.code)}."
    return f"Exit status {end.code}{last}"


def _memory(job: Job, end: Exit, progress: Progress, printed: str) -> str:
    said = re.search(r"Tried to allocate [^\n]*?\bfree\b|tried to allocate \d+ bytes", printed)
    parts = ["It ran out of memory."]
    if said:
        parts.append(f"{said[0][0].upper()}{said[0][1:]}.")
    elif end.peak_bytes:
        total, free = _machine()
        parts.append(
            f"It had reached {end.peak_bytes / 1e9:.1f} GB; this machine has {total / 1e9:.1f} GB,"
            f" {free / 1e9:.1f} GB of it free now."
        )
    parts.append(kind_of(job.spec.kind).advice(progress.phase))
    return " ".join(parts)


def _machine() -> tuple[int, int]:
    """Total and available memory, bytes."""
    import psutil

    memory = psutil.virtual_memory()
    return memory.total, memory.available


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _count(n: int) -> str:
    return "1 process" if n == 1 else f"{n} processes"
