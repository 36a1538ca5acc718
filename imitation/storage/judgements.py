"""What judges said of pairs of answers.

A run is one judge with one rubric over some pairs. Its judgements are all there from the start, as
"waiting", so that a run can go on where it stopped and be judged again by somebody else.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from imitation.errors import UserError
from imitation.storage.database import Store
from imitation.storage.pairs import forget_pairs, keep_pairs, read_pair
from imitation.values import Pair, Preference, Verdict

State = Literal["waiting", "judged", "unparsed", "failed"]
Rated = tuple[str, str, str]
"""Prompt, model and answer."""


@dataclass(frozen=True, slots=True)
class Run:
    """One judge with one rubric over some pairs.

    Attributes:
        id: Unguessable.
        name: What people read.
        judge: A card's id, or the reviewer's name where imported.
        rubric: What the judge was told, "" where not known.
        source: What was judged, in words.
        imported: Its verdicts were made elsewhere.
        max_tokens: Longest answer asked of the judge.
        visitor: Hash of its maker's secret; None if it came from the command line, which shows
            it to everybody.
        created: Seconds since 1970.
    """

    id: str
    name: str
    judge: str
    rubric: str
    source: str
    imported: bool
    max_tokens: int
    visitor: str | None
    created: float


@dataclass(frozen=True, slots=True)
class Task:
    """One judgement to be made: the pair in the order to be shown."""

    row: tuple[int, bool]
    pair: Pair


@dataclass(frozen=True, slots=True)
class Counts:
    """How far a run is, and what it used.

    Attributes:
        pairs: Pairs in it.
        states: State -> judgements in it.
        problems: Problem -> answers without a verdict for it.
        faults: Why the judge could not be asked -> judgements.
        prompt_tokens: Sent so far, as far as the servers said.
        completion_tokens: Written so far, likewise.
    """

    pairs: int
    states: dict[str, int]
    problems: dict[str, int]
    faults: dict[str, int]
    prompt_tokens: int
    completion_tokens: int

    @property
    def total(self) -> int:
        """Judgements in the run, made or not."""
        return sum(self.states.values())

    @property
    def left(self) -> int:
        """Judgements that a next start of the run would ask for."""
        return self.states.get("waiting", 0) + self.states.get("failed", 0)


def add(
    db: Store,
    pairs: Sequence[Pair],
    *,
    name: str,
    judge: str,
    rubric: str,
    source: str,
    both_orders: bool = True,
    max_tokens: int = 512,
    visitor: str | None = None,
) -> str:
    """Store a run with all its judgements waiting, and return its id.

    Raises:
        UserError: There is no pair.
        StorageError: It could not be written.
    """
    with db.writing():
        identity = _add_run(db, pairs, name, judge, rubric, source, False, max_tokens, visitor)
        rows = dict.fromkeys(keep_pairs(db, pairs))
        db.executemany(
            "INSERT INTO judgements (run, pair, swapped, state) VALUES (?, ?, ?, 'waiting')",
            [(identity, row, s) for row in rows for s in ((0, 1) if both_orders else (0,))],
        )
    return identity


def add_reviews(
    db: Store,
    reviews: Sequence[tuple[Pair, Verdict, str]],
    *,
    name: str,
    judge: str,
    source: str,
    visitor: str | None = None,
) -> str:
    """Store judgements made elsewhere, each (pair as shown, verdict, text); the run's id.

    Raises:
        UserError: There is none.
        StorageError: They could not be written.
    """
    pairs = [pair for pair, _, _ in reviews]
    with db.writing():
        identity = _add_run(db, pairs, name, judge, "", source, True, 0, visitor)
        for pair, verdict, text in reviews:
            row = keep_pairs(db, [pair])[0]
            kept = db.execute("SELECT * FROM pairs WHERE id = ?", (row,)).fetchone()
            swapped = read_pair(kept) != pair
            db.execute(
                "INSERT OR IGNORE INTO judgements (run, pair, swapped, state)"
                " VALUES (?, ?, ?, 'waiting')",
                (identity, row, swapped),
            )
            _write(db, identity, (row, swapped), verdict, text, None, None)
    return identity


def runs(db: Store, visitor: str | None) -> list[Run]:
    """Runs this visitor may see, newest first: their own and those of the command line.

    None, the command line, sees all.
    """
    rows = db.execute(
        "SELECT * FROM judge_runs WHERE ?1 IS NULL OR visitor IS NULL OR visitor = ?1"
        " ORDER BY created DESC",
        (visitor,),
    )
    return [_run(row) for row in rows]


def get(db: Store, identity: str) -> Run:
    """The run of that id.

    Raises:
        UserError: There is none.
    """
    row = db.execute("SELECT * FROM judge_runs WHERE id = ?", (identity,)).fetchone()
    if row is None:
        raise UserError(f"There is no run of a judge {identity!r}.", "It may have been deleted.")
    return _run(row)


def pairs_of(db: Store, identity: str) -> list[Pair]:
    """The pairs of a run, in order, to be judged again."""
    rows = db.execute(
        "SELECT * FROM pairs WHERE id IN (SELECT pair FROM judgements WHERE run = ?) ORDER BY id",
        (identity,),
    )
    return [read_pair(row) for row in rows]


def left(db: Store, identity: str) -> list[Task]:
    """Judgements of a run not made yet, and those whose request failed."""
    rows = db.execute(
        "SELECT j.pair, j.swapped, p.prompt, p.models, p.answers FROM judgements j"
        " JOIN pairs p ON p.id = j.pair WHERE j.run = ? AND j.state IN ('waiting', 'failed')"
        " ORDER BY j.pair, j.swapped",
        (identity,),
    )
    return [Task((row["pair"], bool(row["swapped"])), read_pair(row)) for row in rows]


def record(
    db: Store,
    identity: str,
    row: tuple[int, bool],
    verdict: Verdict,
    text: str,
    prompt_tokens: int | None = None,
    completion_tokens: int | None = None,
) -> None:
    """Store what a judge said.

    Raises:
        StorageError: It could not be written.
    """
    with db.writing():
        _write(db, identity, row, verdict, text, prompt_tokens, completion_tokens)


def record_failure(db: Store, identity: str, row: tuple[int, bool], problem: str) -> None:
    """Store that the judge could not be asked; the run's next start asks again.

    Raises:
        StorageError: It could not be written.
    """
    with db.writing():
        db.execute(
            "UPDATE judgements SET state = 'failed', problem = ?, judged = ?"
            " WHERE run = ? AND pair = ? AND swapped = ?",
            (problem, time.time(), identity, *row),
        )


def counts(db: Store, identity: str) -> Counts:
    """How far a run is."""
    row = db.execute(
        "SELECT count(DISTINCT pair) AS pairs, coalesce(sum(prompt_tokens), 0) AS sent,"
        " coalesce(sum(completion_tokens), 0) AS written FROM judgements WHERE run = ?",
        (identity,),
    ).fetchone()
    problems = "SELECT problem, count(*) FROM judgements WHERE run = ? AND state = '{}' GROUP BY 1"
    return Counts(
        row["pairs"],
        _tally(db, "SELECT state, count(*) FROM judgements WHERE run = ? GROUP BY 1", identity),
        _tally(db, problems.format("unparsed"), identity),
        _tally(db, problems.format("failed"), identity),
        row["sent"],
        row["written"],
    )


def preferences(db: Store, identity: str) -> list[Preference]:
    """The verdicts on pairs of a run that could be read, each in the order the judge saw."""
    judge = get(db, identity).judge
    rows = db.execute(
        "SELECT j.swapped, j.outcome, p.prompt, p.models, p.answers FROM judgements j"
        " JOIN pairs p ON p.id = j.pair WHERE j.run = ? AND j.state = 'judged'"
        " AND j.outcome IN ('first', 'second', 'tie') ORDER BY j.pair, j.swapped",
        (identity,),
    )
    return [Preference(read_pair(row), row["outcome"], judge) for row in rows]


def single(db: Store, identity: str) -> dict[Rated, bool | None]:
    """What the judge said of single answers: yes, no, or None where no verdict could be read."""
    rows = db.execute(
        "SELECT j.outcome, p.prompt, p.models, p.answers FROM judgements j"
        " JOIN pairs p ON p.id = j.pair WHERE j.run = ? AND j.state IN ('judged', 'unparsed')"
        " ORDER BY j.pair",
        (identity,),
    )
    verdicts: dict[Rated, bool | None] = {}
    for row in rows:
        pair = read_pair(row)
        if not pair.models[1]:
            outcome = row["outcome"]
            verdicts[pair.prompt, pair.models[0], pair.answers[0]] = outcome and outcome == "yes"
    return verdicts


def yes_by_model(db: Store, identity: str) -> dict[str, tuple[int, int]]:
    """Model -> (answers the judge said yes to, those it said yes or no to), single answers only."""
    rows = db.execute(
        "SELECT json_extract(p.models, '$[0]'), sum(j.outcome = 'yes'), count(*) FROM judgements j"
        " JOIN pairs p ON p.id = j.pair WHERE j.run = ? AND j.outcome IN ('yes', 'no') GROUP BY 1",
        (identity,),
    )
    return {row[0]: (row[1], row[2]) for row in rows}


def delete(db: Store, identity: str, visitor: str | None) -> bool:
    """Delete a run with its judgements; True if it was this visitor's to delete.

    Raises:
        StorageError: It could not be written.
    """
    with db.writing():
        deleted = db.execute(
            "DELETE FROM judge_runs WHERE id = ? AND visitor IS ?", (identity, visitor)
        )
        forget_pairs(db)
    return deleted.rowcount > 0


def _add_run(
    db: Store,
    pairs: Sequence[Pair],
    name: str,
    judge: str,
    rubric: str,
    source: str,
    imported: bool,
    max_tokens: int,
    visitor: str | None,
) -> str:
    if not pairs:
        raise UserError(
            "There is no pair of answers to judge.",
            "Choose a source in which two models answered the same prompt.",
        )
    identity = secrets.token_urlsafe(16)
    db.execute(
        "INSERT INTO judge_runs (id, name, judge, rubric, source, imported, max_tokens,"
        " visitor, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            identity,
            " ".join(name.split())[:120] or judge,
            judge,
            rubric,
            source,
            imported,
            max_tokens,
            visitor,
            time.time(),
        ),
    )
    return identity


def _write(
    db: Store,
    identity: str,
    row: tuple[int, bool],
    verdict: Verdict,
    text: str,
    prompt_tokens: int | None,
    completion_tokens: int | None,
) -> None:
    first, second = verdict.scores or (None, None)
    db.execute(
        "UPDATE judgements SET state = ?, outcome = ?, score_first = ?, score_second = ?,"
        " problem = ?, text = ?, prompt_tokens = ?, completion_tokens = ?, judged = ?"
        " WHERE run = ? AND pair = ? AND swapped = ?",
        (
            "judged" if verdict.outcome else "unparsed",
            verdict.outcome,
            first,
            second,
            verdict.problem,
            text,
            prompt_tokens,
            completion_tokens,
            time.time(),
            identity,
            *row,
        ),
    )


def _tally(db: Store, sql: str, identity: str) -> dict[str, int]:
    return {row[0]: row[1] for row in db.execute(sql, (identity,))}


def _run(row: sqlite3.Row) -> Run:
    return Run(**{**dict(row), "imported": bool(row["imported"])})
