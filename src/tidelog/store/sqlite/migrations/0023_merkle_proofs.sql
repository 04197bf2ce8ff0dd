-- The branches of both tries for the transactions of which a selection keeps logs, where a contract says keep_proof.

ALTER TABLE contracts ADD COLUMN keep_proof INTEGER NOT NULL DEFAULT 0;

CREATE TABLE merkle_proofs (
    chain_id INTEGER NOT NULL,
    block_number INTEGER NOT NULL,
    tx_index INTEGER NOT NULL,
    first_log INTEGER NOT NULL,
    transaction_branch BLOB NOT NULL,
    receipt_branch BLOB NOT NULL,
    PRIMARY KEY (chain_id, block_number, tx_index)
) STRICT, WITHOUT ROWID;
