-- Where late datapoints went, so that a reader who has seen an earlier state of the stream finds them.
CREATE TABLE changes (
    place INTEGER PRIMARY KEY,              -- substream << 38 | how many datapoints had arrived before
    runs  BLOB NOT NULL                     -- JSON: [index, number, index, number, ...] as the stream was right after
) STRICT;

-- Downlinks: what the owner of a stream was asked to do, and what became of it. A queued one whose time is over is
-- noted as expired when the next one of its stream comes; until then whoever reads it has to look at the time.
CREATE TABLE downlinks (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    stream  INTEGER NOT NULL,
    t       REAL NOT NULL,
    d       BLOB NOT NULL,                  -- JSON
    digest  INTEGER NOT NULL,               -- of the value: JSON texts of equal values may differ
    o       TEXT NOT NULL,                  -- who asks
    state   INTEGER NOT NULL,               -- DownlinkState
    expires REAL NOT NULL,
    changed REAL NOT NULL,
    by      TEXT NOT NULL,                  -- the process of the device that took it on
    msg     TEXT NOT NULL,
    result  BLOB NOT NULL                   -- JSON array: the datapoints with which it was acknowledged
) STRICT;

CREATE INDEX downlinks_stream ON downlinks (stream, state, id);
CREATE INDEX downlinks_until ON downlinks (stream, state, expires) WHERE state < 2;
CREATE INDEX downlinks_value ON downlinks (stream, digest, id) WHERE state < 2;
CREATE INDEX downlinks_final ON downlinks (stream, changed) WHERE state >= 2;
