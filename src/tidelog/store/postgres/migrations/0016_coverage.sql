-- How what is stored of a contract is known, and of which blocks. A chain that is held whole has no rows of coverage: of each
-- block everything is there.

ALTER TABLE contracts ADD COLUMN evidence TEXT COLLATE "C" NOT NULL DEFAULT 'whole';

CREATE TABLE contract_coverage (
    chain_id BIGINT NOT NULL,
    contract TEXT COLLATE "C" NOT NULL,
    first BIGINT NOT NULL,
    last BIGINT NOT NULL,
    evidence TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (chain_id, contract, first)
);
