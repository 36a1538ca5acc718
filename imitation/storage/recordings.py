"""The tables of recorded outputs: sets, their prompts, the models' answers."""

from __future__ import annotations

import dataclasses
import json
import secrets
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass

from imitation.errors import UserError
from imitation.storage.database import Store
from imitation.values import RecordedPrompt, Recording, Refused


@dataclass(frozen=True, slots=True)
class RecordingSet:
    """What is known of a stored set without reading its answers.

    Attributes:
        id: Unguessable.
        name: What people read.
        source: Names of the files it was read from.
        visitor: Hash of its maker's secret; None if it came from the command line, which shows
            it to everybody.
        created: Seconds since 1970.
        reference: The model the others are compared with.
        prompts: How many there are.
        models: Their names, in the files' order.
        refused: Lines left out when it was read.
    """

    id: str
    name: str
    source: str
    visitor: str | None
    created: float
    reference: str
    prompts: int
    models: tuple[str, ...]
    refused: tuple[Refused, ...]


def add(
    db: Store,
    recording: Recording,
    *,
    name: str,
    source: str,
    reference: str,
    visitor: str | None = None,
) -> str:
    """Store a set, all or nothing, and return its id.

    Raises:
        UserError: The recording has no such reference, or no answers at all.
        StorageError: It could not be written.
    """
    if not any(recording.answers.values()):
        raise UserError("There is no usable answer in these files.", "See the refused lines.")
    if reference not in recording.answers:
        known = ", ".join(map(repr, recording.models))
        raise UserError(f"There is no model {reference!r} in the set.", f"Its models: {known}.")
    identity = secrets.token_urlsafe(16)
    models = [{"model": m, "files": recording.files.get(m, ())} for m in recording.models]
    with db.writing():
        db.execute(
            "INSERT INTO recording_sets (id, name, source, visitor, created, reference, prompts,"
            " models, refused) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                identity,
                name.strip() or source,
                source,
                visitor,
                time.time(),
                reference,
                len(recording.prompts),
                json.dumps(models),
                json.dumps([dataclasses.asdict(refusal) for refusal in recording.refused]),
            ),
        )
        first = db.execute("SELECT coalesce(max(id), 0) + 1 FROM recorded_prompts").fetchone()[0]
        db.executemany(
            "INSERT INTO recorded_prompts (id, recording, position, name, category, text,"
            " earlier, folded) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    first + at,
                    identity,
                    at,
                    p.id,
                    p.category,
                    p.text,
                    json.dumps(p.earlier),
                    p.text.casefold(),
                )
                for at, p in enumerate(recording.prompts)
            ),
        )
        db.executemany(
            "INSERT INTO recorded_answers (prompt, model, text) VALUES (?, ?, ?)",
            (
                (first + at, number, answers[p.id])
                for at, p in enumerate(recording.prompts)
                for number, answers in enumerate(recording.answers.values())
                if p.id in answers
            ),
        )
    return identity


def sets(db: Store, visitor: str | None) -> list[RecordingSet]:
    """Sets this visitor may see, newest first: their own and those of the command line."""
    rows = db.execute(
        "SELECT * FROM recording_sets WHERE visitor IS NULL OR visitor = ? ORDER BY created DESC",
        (visitor,),
    )
    return [_set(row) for row in rows]


def get(db: Store, identity: str, visitor: str | None) -> RecordingSet | None:
    """One set by its id; None if there is none that this visitor may see."""
    row = db.execute(
        "SELECT * FROM recording_sets WHERE id = ? AND (visitor IS NULL OR visitor = ?)",
        (identity, visitor),
    ).fetchone()
    return _set(row) if row else None


