"""Pairs of answers, which judges' runs and studies share; each is kept once."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from imitation.storage.database import Store
from imitation.values import Pair


def keep_pairs(db: Store, pairs: Iterable[Pair]) -> list[int]:
    """Row numbers of the pairs, added where they are new; call it inside `writing`."""
    rows = []
    for pair in pairs:
        key = pair.key
        db.execute(
            "INSERT OR IGNORE INTO pairs (key, prompt, models, answers) VALUES (?, ?, ?, ?)",
            (key, pair.prompt, json.dumps(pair.models), json.dumps(pair.answers)),
        )
        rows.append(db.execute("SELECT id FROM pairs WHERE key = ?", (key,)).fetchone()[0])
    return rows


def forget_pairs(db: Store) -> None:
    """Delete pairs that neither a run nor a study holds; call it inside `writing`."""
    db.execute(
        "DELETE FROM pairs WHERE id NOT IN (SELECT pair FROM judgements)"
        " AND id NOT IN (SELECT pair FROM study_items)"
    )


def read_pair(row: sqlite3.Row) -> Pair:
    """The pair of a row with the columns prompt, models, answers and perhaps swapped."""
    (first, second), (left, right) = json.loads(row["models"]), json.loads(row["answers"])
    pair = Pair(row["prompt"], (first, second), (left, right))
    return pair.swapped if "swapped" in row.keys() and row["swapped"] else pair  # noqa: SIM118
