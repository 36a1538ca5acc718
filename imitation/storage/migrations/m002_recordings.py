"""Sets of recorded outputs."""

SQL = """
CREATE TABLE recording_sets (
    id          TEXT PRIMARY KEY,           -- unguessable
    name        TEXT NOT NULL,
    source      TEXT NOT NULL,              -- the files it was read from
    visitor     TEXT,                       -- hash of its maker's secret; NULL: command line
    created     REAL NOT NULL,              -- seconds since 1970
    reference   TEXT NOT NULL,              -- model the others are compared with
    prompts     INTEGER NOT NULL,
    models      TEXT NOT NULL,              -- JSON list of {model, files}, in the files' order
    refused     TEXT NOT NULL               -- JSON list of {file, line, reason}
);
CREATE INDEX recording_sets_created ON recording_sets (created DESC);

CREATE TABLE recorded_prompts (
    id          INTEGER PRIMARY KEY,
    recording   TEXT NOT NULL REFERENCES recording_sets (id) ON DELETE CASCADE,
    position    INTEGER NOT NULL,           -- order in the set, from 0
    name        TEXT NOT NULL,              -- id within the set
    category    TEXT NOT NULL,
    text        TEXT NOT NULL,
    earlier     TEXT NOT NULL,              -- JSON list of the messages before
    folded      TEXT NOT NULL               -- the text case-folded, for searching
);
CREATE UNIQUE INDEX recorded_prompts_order ON recorded_prompts (recording, position);
CREATE UNIQUE INDEX recorded_prompts_name ON recorded_prompts (recording, name);
CREATE INDEX recorded_prompts_category ON recorded_prompts (recording, category, position);

CREATE TABLE recorded_answers (
    prompt      INTEGER NOT NULL REFERENCES recorded_prompts (id) ON DELETE CASCADE,
    model       INTEGER NOT NULL,           -- index in recording_sets.models
    text        TEXT NOT NULL
);
CREATE UNIQUE INDEX recorded_answers_prompt ON recorded_answers (prompt, model);
"""
