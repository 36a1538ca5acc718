"""The store as the app shares it: many threads on one object, other processes beside it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from imitation.disk import file_lock
from imitation.errors import StorageError
from imitation.storage import comparisons, database
from imitation.storage.database import Store
from imitation.values import Sampling
from tests.many_hands import SQL
from tests.test_layout import ROOT


@pytest.fixture
def store(tmp_path: Path):  # type: ignore[no-untyped-def]
    with closing(Store(tmp_path / "lab.sqlite3")) as made:
        with made.writing():
            made.execute("CREATE TABLE t (x)")
        yield made


def lost(database: Path, notes: Path) -> Counter[str]:
    """Acknowledged and not stored, by kind; the file itself is checked on the way."""
    with closing(sqlite3.connect(database)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        stored = {kind: {row[0] for row in db.execute(sql)} for kind, sql in SQL.items()}
    lines = [line.split(" ", 1) for line in notes.read_text().split("\n")[:-1]]
    assert {kind for kind, _ in lines} == set(SQL), "every kind was written"
    return Counter(kind for kind, identity in lines if identity not in stored[kind])


@pytest.mark.slow
def test_nothing_acknowledged_to_16_visitors_is_lost_with_a_kill_in_the_middle(
    tmp_path: Path,
) -> None:
    notes, most = tmp_path / "notes", 5000
    run = [sys.executable, "-m", "tests.many_hands", str(tmp_path / "data"), str(notes), str(most)]
    with subprocess.Popen(run, cwd=ROOT) as first:
        deadline = time.monotonic() + 240
        while not notes.exists() or notes.read_bytes().count(b"\n") < most / 2:
            assert first.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        first.kill()
    database = tmp_path / "data" / "lab.sqlite3"
    half = lost(database, notes)
    assert not half, half
    done = subprocess.run(run, cwd=ROOT, timeout=240, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert notes.read_bytes().count(b"\n") >= most
    assert not lost(database, notes)


def test_threads_and_processes_take_turns(store: Store) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from imitation.storage.database import Store\n"
        "store = Store(Path(sys.argv[1]))\n"
        "for n in range(40):\n"
        "    with store.writing(): store.execute('INSERT INTO t VALUES (?)', (f'other {n}',))\n"
    )
    run = [sys.executable, "-c", code, str(store.path)]
    errors: list[Exception] = []

    def write(hand: int) -> None:
        try:
            for n in range(20):
                with store.writing():
                    before = store.execute("SELECT count(*) FROM t").fetchone()[0]
                    store.execute("INSERT INTO t VALUES (?)", (f"{hand} {n}",))
                    now = store.execute("SELECT count(*) FROM t").fetchone()[0]
                    assert now == before + 1, "a transaction sees its own and nobody else's"
        except Exception as error:
            errors.append(error)

    with subprocess.Popen(run, cwd=ROOT) as other:
        threads = [threading.Thread(target=write, args=(hand,)) for hand in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert other.wait(120) == 0
    assert not errors
    assert store.execute("SELECT count(DISTINCT x) FROM t").fetchone()[0] == 8 * 20 + 40


def test_a_read_sees_no_half_of_a_transaction_and_waits_for_none(store: Store) -> None:
    found = []

    def look() -> None:
        found.append(store.execute("SELECT count(*) FROM t").fetchone()[0])

    with store.writing():
        store.execute("INSERT INTO t VALUES (1)")
        looking = threading.Thread(target=look)
        looking.start()
        looking.join(20)
        assert found == [0]
    look()
    assert found == [0, 1]


def test_what_fails_in_the_middle_leaves_nothing_and_blocks_nobody(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.writing():
        store.execute("INSERT INTO t VALUES (1)")
        held = store.execute("SELECT * FROM t")  # never read to its end
        raise ZeroDivisionError
    assert store.execute("SELECT count(*) FROM t").fetchone()[0] == 0
    with store.writing():
        store.execute("INSERT INTO t VALUES (2)")
        held = store.execute("SELECT * FROM t")
    with store.writing():
        store.execute("INSERT INTO t VALUES (3)")
    assert store.execute("SELECT count(*) FROM t").fetchone()[0] == 2
    del held


def test_nothing_is_written_outside_of_writing(store: Store) -> None:
    with pytest.raises(StorageError, match="readonly"):
        store.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(RuntimeError, match="outside of writing"):
        store.executemany("INSERT INTO t VALUES (?)", [(1,)])
    with store.writing(), pytest.raises(RuntimeError, match="inside of writing"), store.writing():
        pass
    assert store.execute("SELECT count(*) FROM t").fetchone()[0] == 0


def test_threads_that_end_leave_no_connection_open(store: Store) -> None:
    def opened() -> int:
        links = [Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd")]
        return sum(os.readlink(link).startswith(str(store.path)) for link in links if link.exists())

    # SQLite keeps files of closed connections for new ones while others are open: as many as were
    # open at once, never more.
    counts = []
    for _ in range(6):
        threads = [
            threading.Thread(target=lambda: store.execute("SELECT * FROM t").fetchall())
            for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        counts.append(opened())
    assert max(counts) <= 20 + 4 and not store._readers


def test_who_waits_too_long_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "WAIT_S", 0.2)
    # Another process of ours, another thread, and a program that knows nothing of turns.
    with (
        file_lock(store.path.with_name("lab.sqlite3.lock")),
        pytest.raises(StorageError, match="has been writing"),
        store.writing(),
    ):
        pass
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with store.writing():
            inside.set()
            leave.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait(20)
    with pytest.raises(StorageError, match="has been writing"), store.writing():
        pass
    leave.set()
    holder.join()
    with closing(Store(store.path)) as hasty, closing(sqlite3.connect(store.path)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="has been writing"), hasty.writing():
            pass
    with store.writing():
        store.execute("INSERT INTO t VALUES (1)")


def test_a_commit_is_on_the_disk_when_it_is_acknowledged(store: Store) -> None:
    with store.writing():
        # FULL: with WAL, NORMAL would let a power cut take the last commits.
        assert store.execute("PRAGMA synchronous").fetchone()[0] == 2


def test_damage_found_in_the_middle_is_said(store: Store) -> None:
    comparison = comparisons.Comparison(comparisons.new_id(), "me", (), False, "", Sampling())
    comparisons.save(store, comparison)
    sql = "SELECT rootpage FROM sqlite_schema WHERE tbl_name = 'comparisons' AND rootpage > 0"
    pages = [row[0] for row in store.execute(sql)]
    store.close()
    data = bytearray(store.path.read_bytes())
    for page in pages:
        data[(page - 1) * 4096 : page * 4096] = os.urandom(4096)
    store.path.write_bytes(data)
    again = Store(store.path)
    with pytest.raises(StorageError, match="Restart the app"):
        comparisons.load(again, comparison.id)
    found, notice = database.open_store(store.path)
    assert "damaged" in notice and comparisons.load(found, comparison.id) is None
