"""The votes table: preferences and guesses, each with a copy of what was judged."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import time
from dataclasses import dataclass
from typing import Literal

from imitation.errors import UserError
from imitation.storage.comparisons import Comparison
from imitation.storage.database import writing

TIE = "tie"
ALL_BAD = "all bad"


@dataclass(frozen=True, slots=True)
class GuessScore:
    """How often a visitor found the reference.

    Attributes:
        right: Right guesses.
        total: All guesses.
        expected: Right guesses expected by chance: the sum over rounds of 1 / columns.
    """

    right: int
    total: int
    expected: float


def add(
    db: sqlite3.Connection,
    comparison: Comparison,
    kind: Literal["preference", "reference"],
    choice: str,
) -> None:
    """Store one vote on the comparison's last turn.

    Args:
        db: The store.
        comparison: What was judged, as it stood.
        kind: "preference", or "reference" for the guess which column is the reference.
        choice: A card id of the comparison, TIE or ALL_BAD.

    Raises:
        UserError: Nothing to vote on, an unknown choice, or a second vote on the same turn.
        StorageError: It could not be written.
    """
    ids = [card.id for card in comparison.cards]
    if not comparison.turns:
        raise UserError("There is nothing to vote on yet.", "Ask something first.")
    allowed = [*ids, TIE, ALL_BAD] if kind == "preference" else ids
    if choice not in allowed:
        raise UserError(f"{choice!r} is not one of the columns.", "Vote for a column shown.")
    correct = None
    if kind == "reference":
        correct = int(any(c.id == choice and c.role == "reference" for c in comparison.cards))
    last = comparison.turns[-1]
    try:
        with writing(db):
            db.execute(
                "INSERT INTO votes (comparison, turn, visitor, created, kind, choice, blind,"
                " columns, states, sampling, conversation, correct)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    comparison.id,
                    len(comparison.turns) - 1,
                    comparison.visitor,
                    time.time(),
                    kind,
                    choice,
                    int(comparison.blind),
                    json.dumps(ids),
                    json.dumps([answer.state for answer in last.answers]),
                    json.dumps(dataclasses.asdict(comparison.sampling)),
                    json.dumps(
                        {
                            "system": comparison.system,
                            "turns": [
                                {"prompt": t.prompt, "answers": [a.text for a in t.answers]}
                                for t in comparison.turns
                            ],
                        }
                    ),
                    correct,
                ),
            )
    except sqlite3.IntegrityError:
        raise UserError(
            "You have voted on this answer already.", "Ask another question to vote again."
        ) from None


def voted(db: sqlite3.Connection, comparison: Comparison) -> dict[str, str]:
    """Choices already made on the last turn, by kind."""
    rows = db.execute(
        "SELECT kind, choice FROM votes WHERE comparison = ? AND turn = ? AND visitor = ?",
        (comparison.id, len(comparison.turns) - 1, comparison.visitor),
    )
    return {row["kind"]: row["choice"] for row in rows}


def guess_score(db: sqlite3.Connection, visitor: str) -> GuessScore:
    """The visitor's running score in "which one is the reference?"."""
    rows = db.execute(
        "SELECT correct, json_array_length(columns) AS n FROM votes"
        " WHERE visitor = ? AND kind = 'reference'",
        (visitor,),
    ).fetchall()
    return GuessScore(
        right=sum(row["correct"] for row in rows),
        total=len(rows),
        expected=sum(1 / row["n"] for row in rows),
    )
