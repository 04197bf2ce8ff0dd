-- See 0010.

DROP INDEX transactions_to;
CREATE INDEX transactions_to ON transactions (segment, chain_id, to_address, block_number, tx_index)
    WHERE to_address IS NOT NULL;

DROP INDEX transactions_contract;
CREATE INDEX transactions_contract ON transactions (segment, chain_id, contract_address, block_number, tx_index)
    WHERE contract_address IS NOT NULL;

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('transactions', 'transactions_to', '10000000 30000 30000 100 2 1'),
    ('transactions', 'transactions_contract', '100000 300 300 1 1 1');
ANALYZE sqlite_schema;
