"""The SQLite file: one writer, a reading connection per thread, migrations after a backup.

SQLite's own documentation (https://sqlite.org/wal.html, "The WAL-Reset Bug") tells of a fault in
every version from 3.7.0 to 3.51.2: where two connections write or checkpoint at the same instant, a
checkpoint can miss pages, for good. Most Pythons bring such a version (that of Debian 12 is 3.40),
and no requirement of ours can ask for another. It cannot happen here: whatever writes or
checkpoints, which committing and closing do, has the turn (`Store._turn`), which one thread of one
process has at a time, and reading connections do neither. Another program that writes to the file
while the app runs, such as the sqlite3 shell, does not wait for its turn: use it on a copy.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from imitation.disk import Busy, file_lock
from imitation.errors import StorageError
from imitation.storage.migrations import migrate
from imitation.text import clean_values

log = logging.getLogger(__name__)

WAIT_S = 30.0
"""Seconds that others' writing is waited for."""
Values = Sequence[Any] | Mapping[str, Any]
_OF_THE_DISK = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
)


class Store:
    """The store of a lab, created and migrated as needed; any number of threads may share it.

    What a thread reads comes through a connection of its own, which refuses to write and is closed
    when the thread ends. What is written goes through one connection, inside `writing`.

    Args:
        path: The file; other processes may have a store on it too.

    Raises:
        StorageError: The file cannot be opened or written, or is from a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._threads = threading.Lock()
        self._own = threading.local()
        self._readers: weakref.WeakSet[_Reader] = weakref.WeakSet()
        self._adding = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._turn():
                self._writer = _writer(path)
        except (sqlite3.OperationalError, OSError) as error:
            raise _unusable(path, error) from error

    def execute(self, sql: str, values: Values = ()) -> sqlite3.Cursor:
        """Run one statement: any inside `writing`, one that only reads elsewhere.

        Raises:
            StorageError: The store stayed locked, or the disk is full, read-only or failing.
        """
        inside = getattr(self._own, "cursors", None)
        values = _carried(values)
        with _said():
            if inside is None:
                return self._reader().execute(sql, values)
            cursor = self._writer.execute(sql, values)
            if cursor.description:
                inside.append(cursor)
            return cursor

    def executemany(self, sql: str, rows: Iterable[Values]) -> None:
        """Run one statement for every row; inside `writing` only.

        Raises:
            StorageError: As `execute`.
        """
        if not hasattr(self._own, "cursors"):
            raise RuntimeError("executemany outside of writing")
        with _said():
            self._writer.executemany(sql, map(_carried, rows))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction of this thread: all of it is on the disk when the block ends, or nothing.

        Raises:
            StorageError: The store stayed locked, or the disk is full, read-only or failing.
        """
        if hasattr(self._own, "cursors"):
            raise RuntimeError("writing inside of writing")
        with self._turn():
            with _said():
                self._writer.execute("BEGIN IMMEDIATE")
            cursors = self._own.cursors = list[sqlite3.Cursor]()
            try:
                yield
                with _said():
                    self._writer.execute("COMMIT")
            finally:
                del self._own.cursors
                # One that somebody still holds would keep the writer at the past it was reading.
                for cursor in cursors:
                    cursor.close()
                if self._writer.in_transaction:
                    self._writer.rollback()

    def close(self) -> None:
        """Close all connections; no thread may use the store any more."""
        for reader in list(self._readers):
            reader.connection.close()
        with self._turn():  # the last connection to a file checkpoints it
            self._writer.close()

    def _reader(self) -> sqlite3.Connection:
        found: _Reader | None = getattr(self._own, "reader", None)
        if found is None:
            found = self._own.reader = _Reader(self.path)
            with self._adding:
                self._readers.add(found)
        return found.connection

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """The turn to write, among the threads of this process and among processes."""
        until = time.monotonic() + WAIT_S
        if not self._threads.acquire(timeout=WAIT_S):
            raise _busy()
        try:
            lock = self.path.with_name(f"{self.path.name}.lock")
            with file_lock(lock, within_s=max(0.0, until - time.monotonic())):
                yield
        except Busy as error:
            raise _busy() from error
        finally:
            self._threads.release()


def _carried(values: Values) -> Values:
    """Values that SQLite can take: it has no place for half a UTF-16 pair."""
    if isinstance(values, Mapping):
        return {name: clean_values(value) for name, value in values.items()}
    return [clean_values(value) for value in values]


class Damaged(StorageError):
    """The file is no database any more."""


class _Reader:
    """A thread's reading connection, closed at once when the thread ends.

    A connection by itself, which refers to itself, would wait for the collector of garbage.
    """

    def __init__(self, path: Path) -> None:
        self.connection = _connection(path)
        self.connection.execute("PRAGMA query_only = ON")

    def __del__(self) -> None:
        self.connection.close()


def connect(path: Path) -> Store:
    """The store at `path`; see `Store`."""
    return Store(path)


def open_store(path: Path) -> tuple[Store, str]:
    """The store, and a sentence for the page where something had to be done ("" otherwise).

    A corrupt file is kept aside under a new name and a new store is begun.

    Raises:
        StorageError: The folder is read-only or full, or the store is from a newer version.
    """
    try:
        store = Store(path)
        verdict = store.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict == "ok":
            return store, ""
        store.close()
        log.error("the database %s is corrupt: %s", path, verdict)
    except (sqlite3.DatabaseError, Damaged) as error:
        if not path.exists():
            raise _unusable(path, error) from error
        log.exception("the database %s is corrupt", path)
    aside = path.with_name(f"{path.stem}.corrupt-{time.strftime('%Y%m%d-%H%M%S')}{path.suffix}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            os.replace(part, aside.with_name(aside.name + suffix))
    return Store(path), (
        f"The database was damaged. It is kept as {aside.name} beside a new, empty one; "
        "earlier comparisons and votes are in the old file."
    )


def _writer(path: Path) -> sqlite3.Connection:
    """The connection that writes, on a file that is there and of the newest version by then."""
    made = _connection(path)
    try:
        made.execute("PRAGMA journal_mode = WAL")
        # NORMAL, often advised with WAL, would lose the last commits in a power cut.
        made.execute("PRAGMA synchronous = FULL")
        made.execute("PRAGMA foreign_keys = ON")
        migrate(made, path)
    except BaseException:
        made.close()
        raise
    return made


def _connection(path: Path) -> sqlite3.Connection:
    """A connection without transactions of its own making, which waits for strangers' locks."""
    made = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
    made.row_factory = sqlite3.Row
    return made


@contextmanager
def _said() -> Iterator[None]:
    """What a disk or another program did to a statement, in words; faults of ours stay as is."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = error.sqlite_errorcode & 0xFF if hasattr(error, "sqlite_errorcode") else None
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise _busy() from error
        if code in _OF_THE_DISK:
            raise StorageError(
                f"This could not be saved or read: {error}.",
                "Free disk space or make the data folder writable, then try again.",
            ) from error
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise Damaged(
                f"The database is damaged: {error}.",
                "Restart the app: it keeps the damaged file and begins a new one.",
            ) from error
        raise


def _busy() -> Busy:
    return Busy(
        f"Something else has been writing to the store for {WAIT_S:.0f} s, so nothing was saved.",
        "Try again; if it stays so, see which program has the database open.",
    )


def _unusable(path: Path, error: Exception) -> StorageError:
    return StorageError(
        f"The database {path} cannot be used: {error}.",
        "Make the folder writable, free disk space, or set IMITATION_DATA to another folder.",
    )
