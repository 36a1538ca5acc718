"""Running code that a model wrote, as HumanEval needs: in a process behind walls.

Every program gets a process of its own with an empty throw-away folder and an empty environment.
Where bubblewrap is there and may work, namespaces of its own stand around it (`bubblewrap.py`).
In either case resource limits bound CPU time, memory, file size and open files; Landlock lets it
read Python's library and write its folder, nothing else; seccomp takes network, new processes,
signals to others and folders of its own away; the parent bounds wall time, threads and what is in
the folder. Linux on x86-64 and aarch64 has all of these, as root or not, in a plain container too
(kernel 5.13 or newer). Where one is missing nothing is run, unless IMITATION_CODE_EXEC=1 says that
is accepted, and it is reported.

Not a virtual machine: a hole in the kernel is a hole here. Nor is a verdict proof against a program
that is after it: it runs in the process that reports how it ended.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from imitation.errors import UserError
from imitation.evaluation.sandbox import bubblewrap
from imitation.settings import Settings

JAIL = Path(__file__).with_name("jail.py")
WALLS = {
    "limits": "CPU, memory and file size are bounded",
    "privileges": "it has no privileges",
    "files": "it reads and writes no files but its own (Landlock)",
    "calls": "it has no network and starts or signals no process (seccomp)",
}
SEEN = "Without bubblewrap a program can find out which paths exist; it cannot read what is there."
FOLDER_BYTES = 32 << 20
FOLDER_ENTRIES = 1000
THREADS = 200
_LOOK_S = 0.05

How = Literal[
    "passed", "failed", "timed out", "killed", "ended early", "wrote too much", "too many threads"
]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one program may use.

    Attributes:
        cpu_s: Seconds of processor time.
        wall_s: Seconds from start to end.
        memory_bytes: Address space.
        file_bytes: Size of any one file.
        files: Open files.
    """

    cpu_s: int = 10
    wall_s: float = 15.0
    memory_bytes: int = 1 << 30
    file_bytes: int = 1 << 20
    files: int = 64


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended.

    Attributes:
        how: "passed" is to its end without an exception; everything else is not.
        detail: The exception or signal in words; may be empty.
        seconds: Wall time.
    """

    how: How
    detail: str = ""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether it ran to its end without an exception."""
        return self.how == "passed"


@cache
def namespaces() -> bool:
    """Whether bubblewrap is installed and may make namespaces here; many containers forbid it."""
    if not bubblewrap.program():
        return False
    walls, _ = _start("pass", Limits(wall_s=60.0), needed=(), inside=True)
    return bool(walls)


@cache
def missing_walls() -> tuple[str, ...]:
    """What this machine cannot wall off, in words; empty where all of it can."""
    if os.name != "posix":
        return tuple(WALLS.values())
    try:
        walls, _ = _start("pass", Limits(wall_s=60.0), needed=(), inside=namespaces())
    except OSError:  # Python itself cannot be started as this user
        return tuple(WALLS.values())
    return tuple(text for name, text in WALLS.items() if not walls.get(name))


def notes() -> tuple[str, ...]:
    """What must be told with the results of programs that were run here, as sentences."""
    missing = tuple(f"The sandbox could not ensure that {text}." for text in missing_walls())
    return missing if namespaces() else (*missing, SEEN)


def check_allowed(settings: Settings) -> tuple[str, ...]:
    """Return if code may be run here, with what must then be told with the result (`notes`).

    Raises:
        UserError: It is switched off, or a wall is missing; the hint says what to do.
    """
    if settings.code_exec is False:
        raise UserError(
            "Running code that models wrote is switched off here.",
            "IMITATION_CODE_EXEC=1 allows it; where strangers reach the page it is off by default.",
        )
    missing = missing_walls()
    if missing and settings.code_exec is None:
        raise UserError(
            f"Code that models wrote is not run: the sandbox cannot ensure that "
            f"{', '.join(missing)}.",
            "Use Linux 5.13 or newer, or accept it with IMITATION_CODE_EXEC=1.",
        )
    return notes()


def run(program: str, limits: Limits | None = None, *, all_walls: bool = True) -> Outcome:
    """Run a program behind the walls and say how it ended.

    Args:
        program: Python source; what it prints is thrown away.
        limits: What it may use.
        all_walls: Refuse where a wall is missing.

    Raises:
        UserError: A wall is missing and all of them were wanted, or nothing could be started.
    """
    needed = tuple(WALLS) if all_walls else ("limits",)
    try:
        walls, outcome = _start(program, limits or Limits(), needed, inside=namespaces())
    except OSError as error:
        raise UserError(f"The sandbox cannot be started: {error}.") from error
    if not walls:  # not the program's fault, so not its verdict either
        raise UserError(f"The sandbox did not start: {outcome.how} {outcome.detail}.", "Try again.")
    if not all(walls.get(name) for name in needed):
        missing = [text for name, text in WALLS.items() if not walls.get(name)]
        raise UserError(f"Nothing was run: the sandbox cannot ensure that {', '.join(missing)}.")
    return outcome


