-- Who said what a contract logged, where that was asked; and what turned out to be wrong once it was proven.

ALTER TABLE contract_coverage ADD COLUMN endpoint TEXT COLLATE "C";

CREATE TABLE log_faults (
    chain_id BIGINT NOT NULL,
    contract TEXT COLLATE "C" NOT NULL,
    block_number BIGINT NOT NULL,
    log_index BIGINT NOT NULL,
    fault TEXT COLLATE "C" NOT NULL,
    endpoint TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (chain_id, contract, block_number, log_index)
);
