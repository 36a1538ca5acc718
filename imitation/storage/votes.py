"""The votes table: preferences and guesses, each with a copy of what was judged."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sqlite3
import time
from dataclasses import dataclass
from typing import Literal

from imitation.errors import UserError
from imitation.storage.comparisons import Comparison
from imitation.storage.database import Store
from imitation.values import Outcome, Pair, Preference

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
    db: Store,
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
        count_refused(db, "not shown")
        raise UserError(f"{choice!r} is not one of the columns.", "Vote for a column shown.")
    correct = None
    if kind == "reference":
        correct = int(any(c.id == choice and c.role == "reference" for c in comparison.cards))
    last = comparison.turns[-1]
    try:
        with db.writing():
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
        count_refused(db, "twice")
        raise UserError(
            "You have voted on this answer already.", "Ask another question to vote again."
        ) from None


def voted(db: Store, comparison: Comparison) -> dict[str, str]:
    """Choices already made on the last turn, by kind."""
    rows = db.execute(
        "SELECT kind, choice FROM votes WHERE comparison = ? AND turn = ? AND visitor = ?",
        (comparison.id, len(comparison.turns) - 1, comparison.visitor),
    )
    return {row["kind"]: row["choice"] for row in rows}


def guess_score(db: Store, visitor: str) -> GuessScore:
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


def count_refused(db: Store, reason: str, study: str = "") -> None:
    """Count a vote that was not taken; `study` is its id, "" for votes in Compare.

    Raises:
        StorageError: It could not be written.
    """
    with db.writing():
        db.execute(
            "INSERT INTO refused_votes (study, reason, n) VALUES (?, ?, 1)"
            " ON CONFLICT (study, reason) DO UPDATE SET n = n + 1",
            (study, reason),
        )


def refused(db: Store, study: str = "") -> dict[str, int]:
    """Votes that were not taken, by reason; `study` is its id, "" for votes in Compare."""
    rows = db.execute(
        "SELECT reason, n FROM refused_votes WHERE study = ? ORDER BY n DESC, reason", (study,)
    )
    return {row["reason"]: row["n"] for row in rows}


def preferences(db: Store, *, blind: bool = True) -> list[Preference]:
    """What visitors preferred in Compare, as pairs in the order of the columns.

    The best of three or four columns is preferred to each of the others, which says nothing of
    these among themselves; "equal" and "all bad" make every pair equal.

    Args:
        db: The store.
        blind: Votes given while names were hidden; False: those with names shown, which belong
            on no board.
    """
    rows = db.execute(
        "SELECT visitor, choice, columns, states, conversation FROM votes"
        " WHERE kind = 'preference' AND blind = ? ORDER BY id",
        (int(blind),),
    )
    return [preference for row in rows for preference in _pairs(row)]


def _pairs(row: sqlite3.Row) -> list[Preference]:
    columns, states = json.loads(row["columns"]), json.loads(row["states"])
    turns = json.loads(row["conversation"])["turns"]
    prompt, answers = "\n\n".join(turn["prompt"] for turn in turns), turns[-1]["answers"]
    usable = [at for at, state in enumerate(states) if state in ("done", "stopped")]
    wins = []
    for i, j in itertools.combinations(usable, 2):
        outcome: Outcome = "tie"
        if row["choice"] in columns:
            if row["choice"] not in (columns[i], columns[j]):
                continue
            outcome = "first" if row["choice"] == columns[i] else "second"
        pair = Pair(prompt, (columns[i], columns[j]), (answers[i], answers[j]))
        wins.append(Preference(pair, outcome, row["visitor"]))
    return wins
