"""The comparisons table: what was asked, what each column answered, and its share link."""

from __future__ import annotations

import dataclasses
import json
import secrets
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from imitation.storage.database import Store
from imitation.values import Answer, Done, Message, ModelSpec, Sampling, Sent, Turn


@dataclass(frozen=True, slots=True)
class Comparison:
    """One conversation held with two to four models at once.

    Attributes:
        id: Unguessable.
        visitor: Hash of the visitor's secret.
        cards: The models' cards as they were, in the order shown.
        blind: True while the names are hidden from the visitor.
        system: System prompt, may be empty.
        sampling: How answers were drawn.
        turns: The conversation so far.
        created: Seconds since 1970.
        share: Id of the public link, None while private.
    """

    id: str
    visitor: str
    cards: tuple[ModelSpec, ...]
    blind: bool
    system: str
    sampling: Sampling
    turns: tuple[Turn, ...] = ()
    created: float = 0.0
    share: str | None = None


def new_id() -> str:
    """An unguessable id: 128 random bits, safe in a URL."""
    return secrets.token_urlsafe(16)


def save(db: Store, comparison: Comparison) -> None:
    """Insert or update a comparison; the share link is left as it is.

    Raises:
        StorageError: It could not be written.
    """
    now = time.time()
    with db.writing():
        db.execute(
            "INSERT INTO comparisons (id, visitor, created, updated, blind, columns, cards,"
            " system, sampling, turns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET updated = excluded.updated, blind = excluded.blind,"
            " turns = excluded.turns, system = excluded.system, sampling = excluded.sampling",
            (
                comparison.id,
                comparison.visitor,
                comparison.created or now,
                now,
                int(comparison.blind),
                json.dumps([card.id for card in comparison.cards]),
                json.dumps([dataclasses.asdict(card) for card in comparison.cards]),
                comparison.system,
                json.dumps(dataclasses.asdict(comparison.sampling)),
                json.dumps([dataclasses.asdict(turn) for turn in comparison.turns]),
            ),
        )


def load(db: Store, comparison_id: str) -> Comparison | None:
    """The comparison of that id, None if there is none."""
    row = db.execute("SELECT * FROM comparisons WHERE id = ?", (comparison_id,)).fetchone()
    return _read(row) if row else None


def load_shared(db: Store, share: str) -> Comparison | None:
    """The comparison behind a share link, None if the link was never made or was withdrawn."""
    row = db.execute("SELECT * FROM comparisons WHERE share = ?", (share,)).fetchone()
    return _read(row) if row else None


def of_visitor(db: Store, visitor: str, limit: int = 50, search: str = "") -> list[Comparison]:
    """A visitor's own comparisons, newest first, whose questions or answers contain `search`."""
    wanted = search.casefold()
    rows = db.execute(
        "SELECT * FROM comparisons WHERE visitor = ? ORDER BY updated DESC", (visitor,)
    )
    return list(islice((c for c in map(_read, rows) if _mentions(c, wanted)), limit))


def share(db: Store, comparison_id: str, visitor: str) -> str | None:
    """The id of the comparison's public link, made if need be; None if it is not the visitor's."""
    with db.writing():
        db.execute(
            "UPDATE comparisons SET share = ? WHERE id = ? AND visitor = ? AND share IS NULL",
            (new_id(), comparison_id, visitor),
        )
    row = db.execute(
        "SELECT share FROM comparisons WHERE id = ? AND visitor = ?", (comparison_id, visitor)
    ).fetchone()
    return row["share"] if row else None


def unshare(db: Store, comparison_id: str, visitor: str) -> bool:
    """Withdraw the public link; True if there was one of this visitor's."""
    with db.writing():
        changed = db.execute(
            "UPDATE comparisons SET share = NULL"
            " WHERE id = ? AND visitor = ? AND share IS NOT NULL",
            (comparison_id, visitor),
        )
    return changed.rowcount > 0


def delete(db: Store, comparison_id: str, visitor: str) -> bool:
    """Delete a visitor's own comparison and its link; votes keep their own copy. True if done."""
    with db.writing():
        gone = db.execute(
            "DELETE FROM comparisons WHERE id = ? AND visitor = ?", (comparison_id, visitor)
        )
    return gone.rowcount > 0


def export_lines(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """One JSON line per comparison: turns, models, parameters; no visitor, no link."""
    for comparison in comparisons:
        yield json.dumps(
            {
                "id": comparison.id,
                "created": comparison.created,
                "blind": comparison.blind,
                "models": [card.id for card in comparison.cards],
                "system": comparison.system,
                "sampling": dataclasses.asdict(comparison.sampling),
                "turns": [dataclasses.asdict(turn) for turn in comparison.turns],
            },
            ensure_ascii=False,
        )


def _mentions(comparison: Comparison, wanted: str) -> bool:
    return not wanted or any(
        wanted in text.casefold()
        for turn in comparison.turns
        for text in (turn.prompt, *(answer.text for answer in turn.answers))
    )


def _read(row: sqlite3.Row) -> Comparison:
    sampling = json.loads(row["sampling"])
    known = {field.name for field in dataclasses.fields(ModelSpec)}
    cards = [
        ModelSpec(**{key: value for key, value in card.items() if key in known})
        for card in json.loads(row["cards"])
    ]
    return Comparison(
        id=row["id"],
        visitor=row["visitor"],
        cards=tuple(cards),
        blind=bool(row["blind"]),
        system=row["system"],
        sampling=Sampling(**{**sampling, "stop": tuple(sampling["stop"])}),
        turns=tuple(
            Turn(turn["prompt"], tuple(_answer(answer) for answer in turn["answers"]))
            for turn in json.loads(row["turns"])
        ),
        created=row["created"],
        share=row["share"],
    )


def _answer(value: dict[str, Any]) -> Answer:
    sent = value["sent"]
    if sent:
        sent = Sent(
            **{
                **sent,
                "messages": tuple(Message(**m) for m in sent["messages"]),
                "dropped": tuple(Message(**m) for m in sent["dropped"]),
                "stop": tuple(sent["stop"]),
            }
        )
    done = Done(**value["done"]) if value["done"] else None
    error = tuple(value["error"]) if value["error"] else None
    return Answer(**{**value, "sent": sent, "done": done, "error": error})
