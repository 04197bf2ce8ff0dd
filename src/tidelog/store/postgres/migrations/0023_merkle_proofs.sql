-- The branches of both tries for the transactions of which a selection keeps logs, where a contract says keep_proof.

ALTER TABLE contracts ADD COLUMN keep_proof BIGINT NOT NULL DEFAULT 0;

CREATE TABLE merkle_proofs (
    chain_id BIGINT NOT NULL,
    block_number BIGINT NOT NULL,
    tx_index BIGINT NOT NULL,
    first_log BIGINT NOT NULL,
    transaction_branch BYTEA NOT NULL,
    receipt_branch BYTEA NOT NULL,
    PRIMARY KEY (chain_id, block_number, tx_index)
);
