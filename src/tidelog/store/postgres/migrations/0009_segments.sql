-- Segments: pieces of a chain, of about so many rows, with which the indexes over random keys begin, so that a commit
-- writes the same few pages whatever the store holds (tidelog.store.segments). What is there already is one segment.

CREATE TABLE segments (
    scope BIGINT NOT NULL,
    first BIGINT NOT NULL,
    last BIGINT NOT NULL,
    segment INTEGER NOT NULL,
    rows BIGINT NOT NULL,
    PRIMARY KEY (scope, first),
    UNIQUE (scope, segment)
);

INSERT INTO segments (scope, first, last, segment, rows)
    SELECT chain_id, min(number), max(number), 0, sum(transaction_count + log_count) FROM blocks
    WHERE transaction_count + log_count > 0 GROUP BY chain_id;

-- A commit says the segment of the rows that it copies by a setting: so they need not carry it.
ALTER TABLE transactions ADD COLUMN segment INTEGER NOT NULL DEFAULT 0;
ALTER TABLE transactions ALTER COLUMN segment SET DEFAULT current_setting('tidelog.segment')::integer;
ALTER TABLE logs ADD COLUMN segment INTEGER NOT NULL DEFAULT 0;
ALTER TABLE logs ALTER COLUMN segment SET DEFAULT current_setting('tidelog.segment')::integer;
