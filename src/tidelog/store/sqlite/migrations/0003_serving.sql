-- What serving needs: the tokens that may ask, and the indexes that find an address's transactions.

CREATE TABLE tokens (
    name TEXT NOT NULL,
    hash BLOB NOT NULL,
    scopes TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    PRIMARY KEY (name)
) STRICT, WITHOUT ROWID;

-- Each gives the transactions of one address in key order, from either end, without a sort.
CREATE INDEX transactions_from ON transactions (chain_id, from_address, block_number, tx_index);
CREATE INDEX transactions_to ON transactions (chain_id, to_address, block_number, tx_index)
    WHERE to_address IS NOT NULL;
CREATE INDEX transactions_contract ON transactions (chain_id, contract_address, block_number, tx_index)
    WHERE contract_address IS NOT NULL;

-- As in the first migration: what the planner is to believe.
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('transactions', 'transactions_from', '100000000 100000000 100 1 1'),
    ('transactions', 'transactions_to', '100000000 100000000 300 2 1'),
    ('transactions', 'transactions_contract', '1000000 1000000 1 1 1');
ANALYZE sqlite_schema;
