"""The versions of the store, one module each, and the way from one to the next.

Append only: a module that was released is never changed.
"""

from __future__ import annotations

import importlib
import pkgutil
import sqlite3
from contextlib import closing
from pathlib import Path

from imitation.disk import atomic_write
from imitation.errors import StorageError


def versions() -> list[tuple[int, str]]:
    """Numbers and modules of all versions, in order."""
    names = sorted(m.name for m in pkgutil.iter_modules(__path__))
    return [(int(name[1:4]), name) for name in names]


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the file at `path` to the newest version; an older one is copied aside before.

    Raises:
        StorageError: It is of a version this app does not know.
    """
    have = connection.execute("PRAGMA user_version").fetchone()[0]
    known = versions()
    newest = known[-1][0]
    if have > newest:
        raise StorageError(
            f"The database {path.name} is of version {have}; this app knows up to {newest}.",
            "Update the app, or point IMITATION_DATA at another folder.",
        )
    todo = [(number, name) for number, name in known if number > have]
    if todo and have:
        _backup(connection, path.with_name(f"{path.stem}.before-v{newest}{path.suffix}"))
    for number, name in todo:
        version = importlib.import_module(f"{__name__}.{name}")
        try:
            # executescript commits what was begun before it: it begins the transaction itself.
            connection.executescript(f"BEGIN IMMEDIATE;{version.SQL};")
            if convert := getattr(version, "convert", None):  # what SQL alone can't do
                convert(connection)
            connection.execute(f"PRAGMA user_version = {number}")
            connection.commit()
        except sqlite3.Error:
            if connection.in_transaction:
                connection.rollback()
            raise


def _backup(connection: sqlite3.Connection, target: Path) -> None:
    """Copy the whole store to `target`, readable as it is."""
    with atomic_write(target) as aside, closing(sqlite3.connect(aside)) as copy:
        connection.backup(copy)
