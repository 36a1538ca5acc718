"""What a run tells whoever watches, and what it is told: progress lines out, a stop in."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from imitation.disk import write_text
from imitation.errors import StorageError, UserError
from imitation.reading.text import lines_of

try:
    import fcntl
except ImportError:  # Windows: the queue alone keeps two runs out of one folder
    fcntl = None  # type: ignore[assignment]

_OF_A_STEP = ("step", "validation", "score")
_OF_AN_END = ("stopped", "failed", "end", "saved", "exported")


class Stopped(Exception):
    """The run was asked to stop."""


class Stop:
    """SIGTERM, looked for between computations: `check` raises Stopped once it has come."""

    def __init__(self) -> None:
        self.asked = False

    def listen(self) -> None:
        """Take the signal from now on; main thread only."""
        signal.signal(signal.SIGTERM, self._take)

    def check(self) -> None:
        """Raise Stopped if it has been asked for."""
        if self.asked:
            raise Stopped

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True


class Progress:
    """JSON lines: each with "event" and seconds since the run's start, pauses not counted.

    Attributes:
        listener: Given each line too, once set.
    """

    def __init__(self, path: Path) -> None:
        self._out = path.open("w", encoding="utf-8")
        self._began = time.monotonic()
        self.listener: Callable[[dict[str, Any]], None] | None = None

    @property
    def elapsed_s(self) -> float:
        """Seconds the run has taken."""
        return time.monotonic() - self._began

    def write(self, event: str, **values: Any) -> None:
        """Append one line; it is on disk when this returns."""
        line = {"event": event, "elapsed_s": round(self.elapsed_s, 2), **values}
        self._out.write(json.dumps(line) + "\n")
        self._out.flush()
        if self.listener:
            self.listener(line)

    @classmethod
    def resumed(cls, path: Path, step: int, watched: bool, elapsed_s: float) -> Progress:
        """Go on with the lines of a run as it stood after `step`.

        What it told of later steps, which are done again, and of its end is dropped.

        Raises:
            StorageError: The file cannot be written.
        """
        kept = [line for line in _lines(path) if _stays(line, step, watched)]
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))
        made = cls.__new__(cls)
        made._out = path.open("a", encoding="utf-8")
        made._began, made.listener = time.monotonic() - elapsed_s, None
        return made


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Hold a run's folder; freed by the system when the process ends, however it ends.

    Raises:
        UserError: Another run writes to it.
        StorageError: The folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / ".lock").open("ab")
    except OSError as error:
        raise StorageError(f"{folder} cannot be written: {error.strerror or error}.") from error
    with handle:
        if fcntl is not None:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(
                    f"Another run is writing to {folder}.",
                    "Choose another --out, or wait until it has ended.",
                ) from error
        yield


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Whole lines of a progress file; half of one, where a run was killed, is passed over."""
    text = path.read_text("utf-8", "replace") if os.path.isfile(path) else ""
    for line in lines_of(text):
        try:
            yield json.loads(line)
        except ValueError:
            continue


def _stays(line: dict[str, Any], step: int, watched: bool) -> bool:
    event = line.get("event")
    if event in _OF_AN_END:
        return False
    if event == "step" or (event in _OF_A_STEP and watched):
        return bool(line["step"] <= step)
    return event not in _OF_A_STEP or bool(line["step"] < step)
