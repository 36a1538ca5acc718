"""What a run is told from outside: to stop, and that its folder is taken."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from imitation.errors import StorageError, UserError

try:
    import fcntl
except ImportError:  # Windows: the queue alone keeps two runs out of one folder
    fcntl = None  # type: ignore[assignment]


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
