-- Segments: pieces of a chain, of about so many rows, with which the indexes over random keys begin, so that a commit
-- writes the same few pages whatever the store holds (tidelog.store.segments). What is there already is one segment.

CREATE TABLE segments (
    scope INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    PRIMARY KEY (scope, first),
    UNIQUE (scope, segment)
) STRICT, WITHOUT ROWID;

INSERT INTO segments (scope, first, last, segment, rows)
    SELECT chain_id, min(number), max(number), 0, sum(transaction_count + log_count) FROM blocks
    WHERE transaction_count + log_count > 0 GROUP BY chain_id;

ALTER TABLE transactions ADD COLUMN segment INTEGER NOT NULL DEFAULT 0;
ALTER TABLE logs ADD COLUMN segment INTEGER NOT NULL DEFAULT 0;

-- What the planner is to believe, as in the first migration: a chain of some hundred segments. Of a larger one SQLite
-- 3.40 would rather read all logs in their order than sort those that it finds by an index.
UPDATE sqlite_stat1 SET stat = '10000000 10000000 100 1' WHERE idx = 'transactions';
UPDATE sqlite_stat1 SET stat = '30000000 30000000 300 1' WHERE idx = 'logs';
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('segments', 'segments', '300 300 1'),
    ('segments', 'sqlite_autoindex_segments_2', '300 300 1');
ANALYZE sqlite_schema;
