"""Opening the SQLite file: WAL, migrations after a backup, a corrupt file kept aside."""

from __future__ import annotations

import importlib
import logging
import os
import pkgutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from imitation.errors import StorageError
from imitation.storage import migrations

log = logging.getLogger(__name__)


def connect(path: Path) -> sqlite3.Connection:
    """A connection to the store at `path`, created and migrated as needed.

    Usable from any thread; every write goes through `writing`.

    Raises:
        StorageError: The file cannot be opened or written, or is from a newer version.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=10, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        _migrate(connection, path)
    except (sqlite3.OperationalError, OSError) as error:
        raise _unusable(path, error) from error
    return connection


def open_store(path: Path) -> tuple[sqlite3.Connection, str]:
    """A connection, and a sentence for the page where something had to be done ("" otherwise).

    A corrupt file is kept aside under a new name and a new store is begun.

    Raises:
        StorageError: The folder is read-only or full, or the store is from a newer version.
    """
    try:
        connection = connect(path)
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict == "ok":
            return connection, ""
        connection.close()
        log.error("the database %s is corrupt: %s", path, verdict)
    except sqlite3.DatabaseError as error:
        if not path.exists():
            raise _unusable(path, error) from error
        log.exception("the database %s is corrupt", path)
    aside = path.with_name(f"{path.stem}.corrupt-{time.strftime('%Y%m%d-%H%M%S')}{path.suffix}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            os.replace(part, aside.with_name(aside.name + suffix))
    return connect(path), (
        f"The database was damaged. It is kept as {aside.name} beside a new, empty one; "
        "earlier comparisons and votes are in the old file."
    )


@contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """A transaction: all of it is written, or none.

    Raises:
        StorageError: The disk is full or read-only, or the store stayed locked.
    """
    try:
        with connection:
            yield connection
    except sqlite3.IntegrityError:
        raise
    except sqlite3.OperationalError as error:
        raise StorageError(
            f"This could not be saved: {error}.",
            "Free disk space or make the data folder writable, then try again.",
        ) from error


def backup(connection: sqlite3.Connection, target: Path) -> None:
    """Copy the whole store to `target`, readable as it is."""
    with closing(sqlite3.connect(target)) as copy:
        connection.backup(copy)


def _versions() -> list[tuple[int, str]]:
    names = sorted(m.name for m in pkgutil.iter_modules(migrations.__path__))
    return [(int(name[1:4]), name) for name in names]


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    have = connection.execute("PRAGMA user_version").fetchone()[0]
    versions = _versions()
    newest = versions[-1][0]
    if have > newest:
        raise StorageError(
            f"The database {path.name} is of version {have}; this app knows up to {newest}.",
            "Update the app, or point IMITATION_DATA at another folder.",
        )
    todo = [(number, name) for number, name in versions if number > have]
    if not todo:
        return
    if have:
        backup(connection, path.with_name(f"{path.stem}.before-v{newest}{path.suffix}"))
    for number, name in todo:
        sql = importlib.import_module(f"{migrations.__name__}.{name}").SQL
        # executescript commits by itself: the transaction is written into the script.
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE;{sql};PRAGMA user_version = {number};COMMIT;"
            )
        except sqlite3.OperationalError:
            if connection.in_transaction:
                connection.rollback()
            # Another app on this store may have migrated it while we waited.
            if connection.execute("PRAGMA user_version").fetchone()[0] < number:
                raise


def _unusable(path: Path, error: Exception) -> StorageError:
    return StorageError(
        f"The database {path} cannot be used: {error}.",
        "Make the folder writable, free disk space, or set IMITATION_DATA to another folder.",
    )
