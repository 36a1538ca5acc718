"""How a job ended: what its worker left, read and put into words."""

from __future__ import annotations

import json
import re
import shutil
import signal
from dataclasses import dataclass, fields
from pathlib import Path

from imitation.jobs import worker
from imitation.jobs.kinds import kind_of
from imitation.jobs.progress import Reader, tail
from imitation.storage.jobs import Job
from imitation.values import JobState

_OOM = re.compile(
    r"CUDA out of memory|OutOfMemoryError|not enough memory: you tried to allocate"
    r"|^MemoryError|std::bad_alloc|Cannot allocate memory",
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
        killed: Processes that had to be killed.
        left: Pids that could not even be killed.
        oom_killed: Whether the kernel killed it for want of memory.
        peak_bytes: Largest resident memory of any one of its processes.
    """

    code: int | None
    ended: float
    stopped: bool = False
    error: str = ""
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
    printed = tail(folder / worker.OUTPUT)
    progress = Reader(Path(job.spec.progress)).read() if job.spec.progress else None
    finished = progress is not None and progress.event == "end"
    if end.code == 0 and (finished or not end.stopped):
        return "done", _remains(end)
    if end.stopped:
        return "stopped", _stopped(end) + _remains(end)
    failure = progress.failure if progress else None
    if end.oom_killed or (end.code != 0 and _OOM.search(printed)) or (
        failure and _OOM.search(failure[0])
    ):  # fmt: skip
        return "out_of_memory", _memory(job, end, printed)
    if failure:
        return "failed", " ".join(filter(None, failure))
    return "failed", _failed(end, printed, folder) + _remains(end)


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


def _memory(job: Job, end: Exit, printed: str) -> str:
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
    parts.append(kind_of(job.spec.kind).lower)
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
