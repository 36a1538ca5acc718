"""Writing files that people care about: whole or not at all, on the disk when that is said.

A file opened for writing is empty until it is written, and what a full disk, a kill or a power cut
leaves of it is what the next reader finds. So everything that is kept is written beside its place,
forced to the disk and renamed, by `atomic_write`, `atomic_folder` or `write_text`; logs
that only grow are the exception.
"""

from __future__ import annotations

import math
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from imitation.errors import StorageError

_POLL_S = 0.005


class Busy(StorageError):
    """Another process holds a lock, for longer than was to be waited."""


@contextmanager
def atomic_write(target: Path) -> Iterator[Path]:
    """A path beside `target` to write to; renamed to `target` on success, removed on failure.

    Readers see the old file or the whole new one, never a part; when the block has ended, the new
    one outlives a power cut.

    Raises:
        StorageError: The folder cannot be written or the disk is full, in words.
    """
    aside = _aside(target)
    with as_storage_errors(target):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            yield aside
            _settle(aside)
            os.replace(aside, target)
            _settle(target.parent)
        finally:
            # The folder itself may be what is wrong.
            if aside.parent.is_dir():
                aside.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Replace a file by this text, whole or not at all.

    Raises:
        StorageError: As `atomic_write`.
    """
    with atomic_write(target) as aside:
        aside.write_text(text, encoding="utf-8")


def copy_file(source: Path, target: Path) -> None:
    """Copy a file, whole or not at all.

    Raises:
        StorageError: As `atomic_write`; also where the source cannot be read.
    """
    with atomic_write(target) as aside:
        shutil.copyfile(source, aside)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """A new folder beside `target` to write into; it takes the place of `target` on success.

    On failure it is removed, and `target` stays as it was, or missing.

    Raises:
        StorageError: As `atomic_write`.
    """
    aside, old = _aside(target), target.with_name(f".{target.name}.old")
    with as_storage_errors(target):
        try:
            aside.mkdir(parents=True)
            yield aside
            for path in aside.rglob("*"):
                _settle(path)
            _settle(aside)
            shutil.rmtree(old, ignore_errors=True)
            if target.is_dir():
                target.rename(old)
            aside.rename(target)
            _settle(target.parent)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def as_storage_errors(target: Path) -> Iterator[None]:
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
def file_lock(
    path: Path, waiting: Callable[[], None] = lambda: None, within_s: float = math.inf
) -> Iterator[None]:
    """Hold a lock between processes of this machine; freed by the system if the holder dies.

    Args:
        path: The lock's file, made if missing and left in place.
        waiting: Called once before waiting for another holder.
        within_s: Seconds to wait at most.

    Raises:
        Busy: Another process still holds it.
        StorageError: The lock's file cannot be made.
    """
    lock = FileLock(path, poll_interval=_POLL_S)
    with as_storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        free = _acquire(lock, 0)
    if not free:
        waiting()
        with as_storage_errors(path):
            free = _acquire(lock, within_s)
    if not free:
        raise Busy(f"Another process holds {path}.", "Wait for it.")
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, within_s: float) -> bool:
    try:
        lock.acquire(timeout=-1 if within_s == math.inf else within_s)
    except Timeout:
        return False
    return True


def _aside(target: Path) -> Path:
    """A name of this process and thread alone: the page's threads may write one file at once."""
    return target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}.part")


def _settle(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk."""
    # A file must be there when it is said to be; not every file system can force names.
    with suppress(OSError) if path.is_dir() else nullcontext():
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
