"""The sample browser's index: one SQLite file a run, made once, read by the page.

A row is one question of one task with every model's answer and verdict. `write` makes the file,
`Samples` reads it: filters on verdicts and a text search, each well under 0.5 s on 100,000 rows.
Verdicts stand as one letter a model in one narrow column, so that a filter reads nothing else;
text is searched by SQLite's FTS5.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from imitation.disk import atomic_write
from imitation.errors import StorageError

Verdict = Literal["right", "wrong", "partly", "missing"]
LETTERS: Mapping[Verdict, str] = {"right": "1", "wrong": "0", "partly": "~", "missing": "-"}
VERSION = 1

_SQL = """
CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE items (id INTEGER PRIMARY KEY, task INTEGER, verdicts TEXT);
CREATE INDEX by_task ON items (task, id);
CREATE TABLE texts (id INTEGER PRIMARY KEY, doc_id TEXT, prompt TEXT, gold TEXT, answers TEXT);
CREATE VIRTUAL TABLE words USING fts5(prompt, gold, answers, content='', tokenize="unicode61");
"""


@dataclass(frozen=True, slots=True)
class Reply:
    """What one model made of one question.

    Attributes:
        text: Its answer; of a log-likelihood task the choice it found likeliest.
        score: Main metric on this sample, 1.0 right and 0.0 wrong for most; None where missing.
        note: Why it is missing, or what the scorer said (such as a failed test); may be empty.
    """

    text: str
    score: float | None
    note: str = ""

    @property
    def verdict(self) -> Verdict:
        """The score in a word."""
        if self.score is None:
            return "missing"
        return "right" if self.score >= 1 else "wrong" if self.score <= 0 else "partly"


@dataclass(frozen=True, slots=True)
class Sample:
    """One question with all answers.

    Attributes:
        id: Number in the run, stable for its index file.
        task: lm-eval's name.
        doc_id: Place in the task's document list.
        prompt: Exactly what was asked, examples included.
        gold: The right answer or answers, as text.
        replies: Model id -> its reply; models that were not asked are left out.
    """

    id: int
    task: str
    doc_id: str
    prompt: str
    gold: str
    replies: Mapping[str, Reply]


@dataclass(frozen=True, slots=True)
class Query:
    """What to show.

    Attributes:
        task: Only this task, "" for all.
        verdicts: Model id -> the verdict it must have.
        text: Words that must all occur, in prompt, gold or any answer; the last may be begun.
        ids: Only these samples (such as those that raters judged), None for all.
    """

    task: str = ""
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    text: str = ""
    ids: Sequence[int] | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the samples a query finds, and how many it finds in all."""

    rows: tuple[Sample, ...]
    total: int


