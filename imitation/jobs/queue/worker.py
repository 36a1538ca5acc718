"""Runs one job's command line and leaves its exit code, whatever becomes of the page.

    python -m imitation.jobs.queue.worker FOLDER

FOLDER holds job.json ({"id", "argv", "cwd", "grace_s"}). Written into it: worker.json (the pid of
this process and its birth), output.log (all the command prints) and, at the end, exit.json.
This process leads a session of its own, in which the command runs. SIGTERM is passed on to all of
it; what has not ended `grace_s` seconds later, or at a second SIGTERM, is killed.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from imitation.events import SAYS
from imitation.jobs.queue import processes

JOB, WORKER, OUTPUT, EXIT, STOP = "job.json", "worker.json", "output.log", "exit.json", "stop"
_ROOM = 8192
_SAID = 1000  # characters of last words; in JSON one may take six bytes
NOT_STARTED = 127
"""Exit code where the command could not be started, as shells have it."""


class ExitFile:
    """The exit code, written aside and renamed; its room is taken at the start.

    So it can be left even where the disk has filled up since.
    """

    def __init__(self, folder: Path) -> None:
        self._target = folder / EXIT
        self._aside = folder / f"{EXIT}.part"
        self._file = self._aside.open("wb", buffering=0)
        self._file.write(b" " * _ROOM)
        os.fsync(self._file.fileno())

    def write(self, values: dict[str, Any]) -> None:
        """Leave the values; they are there whole or not at all."""
        self._file.seek(0)
        self._file.write(json.dumps(values).encode().ljust(_ROOM))
        os.fsync(self._file.fileno())
        os.replace(self._aside, self._target)


class Worker:
    """One run of one command line."""

    def __init__(self, folder: Path) -> None:
        job = json.loads((folder / JOB).read_text("utf-8"))
        self.folder, self.id = folder, str(job["id"])
        self.argv: list[str] = job["argv"]
        self.cwd, self.grace_s = job["cwd"], float(job["grace_s"])
        self.stop_asked = False
        self.killed = 0
        self.left: list[int] = []
        self.said = ""

    def run(self) -> int:
        """Run the command to its end and leave its exit code; that code."""
        exit_file = ExitFile(self.folder)
        signal.signal(signal.SIGTERM, self._on_term)
        signal.signal(signal.SIGALRM, lambda *_: self._end_all())
        self._sign()
        before = oom_kills()
        code, error = None, ""
        # Whoever asks to stop leaves this file first: no request falls between two steps.
        if not (self.folder / STOP).exists():
            code, error = self._command()
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._end_all()
        exit_file.write(
            {
                "code": code,
                "error": error,
                "said": self.said[:_SAID],
                "ended": time.time(),
                "stopped": self.stop_asked or code is None,
                "killed": self.killed,
                "left": self.left,
                "oom_killed": code == -signal.SIGKILL and oom_kills() > before,
                "peak_bytes": peak_bytes(),
            }
        )
        return code or 0

    def _sign(self) -> None:
        """Say who runs the job; fails if another worker does already."""
        mine = {"pid": os.getpid(), "birth": processes.birth(os.getpid())}
        with (self.folder / WORKER).open("x", encoding="utf-8") as opened:
            opened.write(json.dumps(mine))

    def _command(self) -> tuple[int, str]:
        os.nice(5)  # the page stays responsive while a job computes
        # Its last words come through a pipe: what it prints may end on a full disk.
        heard, says = os.pipe()
        os.set_blocking(heard, False)
        os.set_blocking(says, False)
        marks = {processes.MARK: self.id, SAYS: str(says), "PYTHONUNBUFFERED": "1"}
        env = {**os.environ, **marks}
        with (self.folder / OUTPUT).open("ab", buffering=0) as output:
            try:
                child = subprocess.Popen(
                    self.argv,
                    cwd=self.cwd,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=(says,),
                )
            except (OSError, ValueError) as error:
                return NOT_STARTED, f"{self.argv[0]!r} could not be started: {error}"
        with suppress(OSError):  # where memory runs out, the job goes first, not the page
            Path(f"/proc/{child.pid}/oom_score_adj").write_text("500")
        os.close(says)
        code = child.wait()
        with suppress(BlockingIOError):
            self.said = os.read(heard, 4 * _SAID).decode("utf-8", "replace")
        return code, ""

    def _on_term(self, *_: object) -> None:
        if self.stop_asked:
            self._end_all()
            return
        self.stop_asked = True
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)
        signal.signal(signal.SIGTERM, self._on_term)
        signal.setitimer(signal.ITIMER_REAL, self.grace_s)

    def _end_all(self) -> None:
        killed, self.left = processes.end_all(os.getpid(), self.id, leads=True)
        self.killed += killed


def oom_kills() -> int:
    """Processes the kernel has killed for want of memory since it booted; 0 where not known."""
    with suppress(OSError):
        found = re.search(r"^oom_kill (\d+)", Path("/proc/vmstat").read_text("ascii"), re.M)
        return int(found[1]) if found else 0
    return 0


def peak_bytes() -> int:
    """Largest resident memory of any one process that ran for the job."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job of a folder; its exit code."""
    (folder,) = sys.argv[1:] if argv is None else argv
    return Worker(Path(folder)).run()


if __name__ == "__main__":
    sys.exit(main())
