"""Judgements, studies, and what was refused."""

SQL = """
CREATE TABLE pairs (
    id          INTEGER PRIMARY KEY,
    key         TEXT NOT NULL UNIQUE,       -- hash of all below, the same in either order
    prompt      TEXT NOT NULL,
    models      TEXT NOT NULL,              -- JSON list of two
    answers     TEXT NOT NULL               -- JSON list of two
);

CREATE TABLE judge_runs (
    id          TEXT PRIMARY KEY,           -- unguessable
    name        TEXT NOT NULL,
    judge       TEXT NOT NULL,              -- a card id, or the reviewer's name where imported
    rubric      TEXT NOT NULL,              -- "" where not known
    source      TEXT NOT NULL,              -- what was judged, in words
    imported    INTEGER NOT NULL,           -- 1: verdicts made elsewhere
    max_tokens  INTEGER NOT NULL,           -- longest answer asked of the judge
    visitor     TEXT,                       -- hash of its maker's secret; NULL: command line
    created     REAL NOT NULL               -- seconds since 1970
);

CREATE TABLE judgements (
    run         TEXT NOT NULL REFERENCES judge_runs (id) ON DELETE CASCADE,
    pair        INTEGER NOT NULL REFERENCES pairs (id),
    swapped     INTEGER NOT NULL,           -- 1: the pair's second answer was shown first
    state       TEXT NOT NULL,              -- waiting, judged, unparsed, failed
    outcome     TEXT,                       -- first, second, tie, as shown; NULL unless judged
    score_first REAL,
    score_second REAL,
    problem     TEXT NOT NULL DEFAULT '',
    text        TEXT NOT NULL DEFAULT '',   -- all the judge wrote
    prompt_tokens INTEGER,
    completion_tokens INTEGER,
    judged      REAL,
    PRIMARY KEY (run, pair, swapped)
);
CREATE INDEX judgements_pair ON judgements (pair);

CREATE TABLE studies (
    id          TEXT PRIMARY KEY,           -- unguessable
    invite      TEXT NOT NULL UNIQUE,       -- unguessable; the link raters get
    name        TEXT NOT NULL,
    guidelines  TEXT NOT NULL,
    source      TEXT NOT NULL,              -- where its items came from, in words
    dropped     TEXT NOT NULL,              -- JSON list of {prompt, reason}
    raters      INTEGER NOT NULL,           -- ratings wanted for each item
    repeat_every INTEGER NOT NULL,          -- every n-th showing repeats an item; 0: never
    visitor     TEXT NOT NULL,              -- hash of its maker's secret
    created     REAL NOT NULL,
    closed      REAL
);

CREATE TABLE study_items (
    id          INTEGER PRIMARY KEY,
    study       TEXT NOT NULL REFERENCES studies (id) ON DELETE CASCADE,
    position    INTEGER NOT NULL,
    pair        INTEGER NOT NULL REFERENCES pairs (id),
    UNIQUE (study, position),
    UNIQUE (study, pair)
);
CREATE INDEX study_items_pair ON study_items (pair);

CREATE TABLE showings (
    token       TEXT PRIMARY KEY,           -- unguessable; a vote must name it
    item        INTEGER NOT NULL REFERENCES study_items (id) ON DELETE CASCADE,
    rater       TEXT NOT NULL,              -- hash of the rater's secret
    swapped     INTEGER NOT NULL,
    again       INTEGER NOT NULL,           -- 1: repeated, to see whether the rater agrees
    shown       REAL NOT NULL,
    rated       REAL,
    outcome     TEXT,                       -- first, second, tie, as shown
    UNIQUE (item, rater, again)
);
CREATE INDEX showings_rater ON showings (rater);

CREATE TABLE refused_votes (
    study       TEXT NOT NULL,              -- "" for votes in Compare
    reason      TEXT NOT NULL,
    n           INTEGER NOT NULL,
    PRIMARY KEY (study, reason)
);
"""
