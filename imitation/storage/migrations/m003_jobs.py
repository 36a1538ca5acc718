"""Jobs."""

SQL = """
CREATE TABLE jobs (
    number      INTEGER PRIMARY KEY,        -- order of the queue
    id          TEXT NOT NULL UNIQUE,       -- unguessable; the name of its folder
    visitor     TEXT,                       -- hash of its owner's secret; NULL: command line
    kind        TEXT NOT NULL,
    name        TEXT NOT NULL,
    argv        TEXT NOT NULL,              -- JSON list
    device      TEXT NOT NULL,              -- cpu, io, gpu:N
    out         TEXT NOT NULL,              -- what it writes, "" where nothing
    progress    TEXT NOT NULL,              -- its JSON lines, "" where none
    state       TEXT NOT NULL,
    created     REAL NOT NULL,              -- seconds since 1970, as are the next three
    started     REAL,
    stop_asked  REAL,
    ended       REAL,
    detail      TEXT NOT NULL DEFAULT ''    -- how it ended, in words
);
CREATE INDEX jobs_state ON jobs (state, device, number);
CREATE UNIQUE INDEX jobs_out ON jobs (out)
    WHERE out != '' AND state IN ('queued', 'running', 'stopping');
"""
