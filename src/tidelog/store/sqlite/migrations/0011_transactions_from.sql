-- See 0010.

DROP INDEX transactions_from;
CREATE INDEX transactions_from ON transactions (segment, chain_id, from_address, block_number, tx_index);

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('transactions', 'transactions_from', '10000000 30000 30000 20 2 1');
ANALYZE sqlite_schema;
