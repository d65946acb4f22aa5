-- Users, devices, streams. AUTOINCREMENT: an id is never used again, so that whoever still holds the id of a
-- deleted thing finds nothing, and not something else.
CREATE TABLE users (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    name        TEXT NOT NULL UNIQUE,
    nickname    TEXT NOT NULL,
    email       TEXT NOT NULL,
    email_key   TEXT UNIQUE,                -- the address without case; NULL if there is none
    description TEXT NOT NULL,
    icon        TEXT NOT NULL,
    role        TEXT NOT NULL,
    public      INTEGER NOT NULL,
    password    TEXT NOT NULL               -- hash
) STRICT;

CREATE TABLE devices (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id       INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name          TEXT NOT NULL,
    nickname      TEXT NOT NULL,
    description   TEXT NOT NULL,
    icon          TEXT NOT NULL,
    apikey        TEXT NOT NULL,
    apikey_digest BLOB UNIQUE,              -- SHA-256 of the key; NULL if there is none
    enabled       INTEGER NOT NULL,
    visible       INTEGER NOT NULL,
    user_editable INTEGER NOT NULL,
    public        INTEGER NOT NULL,
    role          TEXT NOT NULL,
    UNIQUE (user_id, name)
) STRICT;

CREATE TABLE streams (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id   INTEGER NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    nickname    TEXT NOT NULL,
    description TEXT NOT NULL,
    icon        TEXT NOT NULL,
    schema      TEXT NOT NULL,
    datatype    TEXT NOT NULL,
    ephemeral   INTEGER NOT NULL,
    downlink    INTEGER NOT NULL,
    UNIQUE (device_id, name)
) STRICT;

-- A substream is named by one number: 2 * id of its stream, + 1 if it is the downlink.

-- The state of each substream; the rows are made and deleted with the stream.
CREATE TABLE heads (
    substream INTEGER PRIMARY KEY,
    n         INTEGER NOT NULL,
    t         REAL NOT NULL,
    arrivals  INTEGER NOT NULL,
    merges    INTEGER NOT NULL
) STRICT;

-- Runs of datapoints. Place and time are in the same order, so time needs no index.
--
-- One integer as key, because that is what SQLite finds fastest: a key of several columns would be compared by
-- loading each row it passes, with all its text. No foreign key: it would be looked up with every insert; whoever
-- deletes a stream deletes these.
CREATE TABLE tail (
    place  INTEGER PRIMARY KEY,             -- substream << 38 | index of the first datapoint
    n      INTEGER NOT NULL,
    t1     REAL NOT NULL,
    t2     REAL NOT NULL,
    points BLOB NOT NULL                    -- JSON objects with commas between them
) STRICT;

-- The newest upload accepted from each source, by which its repetition is recognised.
CREATE TABLE receipts (
    substream INTEGER NOT NULL,
    source    TEXT NOT NULL,
    last      INTEGER NOT NULL,
    digest    BLOB NOT NULL,
    reply     BLOB NOT NULL,
    expires   REAL,
    PRIMARY KEY (substream, source)
) STRICT, WITHOUT ROWID;

CREATE INDEX receipts_expires ON receipts (expires) WHERE expires IS NOT NULL;
