"""Running code that a model wrote, as HumanEval needs: in a process behind walls.

Every program gets a process of its own with an empty throw-away folder and an empty environment.
Resource limits bound CPU time, memory, file size and open files; Landlock lets it read Python's
library and write its folder, nothing else; seccomp takes network, new processes and signals to
others away; the parent bounds wall time and the folder's size. Linux on x86-64 and aarch64 has
all of it, as root or not, in a plain container too (kernel 5.13 or newer). Where a wall is
missing nothing is run, unless IMITATION_CODE_EXEC=1 says that is accepted, and it is reported.

Not a virtual machine: a hole in the kernel is a hole here.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from imitation.errors import UserError
from imitation.settings import Settings

JAIL = Path(__file__).with_name("code_jail.py")
WALLS = {
    "limits": "CPU, memory and file size are bounded",
    "privileges": "it has no privileges",
    "files": "it reads and writes no files but its own (Landlock)",
    "calls": "it has no network and starts or signals no process (seccomp)",
}
FOLDER_BYTES = 32 << 20
_LOOK_S = 0.05

How = Literal["passed", "failed", "timed out", "killed", "ended early", "wrote too much"]


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
def missing_walls() -> tuple[str, ...]:
    """What this machine cannot wall off, in words; empty where all of it can."""
    if os.name != "posix":
        return tuple(WALLS.values())
    try:
        walls, _ = _start("pass", Limits(wall_s=60.0), needed=())
    except OSError:  # Python itself cannot be started as this user
        return tuple(WALLS.values())
    return tuple(text for name, text in WALLS.items() if not walls.get(name))


def check_allowed(settings: Settings) -> tuple[str, ...]:
    """Return if code may be run here; what must then be told with the result, mostly nothing.

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
    return tuple(f"The sandbox could not ensure that {text}." for text in missing)


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
        walls, outcome = _start(program, limits or Limits(), needed)
    except OSError as error:
        raise UserError(f"The sandbox cannot be started: {error}.") from error
    if not walls:  # not the program's fault, so not its verdict either
        raise UserError(f"The sandbox did not start: {outcome.how} {outcome.detail}.", "Try again.")
    if not all(walls.get(name) for name in needed):
        missing = [text for name, text in WALLS.items() if not walls.get(name)]
        raise UserError(f"Nothing was run: the sandbox cannot ensure that {', '.join(missing)}.")
    return outcome


def _start(
    program: str, limits: Limits, needed: tuple[str, ...]
) -> tuple[dict[str, bool], Outcome]:
    """Which walls stood, and how the program ended."""
    number = secrets.token_hex(16)
    text = program.encode("utf-8", "replace").decode("utf-8")
    asked = {"limits": asdict(limits), "needed": needed, "number": number, "program": text}
    with tempfile.TemporaryDirectory(prefix="answer-") as scratch, tempfile.TemporaryFile() as out:
        began = time.monotonic()
        child = _spawn(scratch, out.fileno())
        assert child.stdin is not None
        with suppress(BrokenPipeError), child.stdin:
            child.stdin.write(json.dumps(asked).encode() + b"\n")
        end = _watch(child, Path(scratch), began + limits.wall_s)
        seconds = time.monotonic() - began
        out.seek(0)
        lines = out.read(1 << 16).decode("utf-8", "replace").splitlines()
    walls = _parsed(lines[0]) if lines else {}
    said = next((row for row in map(_parsed, lines[1:]) if row.get("number") == number), None)
    return walls, _outcome(said, end or _ended(child.returncode), seconds)


def _spawn(scratch: str, report: int) -> subprocess.Popen[bytes]:
    # The base interpreter: a virtual environment's holds packages, which no answer needs.
    python = getattr(sys, "_base_executable", "") or sys.executable
    return subprocess.Popen(
        [python, "-I", "-S", "-B", str(JAIL)],
        cwd=scratch,
        env={"LC_ALL": "C.UTF-8"},
        stdin=subprocess.PIPE,
        stdout=report,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _watch(child: subprocess.Popen[bytes], scratch: Path, until: float) -> tuple[How, str] | None:
    """Wait for the end; what had to be ended for, if so."""
    reason: tuple[How, str] | None = None
    while child.poll() is None:
        if time.monotonic() > until:
            reason = ("timed out", "")
        elif _size(scratch) > FOLDER_BYTES:
            reason = ("wrote too much", f"over {FOLDER_BYTES >> 20} MB")
        if reason:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            break
        with suppress(subprocess.TimeoutExpired):
            child.wait(_LOOK_S)
    child.wait()
    return reason


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.lstat().st_size
    return total


def _ended(code: int) -> tuple[How, str]:
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
