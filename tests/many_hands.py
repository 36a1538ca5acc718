"""Sixteen visitors at once on one app's store, each noting what was acknowledged.

    python -m tests.many_hands DATA NOTES COUNT

Everything goes through the handlers of the pages, in threads that share the one `Context`. A line
"kind id" is appended to NOTES after a write was acknowledged, never before; it ends when COUNT
lines are there, or is killed.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path

from dashboards.compare.question import Question
from dashboards.compare.session import Session
from dashboards.recorded import actions as recorded
from dashboards.shell.context import Context
from dashboards.votes import studies
from imitation.jobs.queue.runner import Runner
from imitation.jobs.registry import KINDS, Kind
from imitation.models.catalog import Catalog
from imitation.settings import read_settings
from imitation.storage import judgements, study_ratings
from imitation.storage import studies as study_table
from imitation.storage.database import open_store
from imitation.values import ModelSpec, Pair, Verdict
from tests.jobs.conftest import python
from tests.scripted import Script, ScriptedBackend

HANDS = 16
SQL = {
    "comparison": "SELECT id FROM comparisons",
    "vote": "SELECT comparison FROM votes",
    "study-vote": "SELECT token FROM showings WHERE rated IS NOT NULL",
    "recording": "SELECT id FROM recording_sets",
    "job": "SELECT id FROM jobs WHERE state = 'stopped'",
    "judgement": "SELECT run || ':' || pair || ':' || swapped FROM judgements"
    " WHERE state = 'judged'",
}
"""Kind -> where its ids are found once they are stored."""


class Notes:
    """What was acknowledged; a line is whole in the file when `add` returns."""

    def __init__(self, path: Path, most: int) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._most, self._n, self._lock = most, path.read_bytes().count(b"\n"), threading.Lock()
        self.errors: list[str] = []

    def add(self, kind: str, identity: str) -> None:
        with self._lock:
            os.write(self._file, f"{kind} {identity}\n".encode())
            self._n += 1

    @property
    def full(self) -> bool:
        return self._n >= self._most


class Hands:
    """What the visitors do, over and over."""

    def __init__(self, data: Path, notes: Notes) -> None:
        settings = read_settings({"IMITATION_DATA": str(data), "IMITATION_CACHE": str(data)})
        cards = [ModelSpec(n, n, r, "x") for n, r in (("b", "base"), ("r", "reference"))]
        backend = ScriptedBackend({card.id: Script() for card in cards})
        self.context = Context(settings, open_store(settings.database)[0], backend)
        self.context.catalog = lambda: Catalog(cards)
        self.context.jobs = Runner(settings, self.context.db, slots={"cpu": 0})  # none starts
        self.notes = notes
        self.file = data / "answers.jsonl"
        self.file.write_text('{"prompt": "q", "answers": {"a": "x", "reference": "y"}}\n')
        pairs = [Pair(f"q{n}", ("a", "b"), ("x", "y")) for n in range(400)]
        common = {"name": "s", "source": "s"}
        made = study_table.create(
            self.context.db, pairs, guidelines="g", visitor="v", repeat_every=0, **common
        )
        self.study = study_table.get(self.context.db, made)
        self.run = judgements.add(self.context.db, pairs, judge="j", rubric="", **common)
        self._tasks = iter(judgements.left(self.context.db, self.run))
        self._next = threading.Lock()

    def compare(self, name: str) -> None:
        session = Session(self.context, name)

        async def ask() -> None:
            async for _ in session.ask(Question("Why?", ("b", "r"), blind=True)):
                pass

        asyncio.run(ask())
        assert session.comparison
        identity = session.comparison.id
        self.notes.add("comparison", identity)
        session.vote("tie")
        self.notes.add("vote", identity)
        assert "preference" in session.voted(), "a thread sees what it wrote"

    def rate(self, name: str) -> None:
        showing = studies.show(self.context, self.study, name)
        if showing:
            studies.vote(self.context, self.study.invite, name, showing.token, "first")
            self.notes.add("study-vote", showing.token)

    def record(self, name: str) -> None:
        done = recorded.import_files(self.context.db, [self.file], "", name)
        assert done.identity
        self.notes.add("recording", done.identity)

    def queue(self, name: str) -> None:
        job = self.context.jobs.submit(python("pass", name=name, visitor=name))
        self.context.jobs.stop(job.id)
        self.notes.add("job", job.id)

    def judge(self, _: str) -> None:
        with self._next:
            task = next(self._tasks, None)
        if task:
            judgements.record(self.context.db, self.run, task.row, Verdict("first"), "[[A]]")
            row, swapped = task.row
            self.notes.add("judgement", f"{self.run}:{row}:{int(swapped)}")

    def work(self, hand: int) -> None:
        # Jobs are the slowest, for their folders, and comparisons make two writes.
        turns: list[Callable[[str], None]] = [self.judge, self.compare, self.rate, self.record]
        turns = [*turns, self.judge, self.compare, self.rate, self.compare]
        for n in count(hand):
            if self.notes.full or self.notes.errors:
                return
            turn = self.queue if n % 40 == 0 else turns[n % len(turns)]
            try:
                turn(f"visitor {hand} {n}")
            except Exception as error:
                self.notes.errors.append(f"{type(error).__name__}: {error}")


def main() -> int:
    """Work until there are enough notes; 1 where anything went wrong."""
    data, path, most = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    KINDS["script"] = Kind("tests.jobs.script", "Script")  # type: ignore[index]
    study_ratings.FASTEST_S = 0.0
    path.touch()
    notes = Notes(path, most)
    hands = Hands(data, notes)
    threads = [threading.Thread(target=hands.work, args=(hand,)) for hand in range(HANDS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    hands.context.db.close()
    print("\n".join(notes.errors), file=sys.stderr)
    return 1 if notes.errors else 0


if __name__ == "__main__":
    sys.exit(main())
