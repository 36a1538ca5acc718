import importlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from imitation.errors import StorageError
from imitation.storage import migrations
from imitation.storage.database import connect, open_store


def newest() -> int:
    return migrations.versions()[-1][0]


def test_a_new_store_is_wal_and_of_the_newest_version(tmp_path: Path) -> None:
    db = connect(tmp_path / "deep" / "lab.sqlite3")
    assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert db.execute("PRAGMA user_version").fetchone()[0] == newest()


def test_migrations_are_numbered_without_holes() -> None:
    assert [number for number, _ in migrations.versions()] == list(range(1, newest() + 1))


def test_an_older_store_is_backed_up_then_migrated(tmp_path: Path) -> None:
    path = tmp_path / "lab.sqlite3"
    old = sqlite3.connect(path)
    first = importlib.import_module("imitation.storage.migrations.m001_comparisons").SQL
    old.executescript(first + "PRAGMA user_version = 1;")
    old.execute(
        "INSERT INTO votes (comparison, turn, visitor, created, kind, choice, blind, columns,"
        " states, sampling, conversation) VALUES ('c', 0, 'v', 1, 'preference', 'tie', 1, '[]',"
        " '[]', '{}', '{}')"
    )
    old.commit()
    old.close()

    db = connect(path)

    assert db.execute("PRAGMA user_version").fetchone()[0] == newest()
    assert db.execute("SELECT choice FROM votes").fetchone()[0] == "tie"
    if newest() > 1:
        kept = sqlite3.connect(tmp_path / f"lab.before-v{newest()}.sqlite3")
        assert kept.execute("PRAGMA user_version").fetchone()[0] == 1
        assert kept.execute("SELECT count(*) FROM votes").fetchone()[0] == 1


def test_a_newer_store_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "lab.sqlite3"
    connect(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 999")
    db.close()
    with pytest.raises(StorageError, match="version 999"):
        connect(path)


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b""])
def test_a_corrupt_store_is_kept_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "lab.sqlite3"
    path.write_bytes(content)
    db, notice = open_store(path)
    assert db.execute("SELECT count(*) FROM votes").fetchone()[0] == 0
    if content:
        (aside,) = tmp_path.glob("lab.corrupt-*.sqlite3")
        assert aside.read_bytes() == content
        assert aside.name in notice
    else:
        assert notice == ""


def test_a_page_damaged_in_the_middle_is_noticed_at_opening(tmp_path: Path) -> None:
    path = tmp_path / "lab.sqlite3"
    db = connect(path)
    with db.writing():
        for number in range(400):
            db.execute(
                "INSERT INTO comparisons VALUES (?, 'v', 1, 1, 0, '[]', '[]', ?, '{}', '[]', NULL)",
                (str(number), "x" * 500),
            )
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    data = bytearray(path.read_bytes())
    data[8192 : 8192 + 30000] = os.urandom(30000)
    path.write_bytes(data)

    fresh, notice = open_store(path)

    assert "damaged" in notice
    assert fresh.execute("SELECT count(*) FROM comparisons").fetchone()[0] == 0
    assert len(list(tmp_path.glob("lab.corrupt-*.sqlite3"))) == 1


def test_two_connections_migrate_once(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    path = tmp_path / "lab.sqlite3"
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda _: connect(path), range(8)))
    for db in opened:
        assert db.execute("PRAGMA user_version").fetchone()[0] == newest()


def test_a_folder_that_is_a_file_is_said_in_words(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("x")
    with pytest.raises(StorageError, match="IMITATION_DATA"):
        connect(blocked / "lab.sqlite3")


@pytest.fixture
def read_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder this process may read but not write; root steps down for it."""
    folder = Path(tempfile.mkdtemp())
    connect(folder / "lab.sqlite3").close()
    folder.chmod(0o555)
    (folder / "lab.sqlite3").chmod(0o444)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["lab.sqlite3", "new.sqlite3", "deep/lab.sqlite3"])
def test_a_read_only_folder_is_said_in_words(read_only: Path, name: str) -> None:
    with pytest.raises(StorageError, match="IMITATION_DATA"):
        open_store(read_only / name)


def test_a_full_disk_loses_nothing_that_was_there(tmp_path: Path) -> None:
    db = connect(tmp_path / "lab.sqlite3")
    with db.writing():
        db.execute("CREATE TABLE t (x)")
        db.execute("INSERT INTO t VALUES ('kept')")
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    with db.writing():
        db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match="full"), db.writing():
        for _ in range(100):
            db.execute("INSERT INTO t VALUES (?)", ("y" * 4000,))
    assert [row[0] for row in db.execute("SELECT x FROM t")] == ["kept"]


def test_halves_of_characters_are_stored_as_what_they_can_be(tmp_path):
    store = connect(tmp_path / "lab.sqlite3")
    with store.writing():
        store.execute("CREATE TABLE notes (id TEXT, said TEXT)")
        store.execute("INSERT INTO notes VALUES (?, ?)", ("a", "x\ud83d"))
        store.execute("INSERT INTO notes VALUES (:id, :said)", {"id": "b", "said": "\ud83d\ude00"})
        store.executemany("INSERT INTO notes VALUES (?, ?)", [("c", "\ude00"), ("d", None)])
    rows = store.execute("SELECT said FROM notes WHERE id != ? ORDER BY id", ("\ud83d",)).fetchall()
    assert [row[0] for row in rows] == ["x\ufffd", "😀", "\ufffd", None]
    store.close()
