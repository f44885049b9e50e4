CREATE TABLE network (
    id       TEXT    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    revision INTEGER NOT NULL,
    record   TEXT    NOT NULL CHECK (json_valid(record))
) STRICT;

CREATE TABLE member (
    network  TEXT    NOT NULL REFERENCES network (id) ON DELETE CASCADE,
    address  TEXT    NOT NULL CHECK (length(address) = 10),
    revision INTEGER NOT NULL,
    record   TEXT    NOT NULL CHECK (json_valid(record)),
    PRIMARY KEY (network, address)
) STRICT, WITHOUT ROWID;
