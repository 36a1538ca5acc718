"""Blind pairwise studies and their items; `study_ratings` has what raters said."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from imitation.errors import UserError
from imitation.storage.database import Store
from imitation.storage.pairs import forget_pairs, keep_pairs, read_pair
from imitation.values import Pair

MOST_ITEMS = 2000

_STUDY = (
    "SELECT *, (SELECT count(*) FROM study_items i WHERE i.study = studies.id) AS items"
    " FROM studies"
)


class Dropped(NamedTuple):
    """A prompt left out of a study, and why."""

    prompt: str
    reason: str


@dataclass(frozen=True, slots=True)
class Study:
    """What raters are asked.

    Attributes:
        id: Unguessable.
        invite: Unguessable; the link raters get holds it.
        name: What people read.
        guidelines: Shown to raters, Markdown.
        source: Where the items came from, in words.
        dropped: Prompts left out.
        raters: Ratings wanted for each item.
        repeat_every: Every n-th showing repeats an item; 0: never.
        visitor: Hash of its maker's secret.
        created: Seconds since 1970.
        closed: When, None while open.
        items: How many there are.
    """

    id: str
    invite: str
    name: str
    guidelines: str
    source: str
    dropped: tuple[Dropped, ...]
    raters: int
    repeat_every: int
    visitor: str
    created: float
    closed: float | None
    items: int


def create(
    db: Store,
    pairs: Sequence[Pair],
    *,
    name: str,
    guidelines: str,
    source: str,
    dropped: Sequence[Dropped] = (),
    raters: int = 3,
    repeat_every: int = 10,
    visitor: str,
) -> str:
    """Store a study and return its id.

    Raises:
        UserError: No item or too many, or a number out of range.
        StorageError: It could not be written.
    """
    if not 1 <= len(pairs) <= MOST_ITEMS:
        raise UserError(
            f"The study would have {len(pairs):,} items; it can have 1 to {MOST_ITEMS:,}.",
            "Choose other models, or a number of prompts.",
        )
    if not 1 <= raters <= 20 or not (repeat_every == 0 or 2 <= repeat_every <= 1000):
        raise UserError(
            f"{raters} raters an item, a repeat every {repeat_every}: out of range.",
            "Choose 1 to 20 raters, and repeats every 2 to 1000 items or 0 for none.",
        )
    identity = secrets.token_urlsafe(16)
    with db.writing():
        db.execute(
            "INSERT INTO studies (id, invite, name, guidelines, source, dropped, raters,"
            " repeat_every, visitor, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                identity,
                secrets.token_urlsafe(16),
                " ".join(name.split())[:120] or "Study",
                guidelines,
                source,
                json.dumps(dropped),
                raters,
                repeat_every,
                visitor,
                time.time(),
            ),
        )
        db.executemany(
            "INSERT INTO study_items (study, position, pair) VALUES (?, ?, ?)",
            [(identity, at, row) for at, row in enumerate(dict.fromkeys(keep_pairs(db, pairs)))],
        )
    return identity


def of_visitor(db: Store, visitor: str | None) -> list[Study]:
    """A visitor's own studies, newest first; None, the command line, sees all."""
    rows = db.execute(
        f"{_STUDY} WHERE ?1 IS NULL OR visitor = ?1 ORDER BY created DESC", (visitor,)
    )
    return [_study(row) for row in rows]


def get(db: Store, identity: str) -> Study:
    """The study of that id.

    Raises:
        UserError: There is none.
    """
    row = db.execute(f"{_STUDY} WHERE id = ?", (identity,)).fetchone()
    if row is None:
        raise UserError("This study is gone.", "Its maker may have deleted it.")
    return _study(row)


def invited(db: Store, invite: str) -> Study | None:
    """The study an invitation opens, None if it opens none."""
    row = db.execute(f"{_STUDY} WHERE invite = ?", (invite,)).fetchone()
    return _study(row) if row else None


def pairs_of(db: Store, identity: str) -> list[Pair]:
    """The items of a study, in order."""
    rows = db.execute(
        "SELECT p.* FROM study_items i JOIN pairs p ON p.id = i.pair WHERE i.study = ?"
        " ORDER BY i.position",
        (identity,),
    )
    return [read_pair(row) for row in rows]


def set_open(db: Store, identity: str, visitor: str, is_open: bool) -> bool:
    """Close a visitor's own study or open it again; True if it is theirs.

    Raises:
        StorageError: It could not be written.
    """
    with db.writing():
        done = db.execute(
            "UPDATE studies SET closed = ? WHERE id = ? AND visitor = ?",
            (None if is_open else time.time(), identity, visitor),
        )
    return done.rowcount > 0


def delete(db: Store, identity: str, visitor: str) -> bool:
    """Delete a visitor's own study with its ratings; True if it was theirs.

    Raises:
        StorageError: It could not be written.
    """
    with db.writing():
        gone = db.execute(
            "DELETE FROM studies WHERE id = ? AND visitor = ?", (identity, visitor)
        ).rowcount
        if gone:
            db.execute("DELETE FROM refused_votes WHERE study = ?", (identity,))
            forget_pairs(db)
    return gone > 0


def _study(row: sqlite3.Row) -> Study:
    dropped = tuple(Dropped(*fields) for fields in json.loads(row["dropped"]))
    return Study(**{**dict(row), "dropped": dropped})