def load(db: Store, identity: str) -> Recording:
    """The whole set, as it was read.

    Raises:
        UserError: There is none of that id.
    """
    row = db.execute("SELECT * FROM recording_sets WHERE id = ?", (identity,)).fetchone()
    if row is None:
        raise UserError("This set of recorded outputs is gone.", "Pick another one.")
    models = json.loads(row["models"])
    prompts = []
    names: dict[int, str] = {}
    for line in db.execute(
        "SELECT * FROM recorded_prompts WHERE recording = ? ORDER BY position", (identity,)
    ):
        prompts.append(_prompt(line))
        names[line["id"]] = line["name"]
    answers: list[dict[str, str]] = [{} for _ in models]
    for line in db.execute(
        "SELECT a.prompt, a.model, a.text FROM recorded_prompts p"
        " JOIN recorded_answers a ON a.prompt = p.id WHERE p.recording = ? ORDER BY p.position",
        (identity,),
    ):
        answers[line["model"]][names[line["prompt"]]] = line["text"]
    return Recording(
        tuple(prompts),
        {m["model"]: answers[number] for number, m in enumerate(models)},
        {m["model"]: tuple(m["files"]) for m in models},
        _set(row).refused,
    )


def categories(db: Store, identity: str) -> list[tuple[str, int]]:
    """Categories of a set with their number of prompts, in the order they first appear."""
    rows = db.execute(
        "SELECT category, count(*) AS n FROM recorded_prompts WHERE recording = ?"
        " GROUP BY category ORDER BY min(position)",
        (identity,),
    )
    return [(row["category"], row["n"]) for row in rows]


def search(db: Store, identity: str, *, text: str = "", category: str | None = None) -> list[int]:
    """Row numbers of a set's prompts, in order; `prompts` reads those of one page.

    Args:
        db: The store.
        identity: The set.
        text: Words that must all be in the prompt, in any order and case; parts of words count.
        category: Only this one; None for all.
    """
    where = ["recording = ?"]
    values: list[object] = [identity]
    if category is not None:
        where.append("category = ?")
        values.append(category)
    for word in text.casefold().split()[:20]:
        where.append("instr(folded, ?) > 0")
        values.append(word)
    rows = db.execute(
        f"SELECT id FROM recorded_prompts WHERE {' AND '.join(where)} ORDER BY position", values
    )
    return [row["id"] for row in rows]


def prompts(db: Store, rows: Sequence[int]) -> tuple[RecordedPrompt, ...]:
    """The prompts of these row numbers, at most a few hundred, in the order of their set."""
    lines = db.execute(
        f"SELECT * FROM recorded_prompts WHERE id IN ({', '.join('?' * len(rows))})"
        " ORDER BY position",
        rows,
    )
    return tuple(_prompt(row) for row in lines)


def answers(db: Store, identity: str, prompt: str) -> tuple[RecordedPrompt, dict[str, str]] | None:
    """A prompt by its id in the set and each model's answer; None if there is no such prompt."""
    row = db.execute(
        "SELECT p.*, s.models FROM recorded_prompts p JOIN recording_sets s ON s.id = p.recording"
        " WHERE p.recording = ? AND p.name = ?",
        (identity, prompt),
    ).fetchone()
    if row is None:
        return None
    models = [m["model"] for m in json.loads(row["models"])]
    texts = db.execute(
        "SELECT model, text FROM recorded_answers WHERE prompt = ? ORDER BY model", (row["id"],)
    )
    return _prompt(row), {models[a["model"]]: a["text"] for a in texts}


def delete(db: Store, identity: str, visitor: str | None) -> bool:
    """Delete a set with its prompts and answers; True if it was this visitor's to delete.

    Raises:
        StorageError: It could not be written.
    """
    with db.writing():
        done = db.execute(
            "DELETE FROM recording_sets WHERE id = ? AND visitor IS ?", (identity, visitor)
        )
        return done.rowcount > 0


def _set(row: sqlite3.Row) -> RecordingSet:
    return RecordingSet(
        id=row["id"],
        name=row["name"],
        source=row["source"],
        visitor=row["visitor"],
        created=row["created"],
        reference=row["reference"],
        prompts=row["prompts"],
        models=tuple(m["model"] for m in json.loads(row["models"])),
        refused=tuple(Refused(**refusal) for refusal in json.loads(row["refused"])),
    )


def _prompt(row: sqlite3.Row) -> RecordedPrompt:
    return RecordedPrompt(
        row["name"], row["text"], row["category"], tuple(json.loads(row["earlier"]))
    )
