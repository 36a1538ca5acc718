"""What a command tells of itself while it works: one vocabulary, one writer, one reader.

A progress file has a JSON object a line, {"event", "elapsed_s", ...}; elapsed_s are seconds since
the command's start. The page, the queue and cards read it; `Name` has all events there are:

    start       everything is known and it begins; what it works on
    setup       finetune: dtype, threads and probe_s, before the base is loaded
    resumed     step: it goes on from there
    step        step of steps, and what was counted or measured until then
    reading     dataset: rows read of a source so far
    loaded      dataset: the table of a source that was read
    diversity   dataset: queries compared, of how many
    preview     dataset: the first conversations of a source
    validation  finetune: step, loss of the data kept out
    score       step, name, value, low, high, n; of an evaluation: model, task, value {...}, state
    checkpoint  finetune: step whose state is on the disk
    saved       finetune: folder of the weights it ended with
    exported    finetune: file the embedded engine serves, and its proof
    not_exported  finetune: reason
    sending     push: it is under way
    report      evaluate: all is measured, the report is being built
    stopped     it was asked to stop and did; resumable
    failed      message, hint: it is over, and not all that was asked for is there
    end         all that was asked for is there, whole; the last event

Whoever stops or kills a command after "end" undoes nothing.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Literal, Self

from imitation.disk import write_text
from imitation.errors import StorageError, UserError

log = logging.getLogger(__name__)

Name = Literal[
    "start", "setup", "resumed", "step", "reading", "loaded", "diversity", "preview", "validation",
    "score", "checkpoint", "saved", "exported", "not_exported", "sending", "report", "stopped",
    "failed", "end",
]  # fmt: skip
Line = dict[str, Any]
FORMER = {"begin": "start", "done": "end"}
"""Names in files that earlier versions wrote."""
SAYS = "LAB_SAYS"
"""Environment variable with the descriptor that a queued command leaves its last words on."""
LEARNING = ("start", "resumed", "step", "validation", "score", "checkpoint")
"""What a fine-tune tells from its first step to its last."""
LEARNED = ("saved", "exported", "not_exported")
"""What it tells afterwards, when it exports what it has and checks that."""
_OF_A_STEP = ("step", "validation", "score")
_OF_AN_END = ("stopped", "failed", "end", *LEARNED)


class Writer:
    """The one writer of progress files; without a path it only prints.

    A line that a full disk refuses is left out, and the work goes on: lines are for whoever
    watches. "end" is forced to the disk, since work is thrown away or kept by it.

    Attributes:
        listener: Given each line too, once set.

    Raises:
        StorageError: The file cannot be opened.
    """

    def __init__(self, path: Path | None, *, anew: bool = True, elapsed_s: float = 0.0) -> None:
        """Begin the file anew, or go on at its end."""
        self.listener: Callable[[Line], None] | None = None
        self._began = time.monotonic() - elapsed_s
        self._torn = False
        self._out: IO[bytes] | None = None
        if path is None:
            return
        try:
            self._out = path.open("wb" if anew else "ab", buffering=0)
            self._torn = not anew and path.read_bytes()[-1:] not in (b"", b"\n")
        except OSError as error:
            raise StorageError(f"{path} cannot be written: {error.strerror or error}.") from error

    @classmethod
    def resumed(cls, path: Path, step: int, watched: bool, elapsed_s: float) -> Self:
        """Go on with the lines of a run as it stood after `step`.

        What it told of later steps, which are done again, and of its end is dropped.

        Raises:
            StorageError: The file cannot be written.
        """
        kept = [line for line in read(path) if _stays(line, step, watched)]
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))
        return cls(path, anew=False, elapsed_s=elapsed_s)

    @property
    def elapsed_s(self) -> float:
        """Seconds it has taken, those before it was resumed with them."""
        return time.monotonic() - self._began

    def write(self, event: Name, text: str = "", **values: Any) -> None:
        """Tell one thing, and print `text` for people; it is in the file when this returns."""
        if text:
            _print(text)
        line = {"event": event, "elapsed_s": round(self.elapsed_s, 2), **values}
        if self._out:
            data = (json.dumps(line, ensure_ascii=False) + "\n").encode("utf-8", "replace")
            try:
                written = self._out.write(b"\n" * self._torn + data)
                self._torn = written != len(data) + self._torn
                if event == "end":
                    os.fsync(self._out.fileno())
            except OSError as error:
                if not self._torn:
                    log.warning("Progress lines are left out: %s", error)
                self._torn = True
        if self.listener:
            self.listener(line)

    def failed(self, command: str, error: Exception) -> None:
        """Tell why the command ends: printed, in the file, and to the queue that started it.

        Errors that are not a `UserError` are logged with their trace.
        """
        if isinstance(error, UserError):
            message, hint = error.message, error.hint
        else:
            message, hint = f"{type(error).__name__}: {error}", ""
            log.error("%s failed", command, exc_info=error)
        _print(f"{command}: {message} {hint}".rstrip())
        self.write("failed", message=message, hint=hint)
        _leave(f"{message} {hint}".strip())

    def close(self) -> None:
        """Close the file."""
        if self._out:
            self._out.close()
            self._out = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read(path: Path) -> Iterator[Line]:
    """The lines of a progress file; none where there is no file."""
    text = path.read_bytes() if path.is_file() else b""
    for line in text.split(b"\n"):
        if found := parse(line):
            yield found


def parse(line: bytes | str) -> Line | None:
    """One line; None where it is half of one, or not ours. Former names are given as today's."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    if "event" in found:
        found["event"] = FORMER.get(found["event"], found["event"])
    return found


def is_whole(line: Line) -> bool:
    """Whether a line says that all that was asked for is there.

    Earlier versions ended with something missing, and said so.
    """
    missing = line.get("missing") or line.get("complete") is False
    return line.get("event") == "end" and not missing


def _stays(line: Line, step: int, watched: bool) -> bool:
    event = line.get("event")
    if event in _OF_AN_END:
        return False
    if event == "step" or (event in _OF_A_STEP and watched):
        return bool(line["step"] <= step)
    return event not in _OF_A_STEP or bool(line["step"] < step)


def _print(text: str) -> None:
    with suppress(OSError):  # the log may be on a full disk
        print(text, file=sys.stderr, flush=True)


def _leave(text: str) -> None:
    """Last words for the queue: a pipe has room where no disk has."""
    with suppress(OSError, ValueError, KeyError):
        os.write(int(os.environ[SAYS]), text.encode("utf-8", "replace")[:4000])