def _start(
    program: str, limits: Limits, needed: tuple[str, ...], *, inside: bool
) -> tuple[dict[str, bool], Outcome]:
    """Which walls stood, and how the program ended; `inside` bubblewrap or not."""
    number = secrets.token_hex(16)
    text = program.encode("utf-8", "replace").decode("utf-8")
    asked = {"limits": asdict(limits), "needed": needed, "number": number, "program": text}
    with _folder() as scratch, tempfile.TemporaryFile() as request, tempfile.TemporaryFile() as out:
        request.write(json.dumps(asked).encode() + b"\n")
        request.seek(0)
        began = time.monotonic()
        child = _spawn(scratch, request.fileno(), out.fileno(), inside=inside)
        try:
            end = _watch(child, scratch, began + limits.wall_s)
        finally:
            _end(child)
        seconds = time.monotonic() - began
        out.seek(0)
        lines = out.read(1 << 16).decode("utf-8", "replace").splitlines()
    walls = _parsed(lines[0]) if lines else {}
    said = next((row for row in map(_parsed, lines[1:]) if row.get("number") == number), None)
    return walls, _outcome(said, end or _ended(child.returncode, inside=inside), seconds)


@contextmanager
def _folder() -> Iterator[str]:
    """A folder that is gone afterwards, whatever was made in it.

    Python's own deletion recurses, and gives up at thousands of nested folders or at one that may
    not be listed; chmod and rm do neither.
    """
    made = tempfile.mkdtemp(prefix="answer-")
    try:
        yield made
    finally:
        for tool in (["rm", "-rf"], ["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
            if not os.path.lexists(made):
                break
            subprocess.run([*tool, "--", made], stderr=subprocess.DEVNULL, check=False)


def _spawn(scratch: str, request: int, report: int, *, inside: bool) -> subprocess.Popen[bytes]:
    python = bubblewrap.interpreter()
    around = bubblewrap.command(python, JAIL, scratch) if inside else []
    return subprocess.Popen(
        [*around, python, "-I", "-S", "-B", str(JAIL)],
        cwd=scratch,
        env={"LC_ALL": "C.UTF-8"},
        stdin=request,
        stdout=report,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _watch(child: subprocess.Popen[bytes], scratch: str, until: float) -> tuple[How, str] | None:
    """Wait for the end; what it has to be ended for, if so."""
    pause_s = 0.001
    while _runs(child):
        if time.monotonic() > until:
            return "timed out", ""
        if too_much := _too_much(scratch):
            return "wrote too much", too_much
        if _threads(child.pid) > THREADS:
            return "too many threads", f"over {THREADS}"
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LOOK_S)
    return None


def _runs(child: subprocess.Popen[bytes]) -> bool:
    """Whether it has not ended; it is left unburied, so that its group's number stays its own."""
    how = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, child.pid, how) is None


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child's whole group. With bubblewrap, what is inside dies with it."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _too_much(folder: str) -> str:
    """What there is too much of in a folder, "" if nothing.

    Takes no longer for a folder with millions of entries than for one with too many.
    """
    todo, entries, size = [folder], 0, 0
    while todo:
        with suppress(OSError), os.scandir(todo.pop()) as found:
            for entry in found:
                entries += 1
                if entries > FOLDER_ENTRIES:
                    return f"over {FOLDER_ENTRIES} files"
                with suppress(OSError):
                    size += entry.stat(follow_symlinks=False).st_size
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
    return f"over {FOLDER_BYTES >> 20} MB" if size > FOLDER_BYTES else ""


def _threads(pid: int) -> int:
    """Threads of a process and what it started, at the most 3 a process more.

    No limit of the kernel holds them for root, and those made by the bare call need no memory:
    some ten thousand leave no machine a number for a new process.
    """
    todo, count = [pid], 0
    while todo:
        tasks = Path(f"/proc/{todo.pop()}/task")
        with suppress(OSError):
            count += tasks.stat().st_nlink
            children = (tasks / tasks.parent.name / "children").read_text("ascii")
            todo.extend(map(int, children.split()))
    return count


def _ended(code: int, *, inside: bool) -> tuple[How, str]:
    if inside and code - 128 in signal.valid_signals():  # bubblewrap's way to say so
        code = 128 - code
    if code >= 0:
        return "ended early", f"exit code {code}"
    name = signal.Signals(-code).name if -code in signal.valid_signals() else str(-code)
    if -code == signal.SIGXCPU or -code == signal.SIGKILL:
        return "timed out", f"{name}: its CPU time was used up"
    return "killed", name


def _outcome(said: dict[str, Any] | None, end: tuple[How, str], seconds: float) -> Outcome:
    if said is None:
        return Outcome(*end, seconds)
    if said["said"]:
        return Outcome("failed", str(said["said"]), seconds)
    return Outcome("passed", "", seconds)


def _parsed(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
