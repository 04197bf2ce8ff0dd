-- What serving needs: the tokens that may ask, and the indexes that find an address's transactions.

CREATE TABLE tokens (
    name TEXT COLLATE "C" NOT NULL,
    hash BYTEA NOT NULL,
    scopes TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    PRIMARY KEY (name)
);

-- Each gives the transactions of one address in key order, from either end, without a sort. An index of the
-- partitioned table is made on the partitions that there are, and on each that is attached later.
CREATE INDEX transactions_from ON transactions (chain_id, from_address, block_number, tx_index);
CREATE INDEX transactions_to ON transactions (chain_id, to_address, block_number, tx_index)
    WHERE to_address IS NOT NULL;
CREATE INDEX transactions_contract ON transactions (chain_id, contract_address, block_number, tx_index)
    WHERE contract_address IS NOT NULL;
