"""Comparisons and votes."""

SQL = """
CREATE TABLE comparisons (
    id          TEXT PRIMARY KEY,           -- unguessable
    visitor     TEXT NOT NULL,              -- hash of the visitor's secret
    created     REAL NOT NULL,              -- seconds since 1970
    updated     REAL NOT NULL,
    blind       INTEGER NOT NULL,           -- 1 while the names were hidden
    columns     TEXT NOT NULL,              -- JSON list of card ids, in the order shown
    cards       TEXT NOT NULL,              -- JSON list of the cards as they were
    system      TEXT NOT NULL,
    sampling    TEXT NOT NULL,              -- JSON
    turns       TEXT NOT NULL,              -- JSON list of {prompt, answers}
    share       TEXT UNIQUE                 -- unguessable id of the public link, NULL if private
);
CREATE INDEX comparisons_visitor ON comparisons (visitor, updated DESC);

CREATE TABLE votes (
    id          INTEGER PRIMARY KEY,
    comparison  TEXT NOT NULL,              -- kept when the comparison is deleted
    turn        INTEGER NOT NULL,           -- index of the last turn the voter saw
    visitor     TEXT NOT NULL,
    created     REAL NOT NULL,
    kind        TEXT NOT NULL,              -- "preference" or "reference" (the guessing game)
    choice      TEXT NOT NULL,              -- a card id, "tie" or "all bad"
    blind       INTEGER NOT NULL,
    columns     TEXT NOT NULL,              -- JSON list of card ids, in the order shown
    states      TEXT NOT NULL,              -- JSON list: how each column ended
    sampling    TEXT NOT NULL,
    conversation TEXT NOT NULL,             -- JSON, so the vote can be read without the comparison
    correct     INTEGER,                    -- guessing game only
    UNIQUE (comparison, turn, visitor, kind)
);
CREATE INDEX votes_visitor ON votes (visitor, kind);
"""
