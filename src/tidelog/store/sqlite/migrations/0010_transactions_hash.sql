-- The first of the indexes that are made anew, each in a transaction of its own: some seconds for each million rows.
-- All columns of a key are named: only those have statistics, without which SQLite does not skip to the next segment.

DROP INDEX transactions_hash;
CREATE INDEX transactions_hash ON transactions (segment, chain_id, hash, block_number, tx_index);

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('transactions', 'transactions_hash', '10000000 30000 30000 1 1 1');
ANALYZE sqlite_schema;
