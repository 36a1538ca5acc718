"""Ratings of blind studies: who was shown what, and what they said.

A rater is shown one item at a time, in an order drawn for them, under a token of its own; a vote
names that token. What was not shown, was voted on before, comes after closing or faster than
anybody reads is refused and counted.
"""

from __future__ import annotations

import json
import random
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

from imitation.errors import UserError
from imitation.storage.database import Store
from imitation.storage.pairs import read_pair
from imitation.storage.studies import Study, invited, pairs_of
from imitation.storage.votes import count_refused
from imitation.values import Outcome, Pair, Preference

HELD_S = 900.0
"""Seconds for which an item shown and not yet rated counts as if it were."""
FASTEST_S = 1.5
"""A vote sooner after the item was shown comes from no reader."""

_ITEM = (
    "SELECT s.*, p.prompt, p.models, p.answers FROM showings s"
    " JOIN study_items i ON i.id = s.item JOIN pairs p ON p.id = i.pair"
)


@dataclass(frozen=True, slots=True)
class Showing:
    """One item in front of one rater.

    Attributes:
        token: What a vote must name.
        pair: In the order shown.
        done: Items this rater has rated, repeats among them.
        of: Items for this rater in all, as things stand: others' ratings make them fewer.
    """

    token: str
    pair: Pair
    done: int
    of: int


@dataclass(frozen=True, slots=True)
class Rated:
    """One rating.

    Attributes:
        preference: Pair as shown, what was said, by whom.
        seconds: Between showing and vote.
        again: It repeats an item this rater had rated.
    """

    preference: Preference
    seconds: float
    again: bool


def show(db: Store, study: Study, rater: str) -> Showing | None:
    """The item to be rated next, None where nothing is left for this rater.

    An item shown and not rated is shown again. Which comes next is drawn among those with the
    fewest ratings, and so is the order of its answers.

    Raises:
        StorageError: It could not be written.
    """
    if study.closed is not None:
        return None
    now = time.time()
    with db.writing():
        _let_go(db, study, rater, now)
        row = db.execute(
            f"{_ITEM} WHERE i.study = ? AND s.rater = ? AND s.rated IS NULL", (study.id, rater)
        ).fetchone()
        done = _done(db, study.id, rater)
        if row is None:
            drawn = _draw(db, study, rater, done, now)
            if drawn is None:
                return None
            token = secrets.token_urlsafe(16)
            db.execute(
                "INSERT INTO showings (token, item, rater, swapped, again, shown)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (token, drawn[0], rater, drawn[1], drawn[2], now),
            )
            row = db.execute(f"{_ITEM} WHERE s.token = ?", (token,)).fetchone()
        else:
            db.execute("UPDATE showings SET shown = ? WHERE token = ?", (now, row["token"]))
        of = _of(db, study, rater, now)
    return Showing(row["token"], read_pair(row), done, max(of, done + 1))


def vote(db: Store, invite: str, rater: str, token: str, outcome: str) -> None:
    """Take a rater's vote on what they were shown.

    Raises:
        UserError: The vote was refused; why, and it is counted.
        StorageError: It could not be written.
    """
    study = invited(db, invite)
    if study is None:
        raise UserError("This invitation opens no study.", "Ask for a new link.")
    row = db.execute(
        f"{_ITEM} WHERE s.token = ? AND s.rater = ? AND i.study = ?", (token, rater, study.id)
    ).fetchone()
    now = time.time()
    reason, message = "", ""
    if study.closed is not None:
        reason, message = "after closing", "The study is closed."
    elif row is None or outcome not in get_args(Outcome):
        reason, message = "not shown", "This item was not shown to you."
    elif row["rated"] is not None:
        reason, message = "twice", "You have rated this item already."
    elif now - row["shown"] < FASTEST_S:
        reason, message = "too fast", "That was faster than anybody reads."
    if not reason:
        with db.writing():
            # The condition, not the look above, decides between two that come at once.
            done = db.execute(
                "UPDATE showings SET rated = ?, outcome = ? WHERE token = ? AND rated IS NULL",
                (now, outcome, token),
            )
        if done.rowcount:
            return
        reason, message = "twice", "You have rated this item already."
    count_refused(db, reason, study.id)
    raise UserError(message, "The vote was not counted.")


def ratings(db: Store, identity: str) -> list[Rated]:
    """All ratings of a study, as they came."""
    rows = db.execute(
        f"{_ITEM} WHERE i.study = ? AND s.rated IS NOT NULL ORDER BY s.rated", (identity,)
    )
    return [
        Rated(
            Preference(read_pair(row), row["outcome"], row["rater"]),
            row["rated"] - row["shown"],
            bool(row["again"]),
        )
        for row in rows
    ]


def complete(db: Store, study: Study) -> int:
    """Items that have all the ratings wanted."""
    row = db.execute(
        "SELECT count(*) FROM (SELECT s.item FROM showings s JOIN study_items i ON i.id = s.item"
        " WHERE i.study = ? AND s.rated IS NOT NULL AND s.again = 0"
        " GROUP BY s.item HAVING count(*) >= ?)",
        (study.id, study.raters),
    ).fetchone()
    return int(row[0])


def export_lines(db: Store, study: Study) -> Iterator[str]:
    """One JSON line per item: prompt, models, answers, ratings; raters are numbered."""
    numbers: dict[str, int] = {}
    by_key: dict[str, list[dict[str, object]]] = {}
    for rating in ratings(db, study.id):
        shown, outcome = rating.preference.pair, rating.preference.outcome
        preferred = {"first": shown.models[0], "second": shown.models[1], "tie": None}[outcome]
        by_key.setdefault(shown.key, []).append(
            {
                "rater": numbers.setdefault(rating.preference.rater, len(numbers) + 1),
                "shown_first": shown.models[0],
                "preferred": preferred,
                "seconds": round(rating.seconds, 1),
                "repeat": rating.again,
            }
        )
    for pair in pairs_of(db, study.id):
        line = {
            "prompt": pair.prompt,
            "answers": dict(zip(pair.models, pair.answers, strict=True)),
            "ratings": by_key.get(pair.key, []),
        }
        yield json.dumps(line, ensure_ascii=False)


def _let_go(db: Store, study: Study, rater: str, now: float) -> None:
    """Forget an item shown to this rater so long ago that others have rated it meanwhile."""
    db.execute(
        "DELETE FROM showings WHERE rater = ? AND rated IS NULL AND again = 0 AND shown < ?"
        " AND item IN (SELECT id FROM study_items WHERE study = ?)"
        " AND (SELECT count(*) FROM showings o WHERE o.item = showings.item AND o.again = 0"
        "      AND o.rater != showings.rater AND (o.rated IS NOT NULL OR o.shown > ?)) >= ?",
        (rater, now - HELD_S, study.id, now - HELD_S, study.raters),
    )


def _done(db: Store, identity: str, rater: str) -> int:
    row = db.execute(
        "SELECT count(*) FROM showings s JOIN study_items i ON i.id = s.item"
        " WHERE i.study = ? AND s.rater = ? AND s.rated IS NOT NULL",
        (identity, rater),
    ).fetchone()
    return int(row[0])


def _of(db: Store, study: Study, rater: str, now: float) -> int:
    """Items for a rater in all: those shown first, those still wanted, and the repeats between."""
    row = db.execute(
        "SELECT count(*) FROM study_items i WHERE i.study = ? AND (EXISTS"
        "  (SELECT 1 FROM showings s WHERE s.item = i.id AND s.rater = ?)"
        " OR (SELECT count(*) FROM showings s WHERE s.item = i.id AND s.again = 0"
        "  AND (s.rated IS NOT NULL OR s.shown > ?)) < ?)",
        (study.id, rater, now - HELD_S, study.raters),
    ).fetchone()
    every, first = study.repeat_every, int(row[0])
    # Each `every`th is a repeat, so there is one after every `every - 1` of the others.
    return first + first // (every - 1) if every > 1 else first


def _draw(
    db: Store, study: Study, rater: str, done: int, now: float
) -> tuple[int, int, int] | None:
    """Item, order and whether it is a repeat."""
    if study.repeat_every and (done + 1) % study.repeat_every == 0:
        # The other way round, and not one of the last, which are still remembered.
        row = db.execute(
            "SELECT s.item, s.swapped FROM showings s JOIN study_items i ON i.id = s.item"
            " WHERE i.study = ? AND s.rater = ? AND s.again = 0 AND s.rated IS NOT NULL"
            " AND s.item NOT IN (SELECT item FROM showings WHERE rater = ? AND again = 1)"
            " ORDER BY s.rated LIMIT 1",
            (study.id, rater, rater),
        ).fetchone()
        if row is not None:
            return row["item"], 1 - row["swapped"], 1
    row = db.execute(
        "SELECT i.id, (SELECT count(*) FROM showings s WHERE s.item = i.id AND s.again = 0"
        "  AND (s.rated IS NOT NULL OR s.shown > ?)) AS held FROM study_items i"
        " WHERE i.study = ? AND NOT EXISTS"
        "  (SELECT 1 FROM showings s WHERE s.item = i.id AND s.rater = ?)"
        " ORDER BY held, random() LIMIT 1",
        (now - HELD_S, study.id, rater),
    ).fetchone()
    if row is None or row["held"] >= study.raters:
        return None
    return row["id"], random.SystemRandom().randrange(2), 0
