"""Writing big files so that nobody ever sees half of one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from imitation.errors import StorageError

try:  # Linux, macOS
    import fcntl
except ImportError:  # Windows: no lock; `written_aside` still keeps files whole
    fcntl = None  # type: ignore[assignment]


@contextmanager
def written_aside(target: Path) -> Iterator[Path]:
    """A path beside `target` to write to; renamed to `target` on success, removed on failure.

    Readers see the old file or the whole new one, never a part.

    Raises:
        StorageError: The folder cannot be written or the disk is full, in words.
    """
    aside = target.with_name(f".{target.name}.{os.getpid()}.part")
    with disk_errors_in_words(target):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            yield aside
            os.replace(aside, target)
        finally:
            # The folder itself may be what is wrong.
            if aside.parent.is_dir():
                aside.unlink(missing_ok=True)


@contextmanager
def disk_errors_in_words(target: Path) -> Iterator[None]:
    """Turn an OSError of the block into a StorageError that names `target`.

    Raises:
        StorageError: The block met an OSError.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"Could not write {target}: {error.strerror or error}.",
            "Free some space or make the folder writable; IMITATION_CACHE and IMITATION_DATA "
            "name other folders.",
        ) from error


@contextmanager
def locked(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold a lock between processes of this machine; freed by the system if the holder dies.

    Where the system has no `flock` (Windows) nothing is locked: two processes may then do the
    same work twice, and the later one's whole file stays.

    Args:
        path: The lock's file, made if missing and left in place.
        waiting: Called once before waiting for another holder.

    Raises:
        StorageError: The lock's file cannot be made.
    """
    with disk_errors_in_words(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("ab")
    with handle:
        if fcntl is not None:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield
