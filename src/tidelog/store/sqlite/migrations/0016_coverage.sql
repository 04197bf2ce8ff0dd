-- How what is stored of a contract is known, and of which blocks. A chain that is held whole has no rows of coverage: of each
-- block everything is there.

ALTER TABLE contracts ADD COLUMN evidence TEXT NOT NULL DEFAULT 'whole';

CREATE TABLE contract_coverage (
    chain_id INTEGER NOT NULL,
    contract TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    evidence TEXT NOT NULL,
    PRIMARY KEY (chain_id, contract, first)
) STRICT, WITHOUT ROWID;
