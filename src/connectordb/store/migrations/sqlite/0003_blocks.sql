-- A run holds its datapoints as text while they are new; later they are sealed into a block. A block is never changed:
-- what it holds is written anew, with another id.
ALTER TABLE tail RENAME TO runs;
ALTER TABLE runs ADD COLUMN block INTEGER;     -- id in blocks, and points is empty; NULL: points has them
ALTER TABLE runs ADD COLUMN size INTEGER;      -- of a block: length of its text, in bytes, roughly
ALTER TABLE runs ADD COLUMN stats BLOB;        -- of a block of numbers: JSON [low, t, high, t, sum, first, last]

CREATE TABLE blocks (
    id   INTEGER PRIMARY KEY AUTOINCREMENT,
    data BLOB NOT NULL                         -- as _codec.py writes it
) STRICT;

-- So many datapoints, from the first on, are in blocks; behind them may be blocks too.
ALTER TABLE heads ADD COLUMN sealed INTEGER NOT NULL DEFAULT 0;

-- Each change is a step of the state of its substream: `arrivals` counts datapoints that came, and corrections.
-- kind 0: runs came late; 1: runs were taken out, with the indices that they had; 2: the values of runs were replaced.
ALTER TABLE changes ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;
ALTER TABLE changes ADD COLUMN correction INTEGER;  -- that did it

-- The ledger: what was corrected, by whom, when and why.
CREATE TABLE corrections (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    substream INTEGER NOT NULL,
    state     INTEGER NOT NULL,                -- of the substream before: where its change is noted
    kind      INTEGER NOT NULL,                -- CorrectionKind
    at        REAL NOT NULL,                   -- when, in seconds since the Unix epoch
    by        TEXT NOT NULL,                   -- path of who did it
    why       TEXT NOT NULL,
    i         INTEGER NOT NULL,                -- index of the first datapoint concerned, as it was then
    n         INTEGER NOT NULL,                -- how many
    t1        REAL NOT NULL,                   -- time stamp of the first
    t2        REAL NOT NULL,                   -- and of the last
    kept      INTEGER NOT NULL,                -- whether what was there before is in removed
    undoes    INTEGER,                         -- the correction that this one takes back
    undone    INTEGER                          -- the correction that has taken this one back
) STRICT;

CREATE INDEX corrections_substream ON corrections (substream, id);

-- What was there before a correction: runs as in `runs`.
CREATE TABLE removed (
    correction INTEGER NOT NULL,
    i          INTEGER NOT NULL,               -- index of the first datapoint, as it was then
    n          INTEGER NOT NULL,
    t1         REAL NOT NULL,
    t2         REAL NOT NULL,
    points     BLOB NOT NULL,
    block      INTEGER,
    size       INTEGER,
    stats      BLOB
) STRICT;

CREATE UNIQUE INDEX removed_correction ON removed (correction, i);

-- How long the datapoints of a stream are kept, in seconds; 0: for ever.
ALTER TABLE streams ADD COLUMN keep_s REAL NOT NULL DEFAULT 0;
