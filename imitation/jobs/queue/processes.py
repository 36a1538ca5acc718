"""Processes of a job: telling them from strangers, ending all of them."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import psutil

MARK = "LAB_JOB"
"""Environment variable that says which job a process belongs to."""


def birth(pid: int) -> str | None:
    """What tells a process from any other that ever had its pid; None if there is none alive.

    On Linux the machine's boot and the clock tick in it, which no change of the clock moves.
    A zombie is not alive.
    """
    try:
        if os.path.exists("/proc/self/stat"):
            # The name, in brackets, may hold anything; field 3 (the state) follows it.
            fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2]
            state, started = fields.split()[0], fields.split()[19]
            boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
            return None if state in "ZX" else f"{boot}:{started}"
        process = psutil.Process(pid)
        dead = process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        return None if dead else str(process.create_time())
    except (OSError, IndexError, psutil.Error):
        return None


def members(session: int, job: str, *, leads: bool = False) -> list[psutil.Process]:
    """Living processes of a job, the leader of its session left out.

    They carry its mark, wherever they have gone: an embedded engine, say, opens a session of its
    own.

    Args:
        session: Pid of its leader.
        job: Its id.
        leads: The leader is known to live, so that all of its session belongs to the job. Else
            the number may be a stranger's by now.
    """
    found = []
    for pid in psutil.pids():
        with suppress(OSError, psutil.Error):
            process = psutil.Process(pid)
            ours = (leads and os.getsid(pid) == session) or process.environ().get(MARK) == job
            if ours and pid != session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def end_all(
    session: int, job: str, *, leads: bool = False, within_s: float = 5.0
) -> tuple[int, list[int]]:
    """Kill the members: how many there were, and the pids of those still there at the end."""
    seen: set[int] = set()
    until = time.monotonic() + within_s
    # Again and again: one may have started another meanwhile.
    while found := members(session, job, leads=leads):
        for process in found:
            with suppress(psutil.Error):  # psutil never signals another process of the same pid
                process.kill()
        seen |= {process.pid for process in found}
        if time.monotonic() > until:
            break
        time.sleep(0.02)
    return len(seen), [process.pid for process in found]