class Samples:
    """The index of one run, read only. Usable from any thread; close it.

    Args:
        path: samples.sqlite.

    Raises:
        StorageError: It is missing, broken or of another version.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise StorageError(f"{path} does not exist.", "The evaluation has no samples yet.")
        try:
            self._db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False)
            facts = dict(self._db.execute("SELECT key, value FROM facts"))
            if facts["version"] != str(VERSION):
                raise StorageError(
                    f"{path} is an index of version {facts['version']}.",
                    "Run the evaluation's command again: it makes a new one.",
                )
            self.models: tuple[str, ...] = tuple(json.loads(facts["models"]))
            self.tasks: tuple[str, ...] = tuple(json.loads(facts["tasks"]))
        except (sqlite3.DatabaseError, KeyError, ValueError) as error:
            raise StorageError(f"{path} is no index of samples: {error}.") from error

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._db.close()

    def find(self, query: Query, *, limit: int = 25, offset: int = 0) -> Page:
        """Samples a query finds, in the order of the run.

        Unknown tasks or models find nothing.
        """
        where, values = self._where(query)
        if where is None:
            return Page((), 0)
        total = self._db.execute(f"SELECT count(*) FROM items {where}", values).fetchone()[0]
        rows = self._db.execute(
            "SELECT i.id, i.task, t.doc_id, t.prompt, t.gold, t.answers FROM "
            f"(SELECT id, task FROM items {where} ORDER BY id LIMIT ? OFFSET ?) i "
            "JOIN texts t USING (id) ORDER BY i.id",
            [*values, limit, offset],
        )
        return Page(tuple(self._sample(row) for row in rows), total)

    def get(self, identity: int) -> Sample | None:
        """The sample of that number, None where there is none."""
        page = self.find(Query(ids=(identity,)), limit=1)
        return page.rows[0] if page.rows else None

    def _where(self, query: Query) -> tuple[str | None, list[object]]:
        terms, values = [], list[object]()
        if query.task:
            if query.task not in self.tasks:
                return None, []
            terms.append("task = ?")
            values.append(self.tasks.index(query.task))
        for model, verdict in query.verdicts.items():
            if model not in self.models:
                return None, []
            terms.append(f"substr(verdicts, {self.models.index(model) + 1}, 1) = ?")
            values.append(LETTERS[verdict])
        if wanted := _match(query.text):
            terms.append("id IN (SELECT rowid FROM words WHERE words MATCH ?)")
            values.append(wanted)
        if query.ids is not None:
            terms.append("id IN (SELECT value FROM json_each(?))")
            values.append(json.dumps(list(query.ids)))
        return (f"WHERE {' AND '.join(terms)}" if terms else ""), values

    def _sample(self, row: Sequence[object]) -> Sample:
        identity, task, doc_id, prompt, gold, answers = row
        replies = {m: Reply(*reply) for m, reply in json.loads(str(answers)).items()}
        return Sample(
            int(str(identity)), self.tasks[int(str(task))], str(doc_id), str(prompt), str(gold),
            replies,
        )  # fmt: skip


def write(path: Path, models: Sequence[str], samples: Iterable[Sample]) -> int:
    """Make the index of a run anew, whole or not at all; how many samples it holds.

    Args:
        path: samples.sqlite; an earlier one is replaced.
        models: Ids of the models, in the order of the run.
        samples: In the order they are to be shown; their ids are given anew, from 1.

    Raises:
        StorageError: It cannot be written.
    """
    tasks: dict[str, int] = {}
    count = 0
    try:
        with atomic_write(path) as aside, closing(sqlite3.connect(aside)) as db:
            db.execute("PRAGMA journal_mode = OFF")
            db.execute("PRAGMA synchronous = OFF")
            db.executescript(_SQL)
            for count, sample in enumerate(samples, 1):
                _add(db, count, tasks.setdefault(sample.task, len(tasks)), models, sample)
            facts = {"version": str(VERSION), "models": json.dumps(list(models))}
            facts["tasks"] = json.dumps(list(tasks))
            db.executemany("INSERT INTO facts VALUES (?, ?)", facts.items())
            db.commit()
    except sqlite3.Error as error:
        raise StorageError(f"{path} cannot be written: {error}.", "Free disk space.") from error
    return count


def _add(
    db: sqlite3.Connection, number: int, task: int, models: Sequence[str], sample: Sample
) -> None:
    replies = sample.replies
    letters = "".join(LETTERS[replies[m].verdict] if m in replies else " " for m in models)
    answers = {m: [r.text, r.score, r.note] for m, r in replies.items()}
    db.execute("INSERT INTO items VALUES (?, ?, ?)", (number, task, letters))
    db.execute(
        "INSERT INTO texts VALUES (?, ?, ?, ?, ?)",
        (number, sample.doc_id, sample.prompt, sample.gold, json.dumps(answers)),
    )
    said = "\n".join(r.text for r in replies.values())
    db.execute(
        "INSERT INTO words (rowid, prompt, gold, answers) VALUES (?, ?, ?, ?)",
        (number, sample.prompt, sample.gold, said),
    )


def _match(text: str) -> str:
    """An FTS5 query for all the words of a text, the last one as a beginning; "" for none."""
    words = re.findall(r"\w+", text)
    quoted = [f'"{word}"' for word in words]
    return " ".join(quoted) + ("*" if quoted and not text[-1:].isspace() else "")
