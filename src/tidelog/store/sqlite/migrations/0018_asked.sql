-- Who said what a contract logged, where that was asked; and what turned out to be wrong once it was proven.

ALTER TABLE contract_coverage ADD COLUMN endpoint TEXT;

CREATE TABLE log_faults (
    chain_id INTEGER NOT NULL,
    contract TEXT NOT NULL,
    block_number INTEGER NOT NULL,
    log_index INTEGER NOT NULL,
    fault TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    PRIMARY KEY (chain_id, contract, block_number, log_index)
) STRICT, WITHOUT ROWID;
